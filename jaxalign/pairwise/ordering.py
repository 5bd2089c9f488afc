"""The ordering value of a pair of rows: float64, the same bits on every path, device and shape.

Neighbor lists are decided by this value alone. Its bits must not depend on how many rows are
compared at once, so nothing is left to the compiler:

* every product is exact in float64 (float32 x float32 has at most 48 significant bits), so a fused
  multiply-add gives the same result as a multiplication and an addition;
* the order of the additions is written out: `_LANES` running sums, added as a tree at the end.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Float64

_LANES = 8


def pad_width(x: Float32[Array, "n d"]) -> Float32[Array, "n p"]:
    """Appends zero columns up to a multiple of the lane count; they add nothing to any value."""
    return jnp.pad(x, ((0, 0), (0, -x.shape[1] % _LANES)))


def unit_scale(
    x: Float32[np.ndarray, "n d"],
) -> tuple[Float32[np.ndarray, "n d"], int]:
    """Divides all rows by one power of two, so that the largest element lies in [1, 2).

    The order of neighbors does not change, and squares of very large or small data stay within the
    range of float32. Exact, but for elements 2¹²⁶ times smaller than the largest.

    Returns:
      Scaled rows and the exponent e: x = scaled · 2ᵉ.
    """
    largest = float(np.abs(x).max())
    exponent = math.frexp(largest)[1] - 1 if largest > 0 else 0
    return (np.ldexp(x, -exponent) if exponent else x), exponent


def inner_products(
    x: Float32[Array, "... p"], y: Float32[Array, "... p"]
) -> Float64[Array, " ..."]:
    """Σ_d x_d y_d with exact products. Leading axes broadcast; p is a multiple of the lanes.

    Must be called under `jax.enable_x64(True)`.
    """
    return _accumulate(x, y, lambda a, b, total: total + a * b)


def squared_distances(
    x: Float32[Array, "... p"], y: Float32[Array, "... p"]
) -> Float64[Array, " ..."]:
    """Σ_d (x_d − y_d)² with exact products. Leading axes broadcast; p is a multiple of the lanes.

    The difference is split into two float32 parts, so that each of the three products of its square
    is exact; what the split drops is below 2⁻⁴⁸ of the difference, and nothing at all when the two
    values lie within a factor of 2²⁴ of each other.
    """

    def add_square(a, b, total):
        difference = a - b
        high = difference.astype(jnp.float32).astype(jnp.float64)
        low = (difference - high).astype(jnp.float32).astype(jnp.float64)
        return total + high * high + (high + high) * low + low * low

    return _accumulate(x, y, add_square)


def _accumulate(x, y, add_term):
    shape = jnp.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    x, y = _by_steps(x, shape), _by_steps(y, shape)

    def step(totals, operands):
        a, b = (part.astype(jnp.float64) for part in operands)
        return add_term(a, b, totals), None

    totals, _ = jax.lax.scan(step, jnp.zeros((*shape, _LANES), jnp.float64), (x, y))
    while totals.shape[-1] > 1:
        half = totals.shape[-1] // 2
        totals = totals[..., :half] + totals[..., half:]
    return totals[..., 0]


def _by_steps(x, shape):
    """`[..., p]` → `[p / lanes, ..., lanes]` with as many leading axes as `shape`."""
    x = x.reshape((1,) * (len(shape) + 1 - x.ndim) + x.shape)
    x = x.reshape(*x.shape[:-1], x.shape[-1] // _LANES, _LANES)
    return jnp.moveaxis(x, -2, 0)
