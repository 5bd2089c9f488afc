"""Distance correlation: the bias-corrected U-statistic and the V-statistic."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from scipy.special import chdtrc

from jaxalign.metrics._definition import GramMetric
from jaxalign.metrics._gram_pair import gram_pair_score, ratio_score
from jaxalign.types import MatrixLike, Score

DISTANCE_CORRELATION = GramMetric(
    id="dcor",
    variant="squared, debiased",
    title="distance correlation",
    definition=(
        "Squared distance correlation, bias-corrected: inner product of the U-centered matrices "
        "of Euclidean distances over the root of the self terms."
    ),
    least_n=4,
    low=-1.0,
    high=1.0,
    symmetric=True,
    invariances=("rotation", "isotropic scaling", "translation"),
    null=lambda _n, _k: 0.0,
    kernel="euclidean",
    statistic="debiased",
    score=ratio_score,
)

DISTANCE_CORRELATION_V = dataclasses.replace(
    DISTANCE_CORRELATION,
    id="dcor:v",
    variant="squared, biased",
    title="distance correlation (V)",
    definition=(
        "Squared distance correlation, V-statistic: inner product of the double-centered matrices "
        "of Euclidean distances over the root of the self terms."
    ),
    least_n=2,
    low=0.0,
    # Depends on the distribution and rises with the widths: no closed form.
    null=None,
    statistic="biased",
)


def distance_correlation(
    x: MatrixLike,
    y: MatrixLike,
    *,
    squared: bool = True,
    debiased: bool = True,
    normalize: str | None = None,
) -> Score:
    """Distance correlation (Székely, Rizzo, Bakirov 2007), streamed: no N×N array.

    With a_ij = ‖x_i − x_j‖ and b_ij = ‖y_i − y_j‖, S = Σ a_ij b_ij, row sums r and totals s:

        biased:    dCov² = S/n² − 2⟨r_a, r_b⟩/n³ + s_a s_b/n⁴;
        debiased:  dCov² = [S − 2⟨r_a, r_b⟩/(n−2) + s_a s_b/((n−1)(n−2))] / (n(n−3));
        dCor² = dCov²(x, y) / √(dCov²(x, x) · dCov²(y, y)).

    Args:
      x: `[n, dx]` embeddings of n structures.
      y: `[n, dy]` embeddings of the same structures in the same order.
      squared: return dCor²; else its root.
      debiased: the U-statistic, 0 in expectation for independent rows. The V-statistic is strongly
        biased: independent normals of 128 features at n = 64 give dCor² ≈ .89.
      normalize: `"none"` (None means this default), `"l2"`, `"max_abs_row"` or `"standardize"`.

    Returns:
      Score: in [−1, 1] debiased (the sign is kept), in [0, 1] biased. `diagnostics` hold n, the
      precision, duplicates, and for debiased values `p_value`, an asymptotic bound: the χ² test of
      independence, P(χ²₁ ≥ n·dCor² + 1). NaN with `diagnostics["reason"]` where a self term is not
      positive, and for the root of a negative value.

    Raises:
      ValueError: shapes, n < 4 (debiased) or n < 2, non-finite rows or an unknown normalization.

    References:
      Székely, Rizzo, Bakirov: Annals of Statistics 35 (2007), eq. 2.8–2.10 (biased); Székely,
      Rizzo: Annals of Statistics 42 (2014), eq. 3.3 (debiased); Shen, Panda, Vogelstein: JCGS 31
      (2022) (p-value, conservative).

    Note:
      Distances are float64 up to n = 2,048 and float32 beyond (`diagnostics["precision"]`), sums
      float64. Duplicates have distance exactly 0.
    """
    metric = DISTANCE_CORRELATION if debiased else DISTANCE_CORRELATION_V
    score = gram_pair_score(metric, x, y, normalize=normalize)
    diagnostics = dict(score.diagnostics) | {"squared": bool(squared)}
    if debiased:
        diagnostics["p_value"] = chi_square_p_value(score.value, diagnostics["n"])
    return dataclasses.replace(
        score,
        value=score.value if squared else _root(score.value, diagnostics),
        diagnostics=diagnostics,
    )


def chi_square_p_value(value: float, n: int) -> float:
    """P(χ²₁ ≥ n·dCor² + 1) for a debiased dCor²: conservative, valid for p up to about .3."""
    if math.isnan(value):
        return math.nan
    return float(chdtrc(1, max(n * value + 1, 0.0)))


def _root(value: float, diagnostics: dict[str, Any]) -> float:
    if value < 0:
        diagnostics["reason"] = (
            f"the debiased dCor² is negative ({value:.3g}), as it is for about half of all "
            "independent pairs: it has no root; pass squared=True"
        )
        return math.nan
    diagnostics["variant"] = diagnostics["variant"].replace("squared", "root")
    return math.sqrt(value)
