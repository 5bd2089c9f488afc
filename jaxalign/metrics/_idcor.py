"""Intrinsic dimension correlation: what two models share, counted in dimensions."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64

from jaxalign.embeddings.sources import model_rows
from jaxalign.metrics._checks import check_pair
from jaxalign.metrics._definition import FeatureMetric, Outcome
from jaxalign.metrics._id_estimators import twonn
from jaxalign.metrics._intrinsic_dimension import check_fit
from jaxalign.pairwise.diagnostics import row_diagnostics
from jaxalign.pairwise.joint_neighbors import joint_nearest
from jaxalign.pairwise.neighbors import neighbors
from jaxalign.types import MatrixLike, Score


class NearestTwo(NamedTuple):
    """One model's rows and the distances to their two nearest neighbors.

    Attributes:
      rows: normalized rows, which pairs concatenate.
      distances: r₁ and r₂ of every row.
    """

    rows: Float32[np.ndarray, "n d"]
    distances: Float64[np.ndarray, "n 2"]


def nearest_two(rows: Float32[np.ndarray, "n d"], _seed: int = 0) -> NearestTwo:
    """Statistics of one model: a single neighbor search."""
    found = neighbors(rows, k=2, similarity="euclidean")
    return NearestTwo(rows, found.scores.astype(np.float64))


def joint_distances(a: NearestTwo, b: NearestTwo) -> Float64[np.ndarray, "n 2"]:
    """r₁ and r₂ of the concatenated rows: squared distances of the two models add."""
    both = np.concatenate([a.rows, b.rows], axis=1)
    return neighbors(both, k=2, similarity="euclidean").scores.astype(np.float64)


def idcor_term(
    a: NearestTwo, b: NearestTwo, joint: Float[np.ndarray, "n 2"], *, fit: str = "regression"
) -> Outcome:
    """(id_a + id_b − id_ab) / max(id_a, id_b), or NaN with the part that has no dimension.

    `joint` may come from `joint_distances`, or for all pairs at once from `joint_nearest`.
    """
    joint = joint.astype(np.float64)
    parts = {"the first model": a.distances, "the second model": b.distances, "both": joint}
    estimates = {name: twonn(distances, fit=fit) for name, distances in parts.items()}
    for name, estimate in estimates.items():
        if estimate.reason:
            return math.nan, f"{name}: {estimate.reason}"
    id_a, id_b, id_ab = (estimate.value for estimate in estimates.values())
    return (id_a + id_b - id_ab) / max(id_a, id_b), ""


IDCOR = FeatureMetric(
    id="idcor",
    variant="regression",
    title="intrinsic dimension correlation",
    definition=(
        "Dimensions that two models share: (id_A + id_B − id_[A|B]) / max(id_A, id_B), TwoNN "
        "dimensions of the standardized embeddings and of their concatenation."
    ),
    least_n=3,
    # Estimates of the three dimensions scatter: neither 0 nor 1 is a bound.
    low=-math.inf,
    high=math.inf,
    symmetric=True,
    # Features are standardized one by one, which a rotation would change.
    invariances=("isotropic scaling", "translation"),
    default_normalize="standardize",
    statistics=nearest_two,
    cross=joint_distances,
    crosses=joint_nearest,
    cross_bytes=lambda n: 8 * n,
    flip=lambda joint: joint,
    term=idcor_term,
    bytes_per_model=lambda n, d: 4 * n * d + 16 * n,
)


def idcor(
    x: MatrixLike,
    y: MatrixLike,
    *,
    fit: str = "regression",
    permutations: int = 0,
    seed: int = 0,
    normalize: str | None = None,
) -> Score:
    """Intrinsic dimension correlation (Basile et al. 2024).

    IdCor(X, Y) = (id_X + id_Y − id_[X|Y]) / max(id_X, id_Y), TwoNN dimensions of X, of Y and of
    their concatenation, features standardized. 0 if the dimensions add up (independence), 1 if
    the concatenation has no more dimensions than the larger part. Nonlinear relations count.

    Args:
      x: `[n, dx]` embeddings of n structures.
      y: `[n, dy]` embeddings of the same structures in the same order.
      fit: `"regression"` or `"ml"`, see `intrinsic_dimension`.
      permutations: K relabelings of the rows of y for a p-value; each costs a neighbor search.
      seed: of the relabelings.
      normalize: `"standardize"` (None means this default), `"none"`, `"l2"` or `"max_abs_row"`.

    Returns:
      Score; `diagnostics` hold the dimension and its standard error of x, y and both
      (`id_x`, `id_y`, `id_joint`, each with value, error and counts of rows) and, with
      permutations, `p_value`, `null_mean`, `null_sd`. NaN with `diagnostics["reason"]` where one
      of the dimensions cannot be estimated.

    Raises:
      ValueError: shapes, n < 3, non-finite rows, permutations < 0, or an unknown fit or
        normalization.

    References:
      Basile, Acevedo, Bortolussi, Anselmi, Rodriguez: Intrinsic Dimension Correlation, ICLR 2025
      (arXiv 2406.15812), eq. 3.

    Note:
      The p-value is (1 + #{null >= observed})/(K + 1) over the score itself; id_X and id_Y do not
      change under relabeling, so it is equally the test of a small id_[X|Y]. A relabeling whose
      score is NaN counts as >=. In large dimensions TwoNN falls short, most of all on the
      concatenation, and independent inputs score above 0: read the p-value. A duplicate in x is
      left out of id_X, but of id_[X|Y] only if it is one in y too.
    """
    check_fit(fit)
    _check_permutations(permutations)
    x, y = check_pair(IDCOR, x, y)
    normalize = normalize or IDCOR.default_normalize
    a, b = (nearest_two(model_rows(side, normalize).load()) for side in (x, y))
    joint = joint_distances(a, b)
    value, reason = idcor_term(a, b, joint, fit=fit)
    diagnostics = {
        "n": len(x),
        "normalization": normalize,
        "variant": fit,
        "precision": "float64 decides",
        "x": _describe(x, a),
        "y": _describe(y, b),
    }
    parts = {"id_x": a.distances, "id_y": b.distances, "id_joint": joint}
    for name, distances in parts.items():
        estimate = twonn(distances, fit=fit)
        diagnostics[name] = {"value": estimate.value, "error": estimate.error} | estimate.details
    if reason:
        return Score(value, IDCOR.id, diagnostics | {"reason": reason})
    if permutations:
        null = _null(a, b, fit, int(permutations), seed)
        diagnostics |= {"permutations": len(null), "seed": seed}
        diagnostics |= _significance(value, null)
    return Score(value, IDCOR.id, diagnostics)


def _null(
    a: NearestTwo, b: NearestTwo, fit: str, permutations: int, seed: int
) -> Float64[np.ndarray, " permutations"]:
    """Scores after relabeling the rows of b."""
    rng = np.random.default_rng(seed)
    scores = np.empty(permutations)
    for draw in range(permutations):
        relabeled = NearestTwo(b.rows[rng.permutation(len(b.rows))], b.distances)
        scores[draw], _ = idcor_term(a, b, joint_distances(a, relabeled), fit=fit)
    return scores


def _significance(observed: float, null: Float64[np.ndarray, " permutations"]) -> dict[str, float]:
    # A draw without a score is no evidence: it counts against.
    at_least = int((~(null < observed)).sum())
    return {
        "p_value": (1 + at_least) / (len(null) + 1),
        "null_mean": float(null.mean()),
        "null_sd": float(null.std(ddof=1)) if len(null) > 1 else math.nan,
    }


def _describe(x: np.ndarray, side: NearestTwo) -> dict[str, Any]:
    return row_diagnostics(side.rows) | {"dtype": str(x.dtype)}


def _check_permutations(permutations: int) -> None:
    if isinstance(permutations, bool) or not isinstance(permutations, int | np.integer):
        raise ValueError(f"permutations must be an integer: got {permutations!r}")
    if permutations < 0:
        raise ValueError(f"permutations must be 0 or more: got {permutations}")
