"""Neighbor candidates from matrix products, block of columns by block of columns.

The operands are those of `database.py`, where the error of their products is bounded.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int32

from jaxalign.parallel.ring import varying

# Marks columns that may not be proposed: finite, so that packing a number into it gives no NaN.
_NEVER = -(2.0**126)
# Each block of columns keeps its four largest values. Columns are shuffled, so four of a row's k
# nearest rarely share a block; rows where they do are searched again.
KEPT = 4
BLOCKS = (32, 16, 8)


class Columns(NamedTuple):
    """One shard of the rows compared with. Padding columns have t = −inf: never proposed.

    Attributes:
      rows: number of each column's row within the shard.
      right: operand of the columns, transposed, in groups.
      offsets: t.
      codes: a query never meets columns of its own code.
    """

    rows: Int32[Array, " m"]
    right: Float[Array, "g w c"]
    offsets: Float32[Array, "g c"]
    codes: Int32[Array, "g c"]


class Best(NamedTuple):
    """Columns of largest proposed value so far.

    Attributes:
      values: in no order; `_NEVER` or less where there are fewer eligible columns.
      rows: row numbers.
      limits: largest value that a block may hide.
    """

    values: Float32[Array, "*tiles t c"]
    rows: Int32[Array, "*tiles t c"]
    limits: Float32[Array, "*tiles t"]


def nothing(shape: tuple[int, ...], candidates: int) -> Best:
    """What is known of query rows that met no column."""
    return Best(
        jnp.full((*shape, candidates), _NEVER, jnp.float32),
        jnp.zeros((*shape, candidates), jnp.int32),
        jnp.full(shape, _NEVER, jnp.float32),
    )


def propose(
    left: Float[Array, "t w"],
    codes: Int32[Array, " t"],
    columns: Columns,
    *,
    candidates: int,
    steps: int,
    block: int,
) -> Best:
    """Columns of largest proposed s for each query row.

    The whole product is never kept: each block of columns is reduced to its `KEPT` largest values
    while it is in cache, with the place in the block in the last bits of the value.

    Args:
      left: operand of the query rows.
      codes: of the query rows.
      columns: taken in `steps` equal parts.
      candidates: columns wanted.
      steps: see `columns`.
      block: columns a block.

    Returns:
      The best; inside `jax.shard_map` only.
    """
    groups, width = columns.right.shape[0] // steps, columns.right.shape[2]

    def product(group):
        right, offsets, excluded = (part[group] for part in columns[1:])
        precision = jax.lax.Precision.HIGHEST if left.dtype == jnp.float32 else None
        s = jnp.matmul(left, right, precision=precision, preferred_element_type=jnp.float32)
        # Fused with what follows, XLA's CPU compiler would not use its fast product.
        s = jax.lax.optimization_barrier(s) + offsets[None, :]
        s = jnp.where(codes[:, None] == excluded[None, :], _NEVER, jnp.maximum(s, _NEVER))
        return _largest(s, block)

    def part(number):
        first = (number * groups).astype(jnp.int32)
        kept = jax.lax.map(product, first + jnp.arange(groups, dtype=jnp.int32))
        values, chosen, limits = _select(kept, candidates, block, width)
        return Best(values, columns.rows[chosen + first * width], limits)

    if steps == 1:
        return part(jnp.zeros((), jnp.int32))
    start = varying(nothing(left.shape[:1], candidates))
    numbers = jnp.arange(steps, dtype=jnp.int32)
    return jax.lax.scan(lambda best, number: (merge(best, part(number)), None), start, numbers)[0]


def merge(best: Best, other: Best) -> Best:
    """The best of two sets of columns."""
    candidates = best.values.shape[-1]
    values, rows = (
        jnp.concatenate([a, b], axis=-1) for a, b in zip(best[:2], other[:2], strict=True)
    )
    values, order = jax.lax.top_k(values, candidates)
    rows = jnp.take_along_axis(rows, order, axis=-1)
    return Best(values, rows, jnp.maximum(best.limits, other.limits))


def settle(best: Best) -> Best:
    """Limits that hold for all columns that are not among the best; −inf in place of `_NEVER`."""
    # The last proposed value, by a reduction: a slice of top_k's result makes XLA's CPU compiler
    # replace the selection by a full sort (4 times the time of the whole tile).
    limits = jnp.maximum(best.limits, best.values.min(axis=-1))
    values, limits = (jnp.where(v < _NEVER / 2, -jnp.inf, v) for v in (best.values, limits))
    return Best(values, best.rows, limits)


def _largest(s: Float32[Array, "t c"], block: int) -> Float32[Array, "t kept b"]:
    """The `KEPT` largest of each block: columns b, b + c/block, and so on."""
    if block == 1:
        return s[:, None, :]
    s = s.reshape(s.shape[0], block, -1)
    place = jnp.arange(block, dtype=jnp.int32)[None, :, None]
    bits = jax.lax.bitcast_convert_type(s, jnp.int32) & ~(block - 1) | place
    s = jax.lax.bitcast_convert_type(bits, jnp.float32)
    kept = [s.max(axis=1)]
    while len(kept) < KEPT:  # no two values of a block are equal: their places differ
        kept.append(jnp.where(s < kept[-1][:, None, :], s, _NEVER).max(axis=1))
    return jnp.stack(kept, axis=1)


def _select(
    kept: Float32[Array, "g t kept b"], count: int, block: int, width: int
) -> tuple[Float32[Array, "t c"], Int32[Array, "t c"], Float32[Array, " t"]]:
    """Largest kept values, their columns, and the largest value a block may hide behind them."""
    g, t, _, b = kept.shape
    kept = kept.transpose(1, 2, 0, 3).reshape(t, -1)
    if kept.shape[1] < count:
        missing = count - kept.shape[1]
        kept = jnp.pad(kept, ((0, 0), (0, missing)), constant_values=_NEVER)
    values, at = jax.lax.top_k(kept, count)
    place = jax.lax.bitcast_convert_type(values, jnp.int32) & (block - 1)
    group, inside = jnp.divmod(at % (g * b), b)
    hidden = (at // (g * b) == KEPT - 1) & (block > 1)
    limits = jnp.where(hidden, values, _NEVER).max(axis=1)
    return values, group * width + place * b + inside, limits
