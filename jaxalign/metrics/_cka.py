"""Centered kernel alignment: linear or Gaussian kernel, biased or debiased."""

from __future__ import annotations

import dataclasses
import math

from jaxalign.metrics._definition import GramMetric
from jaxalign.metrics._gram_pair import gram_pair_score, ratio_score
from jaxalign.types import MatrixLike, Score

CKA = GramMetric(
    id="cka",
    variant="linear, debiased",
    title="CKA",
    definition=(
        "Debiased HSIC of the linear kernels over the root of the self terms: "
        "HSIC₁(K, L) / √(HSIC₁(K, K) · HSIC₁(L, L))."
    ),
    least_n=4,
    low=-1.0,
    high=1.0,
    symmetric=True,
    invariances=("rotation", "isotropic scaling", "translation"),
    null=lambda _n, _k: 0.0,
    kernel="linear",
    statistic="debiased",
    score=ratio_score,
)

CKA_BIASED = dataclasses.replace(
    CKA,
    id="cka:biased",
    variant="linear, biased",
    title="CKA (biased)",
    definition=(
        "HSIC₀ of the linear kernels over the root of the self terms: "
        "tr(KHLH) / √(tr(KHKH) · tr(LHLH))."
    ),
    least_n=2,
    low=0.0,
    # Grows with the widths and falls with n: no closed form holds for every distribution.
    null=None,
    statistic="biased",
)

CKA_RBF = dataclasses.replace(
    CKA,
    id="cka:rbf",
    variant="rbf, debiased",
    title="CKA (RBF)",
    definition=(
        "Debiased HSIC of the Gaussian kernels exp(−d²/2σ²), σ the median distance of a model, "
        "over the root of the self terms."
    ),
    kernel="rbf",
)

CKA_RBF_BIASED = dataclasses.replace(
    CKA_BIASED,
    id="cka:rbf:biased",
    variant="rbf, biased",
    title="CKA (RBF, biased)",
    definition=(
        "HSIC₀ of the Gaussian kernels exp(−d²/2σ²), σ the median distance of a model, over the "
        "root of the self terms."
    ),
    kernel="rbf",
)

_RECORDS = {
    ("linear", True): CKA,
    ("linear", False): CKA_BIASED,
    ("rbf", True): CKA_RBF,
    ("rbf", False): CKA_RBF_BIASED,
}


def cka(
    x: MatrixLike,
    y: MatrixLike,
    *,
    kernel: str = "linear",
    debiased: bool = True,
    bandwidth: float = 1.0,
    normalize: str | None = None,
) -> Score:
    """Centered kernel alignment (Kornblith et al. 2019), streamed: no N×N array.

    CKA(K, L) = HSIC(K, L) / √(HSIC(K, K) · HSIC(L, L)), all three terms of one estimator:

        biased:    HSIC₀ = tr(KHLH) / (n−1)²,  H = I − 11ᵀ/n;
        debiased:  HSIC₁ = [tr(K̃L̃) + 1ᵀK̃1·1ᵀL̃1/((n−1)(n−2)) − 2/(n−2)·1ᵀK̃L̃1] / (n(n−3)),
                   K̃, L̃ with zero diagonals.

    Args:
      x: `[n, dx]` embeddings of n structures.
      y: `[n, dy]` embeddings of the same structures in the same order.
      kernel: `"linear"` (K = XXᵀ) or `"rbf"` (K_ij = exp(−‖x_i − x_j‖²/2σ²)).
      debiased: unbiased estimators of HSIC; the biased one rises with d/n: independent normals of
        8 features score .20, .11, .06, .03 at n = 32, 64, 128, 256.
      bandwidth: σ of the Gaussian kernel in units of each model's median off-diagonal Euclidean
        distance (over a seeded sample of 2,000 rows; all rows if there are fewer).
      normalize: `"none"` (None means this default), `"l2"`, `"max_abs_row"` or `"standardize"`.

    Returns:
      Score: in [−1, 1] debiased (0 in expectation for independent rows; the sign is kept), in
      [0, 1] biased. `diagnostics` hold n, the route, the precision, σ of both sides, duplicates.
      NaN with `diagnostics["reason"]` where a self term is not positive.

    Raises:
      ValueError: shapes, n < 4 (debiased) or n < 2, non-finite rows, unknown kernel or
        normalization, a bandwidth that is not positive, or one given for the linear kernel.

    References:
      Kornblith, Norouzi, Lee, Hinton: Similarity of neural network representations revisited, ICML
      2019, eq. 3; Song et al., JMLR 13 (2012), eq. 5 (HSIC₁).

    Note:
      Kernel entries are float64 up to n = 2,048 and float32 beyond (`diagnostics["precision"]`),
      their sums float64. The linear kernel is taken from cross-covariances in float64 where that
      needs fewer operations (n > dx + dy).
    """
    if kernel not in ("linear", "rbf"):
        raise ValueError(f"unknown CKA kernel {kernel!r}: choose 'linear' or 'rbf'")
    if not 0 < bandwidth < math.inf:
        raise ValueError(f"bandwidth must be positive and finite: got {bandwidth!r}")
    if kernel == "linear" and bandwidth != 1:
        raise ValueError(
            f"the linear kernel has no bandwidth: got bandwidth={bandwidth}; pass kernel='rbf'"
        )
    metric = _RECORDS[kernel, bool(debiased)]
    return gram_pair_score(metric, x, y, normalize=normalize, bandwidth=bandwidth)
