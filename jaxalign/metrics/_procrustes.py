"""Procrustes distance: what is left between two models after the best rotation."""

from __future__ import annotations

import dataclasses
import math

from jaxalign.metrics._definition import FeatureMetric, Outcome
from jaxalign.metrics._factors import (
    Factors,
    Overlap,
    factors,
    factors_bytes,
    no_direction,
    overlap,
)
from jaxalign.metrics._features import feature_score
from jaxalign.types import MatrixLike, Score


def distance_term(a: Factors, b: Factors, ab: Overlap) -> Outcome:
    """√(2 − 2‖XᵀY‖_*)."""
    if reason := no_direction(a, b):
        return math.nan, reason
    return math.sqrt(max(0.0, 2 - 2 * ab.alignment)), ""


def angle_term(a: Factors, b: Factors, ab: Overlap) -> Outcome:
    """Arccos ‖XᵀY‖_*, in radians."""
    if reason := no_direction(a, b):
        return math.nan, reason
    return math.acos(min(1.0, ab.alignment)), ""


PROCRUSTES = FeatureMetric(
    id="procrustes",
    title="Procrustes distance",
    definition=(
        "Distance of two centered embeddings of norm 1 after the best rotation or reflection: "
        "√(2 − 2‖XᵀY‖_*)."
    ),
    least_n=2,
    low=0.0,
    high=math.sqrt(2),
    best=0.0,
    symmetric=True,
    is_similarity=False,
    is_metric=True,
    invariances=("rotation", "isotropic scaling", "translation"),
    statistics=factors,
    cross=overlap,
    term=distance_term,
    bytes_per_model=factors_bytes,
)

PROCRUSTES_ANGULAR = dataclasses.replace(
    PROCRUSTES,
    id="procrustes:angular",
    variant="angular",
    title="angular Procrustes distance",
    definition=(
        "Angle, in radians, between two centered embeddings of norm 1 after the best rotation or "
        "reflection: arccos ‖XᵀY‖_*."
    ),
    high=math.pi / 2,
    term=angle_term,
)


def procrustes(
    x: MatrixLike, y: MatrixLike, *, angular: bool = False, normalize: str | None = None
) -> Score:
    """Procrustes distance between two embeddings (Williams et al. 2021).

    With X and Y centered by column and divided by their Frobenius norms, and ‖·‖_* the sum of
    singular values,

        d(X, Y) = min_Q ‖XQ − Y‖_F = √(2 − 2‖XᵀY‖_*),   angular: arccos ‖XᵀY‖_*,

    over orthogonal Q; if the widths differ, the narrower embedding is padded with zero columns,
    which changes nothing else. Both forms are metrics on embeddings up to rotation, reflection,
    scale and translation. d² = 2 − 2·cos(angle).

    Args:
      x: `[n, dx]` embeddings of n structures.
      y: `[n, dy]` embeddings of the same structures in the same order.
      angular: the angle in radians instead of the distance.
      normalize: `"none"` (None means this default), `"l2"`, `"max_abs_row"` or `"standardize"`.

    Returns:
      Score in [0, √2], or [0, π/2] if angular; 0 is a perfect match. NaN with
      `diagnostics["reason"]` where all rows of a side are equal.

    Raises:
      ValueError: shapes, non-finite rows or an unknown normalization.

    References:
      Williams, Kunz, Kornblith, Linderman: Generalized Shape Metrics on Neural Representations,
      NeurIPS 2021, proposition 1 with orthogonal maps; Schönemann, Psychometrika 31 (1966).

    Note:
      float64 throughout. 2 − 2‖XᵀY‖_* cancels near 0: distances below about 1e-7 are rounding, and
      so is the rounding of the rows to float32. `scipy.spatial.procrustes` also fits a scale and
      returns 1 − ‖XᵀY‖_*².
    """
    metric = PROCRUSTES_ANGULAR if angular else PROCRUSTES
    return feature_score(
        metric, x, y, normalize=normalize, describe=lambda side: {"rank": side.rank}
    )
