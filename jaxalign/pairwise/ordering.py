"""The ordering value of a pair of rows: float64, the same bits on every path, device and shape.

Neighbor lists are decided by this value alone. Its bits must not depend on how many rows are
compared at once, so nothing is left to the compiler:

* every product is exact in float64 (float32 x float32 has at most 48 significant bits), so a fused
  multiply-add gives the same result as a multiplication and an addition;
* the order of the additions is written out: `_LANES` running sums, added as a tree at the end.

NumPy then gives the same bits as every device, so searches may decide wherever it is cheaper.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Float64, Int

from jaxalign.parallel.ring import varying_like

_LANES = 8
_UNROLLED = 8  # additions a lane of one loop step: few enough to compile fast, enough to run fast
_WIDTH = _LANES * _UNROLLED
_TINY = np.float32(2.0**-100)
_PAIRS = 512  # pairs whose rows NumPy holds at once: they should stay in cache


def pad_width(x: Float32[Array, "n d"]) -> Float32[Array, "n p"]:
    """Appends zero columns up to whole loop steps; they add nothing to any value."""
    return _pad_last(x)


def padded_width(d: int) -> int:
    """Width of rows after `pad_width`."""
    return -(-d // _WIDTH) * _WIDTH


def _pad_last(x):
    missing = -x.shape[-1] % _WIDTH
    return jnp.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, missing),)) if missing else x


def unit_scale(
    x: Float32[np.ndarray, "n d"],
) -> tuple[Float32[np.ndarray, "n d"], int]:
    """Divides all rows by one power of two, so that the largest element lies in [1, 2).

    The order of neighbors does not change, and squares of very large or small data stay within the
    range of float32. Exact, but that elements 2¹⁰⁰ times smaller than the largest become 0: nothing
    then is subnormal, which some devices flush and others do not.

    Returns:
      Scaled rows and the exponent e: x = scaled · 2ᵉ.
    """
    exponent = scale_exponent(float(np.abs(x).max()))
    return scale_down(x, exponent), exponent


def scale_exponent(largest: float) -> int:
    """Exponent that `unit_scale` takes for rows whose largest absolute value this is."""
    return math.frexp(largest)[1] - 1 if largest > 0 else 0


def scale_down(x: Float32[np.ndarray, "n d"], exponent: int) -> Float32[np.ndarray, "n d"]:
    """X · 2⁻ᵉ as `unit_scale` gives it; of some of the rows, what it gives for these."""
    x = np.ldexp(x, -exponent) if exponent else x
    tiny = (x != 0) & (np.abs(x) < _TINY)
    return np.where(tiny, np.float32(0), x) if tiny.any() else x


def inner_products(
    x: Float32[Array, "... p"], y: Float32[Array, "... p"]
) -> Float64[Array, " ..."]:
    """Σ_d x_d y_d with exact products. Leading axes broadcast.

    Must be called under `jax.enable_x64(True)`.
    """
    return _accumulate(x, y, _add_product)


def squared_distances(
    x: Float32[Array, "... p"], y: Float32[Array, "... p"]
) -> Float64[Array, " ..."]:
    """Σ_d (x_d − y_d)² with exact products. Leading axes broadcast.

    The difference is split into two float32 parts, so that each of the three products of its square
    is exact; what the split drops is below 2⁻⁴⁸ of the difference, and nothing at all when the two
    values lie within a factor of 2²⁴ of each other.
    """
    return _accumulate(x, y, _add_square)


def host_inner_products(
    x: Float32[np.ndarray, "q d"],
    y: Float32[np.ndarray, "m d"],
    left: Int[np.ndarray, " p"],
    right: Int[np.ndarray, " p"],
) -> Float64[np.ndarray, " p"]:
    """`inner_products` of the pairs (x[left], y[right]), the same bits, computed by NumPy."""
    return _accumulate_on_host(x, y, left, right, _add_product)


def host_squared_distances(
    x: Float32[np.ndarray, "q d"],
    y: Float32[np.ndarray, "m d"],
    left: Int[np.ndarray, " p"],
    right: Int[np.ndarray, " p"],
) -> Float64[np.ndarray, " p"]:
    """`squared_distances` of the pairs (x[left], y[right]), the same bits, computed by NumPy."""
    return _accumulate_on_host(x, y, left, right, _add_square)


def _add_product(a, b, total):
    return total + a * b


def _add_square(a, b, total):
    difference = a - b
    high = difference.astype(np.float32).astype(np.float64)
    low = (difference - high).astype(np.float32).astype(np.float64)
    return total + high * high + (high + high) * low + low * low


def _accumulate(x, y, add_term):
    shape = jnp.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    x, y = (_pad_last(v.reshape((1,) * (len(shape) + 1 - v.ndim) + v.shape)) for v in (x, y))

    def step(number, totals):
        for lane in range(0, _WIDTH, _LANES):
            start = number * _WIDTH + lane
            a, b = (jax.lax.dynamic_slice_in_dim(v, start, _LANES, axis=-1) for v in (x, y))
            totals = add_term(a.astype(jnp.float64), b.astype(jnp.float64), totals)
        return totals

    # Inside `jax.shard_map` a carry must vary over devices as what is added to it does.
    first = varying_like(jnp.zeros((*shape, _LANES), jnp.float64), x, y)
    return _tree(jax.lax.fori_loop(0, x.shape[-1] // _WIDTH, step, first))


def _accumulate_on_host(x, y, left, right, add_term):
    values = np.empty(len(left))
    for begin in range(0, len(left), _PAIRS):
        pairs = slice(begin, begin + _PAIRS)
        a, b = (_lanes_first(v[ids[pairs]]) for v, ids in ((x, left), (y, right)))
        totals = np.zeros(a.shape[1:])
        for p, q in zip(a, b, strict=True):
            totals = add_term(p.astype(np.float64), q.astype(np.float64), totals)
        values[pairs] = _tree(totals)
    return values


def _lanes_first(rows):
    """`[p, d]` → `[steps, p, lanes]`, with zero columns up to whole lanes."""
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % _LANES)))
    return rows.reshape(len(rows), -1, _LANES).transpose(1, 0, 2)


def _tree(totals):
    while totals.shape[-1] > 1:
        half = totals.shape[-1] // 2
        totals = totals[..., :half] + totals[..., half:]
    return totals[..., 0]
