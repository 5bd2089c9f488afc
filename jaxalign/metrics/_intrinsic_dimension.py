"""Intrinsic dimension of one model's embeddings, from the distances to its nearest neighbors."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from jaxalign.embeddings.sources import model_rows
from jaxalign.metrics._checks import check_n
from jaxalign.metrics._definition import ModelMetric
from jaxalign.metrics._id_estimators import gride, levina_bickel, twonn
from jaxalign.pairwise.diagnostics import row_diagnostics
from jaxalign.pairwise.neighbors import neighbors
from jaxalign.pairwise.ordering import unit_scale
from jaxalign.types import MatrixLike, Score
from jaxalign.validation import check_finite, check_k, check_matrix

ID_TWONN = ModelMetric(
    id="id:twonn",
    variant="ml",
    title="intrinsic dimension (TwoNN)",
    definition=(
        "Intrinsic dimension from the ratio of each structure's two nearest distances, "
        "(N − 1)/Σ ln(r₂/r₁)."
    ),
    default_k=2,
    least_k=2,
    least_n=3,
    low=0.0,
    high=math.inf,
    best=None,
    symmetric=True,
    invariances=("rotation", "isotropic scaling", "translation"),
    estimate=twonn,
)

ID_MLE = dataclasses.replace(
    ID_TWONN,
    id="id:mle",
    variant="harmonic",
    title="intrinsic dimension (MLE)",
    definition=(
        "Intrinsic dimension by maximum likelihood over the k nearest distances, harmonic mean "
        "over structures of [1/(k − 1) Σ_{j<k} ln(T_k/T_j)]⁻¹."
    ),
    default_k=50,
    estimate=levina_bickel,
)

ID_GRIDE = dataclasses.replace(
    ID_TWONN,
    id="id:gride",
    variant="n1=1",
    title="intrinsic dimension (GRIDE)",
    definition=(
        "Intrinsic dimension by maximum likelihood of the ratios r₂ₙ/rₙ of neighbor distances; "
        "the value is that at n = 1, the details hold the curve over n = 1, 2, 4, … with errors."
    ),
    default_k=64,
    any_k=True,
    estimate=gride,
)

_METHODS = {"twonn": ID_TWONN, "mle": ID_MLE, "gride": ID_GRIDE}
FITS = ("ml", "regression")
_COMBINATIONS = ("harmonic", "mean")


def intrinsic_dimension(
    x: MatrixLike,
    *,
    method: str = "twonn",
    fit: str = "ml",
    k: int = 50,
    combine: str = "harmonic",
    normalize: str | None = None,
) -> Score:
    """Intrinsic dimension of a set of embeddings.

    With r_j = T_j the distance of a row to its j-th nearest neighbor (itself excluded by index):

        "twonn":  fit="ml": (N − 1)/Σ ln(r₂/r₁); fit="regression": slope through the origin of
                  −ln(1 − i/N) on the sorted ln(r₂/r₁), the lowest 90 %;
        "mle":    d_i = [1/(k − 1) Σ_{j<k} ln(T_k/T_j)]⁻¹, harmonic or arithmetic mean over rows;
        "gride":  (N − 1)/d = Σ ln μ · [(2n − 1) − (n − 1)/(1 − μ^−d)], μ = r_{2n}/r_n, for
                  n = 1, 2, 4, … while 2n <= k. The value is that at n = 1; report the curve.

    Args:
      x: `[n, d]` embeddings.
      method: `"twonn"`, `"mle"` or `"gride"`.
      fit: `"ml"` or `"regression"`; TwoNN only.
      k: neighbors of the MLE, and the farthest neighbor that the curve of GRIDE may reach;
        2 <= k < n. TwoNN reads two neighbors.
      combine: `"harmonic"` or `"mean"`; MLE only.
      normalize: `"none"` (None means this default), `"l2"`, `"max_abs_row"` or `"standardize"`.

    Returns:
      Score; `diagnostics` hold `error` (standard error), `rows_used`, `rows_excluded`, `rows_tied`,
      duplicates, and for GRIDE `curve`: a list with n1, n2, value, error, mean_distance, … a scale.

    Raises:
      ValueError: shape, k, fewer than 3 rows, non-finite rows, or an unknown method, fit,
        combination or normalization.

    References:
      Facco, d'Errico, Rodriguez, Laio, Sci. Rep. 7, 12140 (2017), TwoNN;
      Levina, Bickel, NIPS 17 (2004), eq. 8; MacKay, Ghahramani (2005), comments on it (harmonic);
      Denti, Doimo, Laio, Mira, Sci. Rep. 12, 20005 (2022), GRIDE.

    Note:
      Rows with a duplicate (distance 0; in GRIDE: r_n = 0) are left out and counted, rows with
      equidistant neighbors are kept and counted. Where nothing is left the value is NaN, with a
      reason. Distances are decided in float64 and rounded to float32 before the logarithms. All
      estimates fall short of large dimensions (N = 4000 Gaussian rows of dimension 20: about 17),
      and errors, which treat rows as independent, do not include that.
    """
    metric = _metric(method, fit, combine)
    x = check_matrix(x)
    check_n(metric, len(x))
    k = metric.default_k if method == "twonn" else k
    check_k(k, len(x), least=metric.least_k)
    check_finite(x)
    normalize = normalize or metric.default_normalize
    found, diagnostics = _distances(x, k, normalize)
    estimate = metric.estimate(found)
    diagnostics |= {"k": k, "variant": metric.variant, "normalization": normalize}
    diagnostics |= {"error": estimate.error} | estimate.details
    if estimate.reason:
        diagnostics["reason"] = estimate.reason
    return Score(estimate.value, metric.id, diagnostics)


def check_fit(fit: str) -> None:
    """A way to fit TwoNN.

    Raises:
      ValueError: unknown fit.
    """
    if fit not in FITS:
        raise ValueError(f"unknown fit {fit!r}: choose one of {FITS}")


def _metric(method: str, fit: str, combine: str) -> ModelMetric:
    if method not in _METHODS:
        raise ValueError(f"unknown method {method!r}: choose one of {tuple(_METHODS)}")
    check_fit(fit)
    if combine not in _COMBINATIONS:
        raise ValueError(f"unknown combination {combine!r}: choose one of {_COMBINATIONS}")
    if fit != "ml" and method != "twonn":
        raise ValueError(f"fit={fit!r} belongs to method='twonn': got method={method!r}")
    if combine != "harmonic" and method != "mle":
        raise ValueError(f"combine={combine!r} belongs to method='mle': got method={method!r}")
    metric = _METHODS[method]
    if method == "twonn":
        return dataclasses.replace(metric, variant=fit, estimate=functools.partial(twonn, fit=fit))
    if method == "mle":
        estimate = functools.partial(levina_bickel, combine=combine)
        return dataclasses.replace(metric, variant=combine, estimate=estimate)
    return metric


def _distances(x: np.ndarray, k: int, normalize: str) -> tuple[np.ndarray, dict]:
    rows = model_rows(x, normalize).load()
    # One power of two for all rows keeps the distances within float32; float64 holds them unscaled.
    scaled, exponent = unit_scale(rows)
    found = neighbors(scaled, k=k, similarity="euclidean")
    diagnostics = row_diagnostics(rows) | {"dtype": str(x.dtype)}
    distances = np.ldexp(found.scores.astype(np.float64), exponent)
    return distances, diagnostics | dict(found.diagnostics)
