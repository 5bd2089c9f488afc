"""Rows of a batch before they are compared: normalized, centered, scaled."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from jaxalign.learning.losses.batch import Batch

NORMALIZATIONS = ("none", "l2")
"""Those of `jaxalign.embeddings.preprocess` that are smooth and leave rows independent."""


def normalized(x: Float[Array, "b d"], method: str) -> Float[Array, "b d"]:
    """Rows as they are, or of length 1.

    Raises:
      ValueError: for an unknown method.
    """
    if method not in NORMALIZATIONS:
        raise ValueError(
            f"unknown normalization {method!r}: a loss takes one of {NORMALIZATIONS}; apply "
            "another one to the embeddings before"
        )
    return l2_rows(x) if method == "l2" else x


def l2_rows(x: Float[Array, "b d"]) -> Float[Array, "b d"]:
    """x_i / ‖x_i‖; rows of zeros stay zero, with derivative zero.

    Rows are first divided by the power of two nearest to their largest element, so that squares
    neither overflow nor vanish.
    """
    largest = jnp.abs(jax.lax.stop_gradient(x)).max(1, keepdims=True)
    x = x * power_of_two(-_exponent(largest), x.dtype)
    squares = (x * x).sum(1, keepdims=True)
    zero = squares == 0
    return jnp.where(zero, jnp.zeros_like(x), x * jax.lax.rsqrt(jnp.where(zero, 1, squares)))


def centered(batch: Batch, x: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Int32[Array, ""]]:
    """Centered rows c with x − mean = c·2^e and |c| ≤ 1, and e; padding stays zero.

    The power of two is a constant for derivatives: what does not change with the scale of a model
    has the same derivatives either way.
    """
    return scaled(batch, centered_columns(batch, x))


def scaled(batch: Batch, x: Float[Array, "b d"]) -> tuple[Float[Array, "b d"], Int32[Array, ""]]:
    """Rows r with x = r·2^e and |r| ≤ 1, and e, a constant for derivatives."""
    exponent = _exponent(batch.largest(jnp.abs(x)).max())
    return x * power_of_two(-exponent, x.dtype), exponent


def centered_columns(batch: Batch, x: Float[Array, "b d"]) -> Float[Array, "b d"]:
    """Rows minus their mean; constant columns become exact zeros."""
    present, unit = batch.present[:, None], jnp.finfo(x.dtype).eps
    count = jnp.maximum(batch.count, 1).astype(x.dtype)

    def minus_mean(values):
        return jnp.where(present, values - (batch.total(values) / count)[None, :], 0)

    # The second mean is the rounding of the first: an offset leaves nothing behind.
    c = minus_mean(minus_mean(x))
    constant = batch.largest(jnp.abs(c)) <= unit / 64 * batch.largest(jnp.abs(x))
    return c - jax.lax.stop_gradient(jnp.where(constant[None, :], c, 0))


def power_of_two(exponent: Int32[Array, "*shape"], dtype: jnp.dtype) -> Float[Array, "*shape"]:
    """2^e, infinite or zero beyond the range of the dtype."""
    return jnp.ldexp(jnp.ones(exponent.shape, dtype), exponent)


def _exponent(largest: Float[Array, "*shape"]) -> Int32[Array, "*shape"]:
    """Least e with |x| < 2^e for the largest element of something."""
    limit = jnp.finfo(largest.dtype).maxexp - 8  # 2^e and 2^−e are normal numbers
    return jnp.clip(jnp.frexp(jax.lax.stop_gradient(largest))[1], -limit, limit)
