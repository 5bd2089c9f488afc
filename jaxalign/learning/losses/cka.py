"""Centered kernel alignment as a loss: linear or Gaussian kernel, debiased or biased."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxalign.learning.losses.batch import AnyArray, Axes, Batch, read_batch
from jaxalign.learning.losses.gram_terms import (
    LEAST_ROWS,
    gram_terms,
    inner_products,
    squared_distances,
)
from jaxalign.learning.losses.median import median_distance
from jaxalign.learning.losses.rows import centered, normalized, power_of_two
from jaxalign.learning.losses.terms import AlignmentTerms, in_units, make_terms
from jaxalign.pairwise.kernels import rounding

_KERNELS = ("linear", "rbf")


def cka_loss(
    x: Float[AnyArray, "b dx"],
    y: Float[AnyArray, "b dy"],
    *,
    kernel: str = "linear",
    debiased: bool = True,
    bandwidth: float = 1.0,
    sigma: tuple[float, float] | None = None,
    normalize: str | None = None,
    mask: Bool[AnyArray, " b"] | None = None,
    axis_name: Axes | None = None,
) -> Float[Array, ""]:
    """1 − CKA of one batch; `jaxalign.metrics.cka` has the definition.

    CKA = HSIC(K, L) / √(HSIC(K, K)·HSIC(L, L)), all three terms of one estimator, HSIC₁ (debiased)
    or HSIC₀ (biased).

    Args:
      x: `[b, dx]` embeddings; inside `jax.shard_map` the rows of this device.
      y: `[b, dy]` embeddings of the same structures.
      kernel: `"linear"` (K = XXᵀ) or `"rbf"` (K_ij = exp(−‖x_i − x_j‖²/2σ²)).
      debiased: U-statistics. The biased estimate rises with d/n and is easily minimized by it.
      bandwidth: σ in units of each side's median distance in this batch.
      sigma: σ of both sides in units of the data, instead of `bandwidth`: kernels that do not
        depend on the batch, which unbiased terms need.
      normalize: `"none"` (None means this default) or `"l2"`.
      mask: False for padding, which then has no influence; None means that no row is padding.
      axis_name: mesh axes over which the batch is split.

    Returns:
      The loss: in [0, 2] debiased, in [0, 1] biased; float64 if an embedding is, else float32. It
      is 1 with derivatives 0 where `metrics.cka` is NaN (a side without variance) and where the
      mask leaves too few rows. NaN or infinity in a row that is present makes it NaN.

    Raises:
      ValueError: shapes, dtypes, n < 4 (debiased) or n < 2, unknown kernel or normalization,
        bandwidth or σ that is not positive, or given for the linear kernel.

    Note:
      The gradient of a batch is a biased estimate of that of the full data: see `running_loss`.
    """
    terms, _, _ = _scaled_terms(
        x, y, kernel, debiased, bandwidth, sigma, normalize, mask, axis_name
    )
    return terms.loss()


def cka_terms(
    x: Float[AnyArray, "b dx"],
    y: Float[AnyArray, "b dy"],
    *,
    kernel: str = "linear",
    debiased: bool = True,
    bandwidth: float = 1.0,
    sigma: tuple[float, float] | None = None,
    normalize: str | None = None,
    mask: Bool[AnyArray, " b"] | None = None,
    axis_name: Axes | None = None,
) -> AlignmentTerms:
    """HSIC(K, L), HSIC(K, K) and HSIC(L, L) of one batch, of which CKA is the ratio.

    The debiased terms of a random batch have those of the full data as their expectation, with the
    linear kernel and with σ given. Arguments and errors are those of `cka_loss`. HSIC₀ is
    tr(KHLH)/n².
    """
    terms, *exponents = _scaled_terms(
        x, y, kernel, debiased, bandwidth, sigma, normalize, mask, axis_name
    )
    return in_units(terms, *exponents)


def _scaled_terms(x, y, kernel, debiased, bandwidth, sigma, normalize, mask, axis_name):
    """Terms of rows divided by powers of two, and the exponents of both matrices."""
    _check_kernel(kernel, bandwidth, sigma)
    least = LEAST_ROWS[debiased]
    batch, x, y = read_batch(x, y, mask=mask, axis_name=axis_name, least=least)
    widths = (x.shape[1], y.shape[1])
    (x, ex), (y, ey) = (centered(batch, normalized(side, normalize or "none")) for side in (x, y))
    if kernel == "linear" and batch.size > sum(widths):
        return _feature_terms(batch, x, y, debiased=debiased), 2 * ex, 2 * ey
    if kernel == "linear":
        a, b = (inner_products(side, batch.gather(side)) for side in (x, y))
        return gram_terms(batch, a, b, debiased=debiased, widths=widths), 2 * ex, 2 * ey
    sigmas = (None, None) if sigma is None else sigma
    a, b = (
        _gaussian(batch, side, exponent, bandwidth, width)
        for side, exponent, width in zip((x, y), (ex, ey), sigmas, strict=True)
    )
    return gram_terms(batch, a, b, debiased=debiased, widths=widths), 0 * ex, 0 * ey


def _gaussian(batch: Batch, c, exponent, bandwidth: float, sigma) -> Float[Array, "b n"]:
    """Gaussian kernel of rows that were divided by 2^exponent; constant where σ = 0."""
    squared = squared_distances(batch, c)
    if sigma is None:
        width = bandwidth * median_distance(batch, squared)
    else:
        width = sigma * power_of_two(-exponent, c.dtype)
    zero = width == 0
    precision = jnp.where(zero, 0, 0.5 / jnp.where(zero, 1, width) ** 2)
    return jnp.exp(-squared * precision)


def _feature_terms(
    batch: Batch, x: Float[Array, "b dx"], y: Float[Array, "b dy"], *, debiased: bool
) -> AlignmentTerms:
    """Terms of linear kernels from cross-covariances, O(n·dx·dy): no matrix of pairs.

    With z = ‖YᵀX‖²_F and squared row norms q of centered rows, HSIC₁ = [z − n/(n−2)·⟨q_x, q_y⟩ +
    Σq_x Σq_y/((n−1)(n−2))] / (n(n−3)) and HSIC₀ = z/n².
    """
    enough = batch.count >= LEAST_ROWS[debiased]
    n = jnp.where(enough, batch.count, 4).astype(x.dtype)
    left, right = ((side, (side * side).sum(1)) for side in (x, y))

    def product(left, right):
        (a, p), (b, q) = left, right
        covariance = jnp.matmul(a.T, b, precision=jax.lax.Precision.HIGHEST)
        z = jnp.square(batch.everywhere(covariance)).sum()
        if not debiased:
            return z / n**2, z / n**2
        outer = batch.total(p) * batch.total(q) / ((n - 1) * (n - 2))
        pairs = n * (n - 3)
        return (z - n / (n - 2) * batch.total(p * q) + outer) / pairs, z / pairs

    (xy, _), (xx, x_size), (yy, y_size) = (
        product(left, right),
        product(left, left),
        product(right, right),
    )
    relative = rounding(str(x.dtype), batch.size)
    noise = tuple(relative * jax.lax.stop_gradient(size) for size in (x_size, y_size))
    return make_terms((xy, xx, yy), noise, batch.count, enough)


def _check_kernel(kernel: str, bandwidth: float, sigma: tuple[float, float] | None) -> None:
    if kernel not in _KERNELS:
        raise ValueError(f"unknown CKA kernel {kernel!r}: choose 'linear' or 'rbf'")
    widths = (bandwidth, bandwidth) if sigma is None else tuple(sigma)
    if len(widths) != 2 or not all(0 < width < math.inf for width in widths):
        raise ValueError(
            f"bandwidth and sigma must be positive and finite, sigma a pair: got bandwidth="
            f"{bandwidth!r}, sigma={sigma!r}"
        )
    if kernel == "linear" and (bandwidth != 1 or sigma is not None):
        raise ValueError(
            f"the linear kernel has no bandwidth: got bandwidth={bandwidth}, sigma={sigma}; pass "
            "kernel='rbf'"
        )
