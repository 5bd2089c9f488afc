"""Canonical correlations of two models' features: their mean, and two ways of weighting them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from jaxalign.metrics._definition import FeatureMetric, Outcome
from jaxalign.metrics._factors import (
    Factors,
    Overlap,
    factors,
    factors_bytes,
    no_direction,
    nuclear_norm,
    overlap,
)
from jaxalign.metrics._features import feature_score
from jaxalign.types import MatrixLike, Score


def cca_term(a: Factors, b: Factors, ab: Overlap) -> Outcome:
    """Mean of the canonical correlations."""
    if reason := no_direction(a, b):
        return math.nan, reason
    return float(np.minimum(ab.canonical[1], 1.0).mean()), ""


def kept_directions(model: Factors, threshold: float) -> int:
    """Fewest leading directions that hold a share `threshold` of the squared singular values."""
    # What is left out, summed from the smallest: at threshold 1 nothing is lost to rounding.
    left_out = np.cumsum(np.square(model.sizes[::-1]))[::-1]
    return int((left_out > (1 - threshold) * left_out[:1]).sum())


def svcca_term(threshold: float) -> Callable[[Factors, Factors, Overlap], Outcome]:
    """Term of SVCCA: mean canonical correlation of the leading directions of both models."""

    def term(a: Factors, b: Factors, ab: Overlap) -> Outcome:
        if reason := no_direction(a, b):
            return math.nan, reason
        ka, kb = kept_directions(a, threshold), kept_directions(b, threshold)
        return min(1.0, nuclear_norm(ab.core[:ka, :kb]) / min(ka, kb)), ""

    return term


def pwcca_term(a: Factors, b: Factors, ab: Overlap) -> Outcome:
    """Σ_i α_i ρ_i / Σ_i α_i with α_i = Σ_j |⟨h_i, x_j⟩|, h_i = U_a p_i."""
    if reason := no_direction(a, b):
        return math.nan, reason
    left, correlations, _ = ab.canonical
    weights = np.abs(left.T @ (a.sizes[:, None] * a.loadings)).sum(1)
    return float(weights @ np.minimum(correlations, 1.0) / weights.sum()), ""


def _saturation(threshold: float) -> Callable[[Factors, Factors], str]:
    def warning(a: Factors, b: Factors) -> str:
        used = (kept_directions(model, threshold) for model in (a, b))
        return saturation_warning(len(a.basis), *used)

    return warning


CCA = FeatureMetric(
    id="cca",
    title="mean CCA",
    definition="Mean canonical correlation of the centered features, over the smaller rank.",
    least_n=2,
    low=0.0,
    high=1.0,
    symmetric=True,
    invariances=("rotation", "isotropic scaling", "translation", "affine"),
    statistics=factors,
    cross=overlap,
    flip=Overlap.flipped,
    term=cca_term,
    bytes_per_model=factors_bytes,
    warning=_saturation(1.0),
)

SVCCA = dataclasses.replace(
    CCA,
    id="svcca",
    title="SVCCA",
    definition=(
        "Mean canonical correlation of the leading singular directions of each model, those that "
        "hold 99 % of its squared singular values."
    ),
    invariances=("rotation", "isotropic scaling", "translation"),
    term=svcca_term(0.99),
    warning=_saturation(0.99),
)

PWCCA = dataclasses.replace(
    CCA,
    id="pwcca",
    title="PWCCA",
    definition=(
        "Mean canonical correlation, weighted by the share of the first model's features that "
        "each of its canonical variates accounts for: α_i = Σ_j |⟨h_i, x_j⟩|."
    ),
    symmetric=False,
    # The weights read single columns of the first model: they change when it is rotated.
    invariances=("isotropic scaling", "translation"),
    term=pwcca_term,
)


def saturation_warning(n: int, rank_a: int, rank_b: int) -> str:
    """What dimension counting alone says of the canonical correlations; "" if nothing.

    Args:
      n: number of structures.
      rank_a: directions of the first model.
      rank_b: directions of the second model.
    """
    smaller, forced = min(rank_a, rank_b), rank_a + rank_b - (n - 1)
    if forced <= 0 or smaller == 0:
        return ""
    share = "all" if forced >= smaller else f"at least {forced} of {smaller}"
    return (
        f"{share} canonical correlations are 1 whatever the features are, because n={n} centered "
        f"structures have {n - 1} directions and the models use {rank_a} and {rank_b}; "
        "take more structures, or fewer directions with svcca"
    )


def _pair(metric: FeatureMetric, x, y, normalize: str | None, threshold: float = 1.0) -> Score:
    return feature_score(
        metric,
        x,
        y,
        normalize=normalize,
        describe=lambda model: {
            "rank": model.rank,
            "directions": kept_directions(model, threshold),
        },
    )


def cca(x: MatrixLike, y: MatrixLike, *, normalize: str | None = None) -> Score:
    """Mean canonical correlation.

    With U_x and U_y orthonormal bases of the centered features, of ranks r_x and r_y, and ρ_i the
    singular values of U_xᵀU_y,

        CCA(X, Y) = 1/c Σ_i ρ_i,   c = min(r_x, r_y):

    the ranks are the widths unless columns are constant or depend on each other.

    Args:
      x: `[n, dx]` embeddings of n structures.
      y: `[n, dy]` embeddings of the same structures in the same order.
      normalize: `"none"` (None means this default), `"l2"`, `"max_abs_row"` or `"standardize"`.

    Returns:
      Score in [0, 1]; `diagnostics["warning"]` where r_x + r_y > n − 1 forces correlations of 1;
      NaN with `diagnostics["reason"]` where all rows of a side are equal.

    Raises:
      ValueError: shapes, non-finite rows or an unknown normalization.

    References:
      Hotelling, Biometrika 28 (1936); Kornblith, Norouzi, Lee, Hinton, ICML 2019, table 1 (mean
      of ρ, not of ρ²).

    Note:
      float64 throughout. A direction counts if it is above the resolution of the float32 rows, see
      `rank` of both sides. All directions count alike, also those of next to no variance: with
      width not far below n the score says little. Columns that were rounded more coarsely before
      (float16, bfloat16) and depend on each other leave rounding noise that counts, too.
    """
    return _pair(CCA, x, y, normalize)


def svcca(
    x: MatrixLike, y: MatrixLike, *, threshold: float = 0.99, normalize: str | None = None
) -> Score:
    """Singular vector canonical correlation analysis (Raghu et al. 2017).

    Mean canonical correlation (see `cca`) of the leading singular directions of each side: the
    fewest, k, with Σ_{i≤k} s_i² ≥ threshold · Σ_i s_i². The mean is over min(k_x, k_y).

    Args:
      x: `[n, dx]` embeddings of n structures.
      y: `[n, dy]` embeddings of the same structures in the same order.
      threshold: share of the squared singular values that is kept, 0 < threshold <= 1; 1 is `cca`.
      normalize: `"none"` (None means this default), `"l2"`, `"max_abs_row"` or `"standardize"`.

    Returns:
      Score in [0, 1] with `directions` of both sides; warnings and NaN as in `cca`.

    Raises:
      ValueError: threshold, shapes, non-finite rows or an unknown normalization.

    References:
      Raghu, Gilmer, Yosinski, Sohl-Dickstein: SVCCA, NeurIPS 2017.

    Note:
      The share is of *squared* singular values (variance), as the paper's text has it; some public
      code sums the singular values themselves and keeps more directions.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must lie in (0, 1]: got threshold={threshold}")
    metric = dataclasses.replace(SVCCA, term=svcca_term(threshold), warning=_saturation(threshold))
    score = _pair(metric, x, y, normalize, threshold)
    return dataclasses.replace(score, diagnostics={**score.diagnostics, "threshold": threshold})


def pwcca(x: MatrixLike, y: MatrixLike, *, normalize: str | None = None) -> Score:
    """Projection weighted canonical correlation analysis (Morcos et al. 2018), x → y.

    With ρ_i the canonical correlations, h_i the canonical variates of x (orthonormal, `[n]`) and
    x_j its centered columns,

        PWCCA(X → Y) = Σ_i α_i ρ_i / Σ_i α_i,   α_i = Σ_j |⟨h_i, x_j⟩|,   i = 1, …, min(r_x, r_y).

    Args:
      x: `[n, dx]` embeddings of n structures; gives the weights.
      y: `[n, dy]` embeddings of the same structures in the same order.
      normalize: `"none"` (None means this default), `"l2"`, `"max_abs_row"` or `"standardize"`.

    Returns:
      Score in [0, 1], not symmetric; warnings and NaN as in `cca`.

    Raises:
      ValueError: shapes, non-finite rows or an unknown normalization.

    References:
      Morcos, Raghu, Bengio: Insights on representational similarity in neural networks with
      canonical correlation, NeurIPS 2018, projection weighting.

    Note:
      Any affine map of y leaves the score unchanged; a rotation of x does not, because weights read
      single columns. Where several correlations are exactly equal (features contained in both
      sides), variates are arbitrary within their span, and the weights with them. Public code
      takes the weights from the narrower side; here it is always the first.
    """
    return _pair(PWCCA, x, y, normalize)
