"""Neighbor candidates from matrix products, with an error bound that says when they suffice.

The product is taken of *centered* rows c = x − μ: what is lost to float32 is then relative to the
spread of the data, not to its offset. With t_j chosen per column, both rankings have one form,

    s_ij = c_i·c_j + t_j,    inner: t_j = μ·c_j          and  x_i·x_j    = s_ij + μ·x_i
                             euclidean: t_j = −‖c_j‖²/2  and  ‖x_i−x_j‖² = ‖c_i‖² − 2 s_ij,

so the largest s of a row are its nearest neighbors either way.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Float64, Int, Int32

# Four times the unit roundoff of the product's dtype: covers the passes that emulate float32 on
# matrix units, and the rounding of c and t beside that of the product.
_UNIT = {"float32": 2.0**-22, "float64": 2.0**-51}
# Bound on what one product of float32 numbers loses to underflow, for rows of unit scale.
_UNDERFLOW = 2.0**-120
# Columns whose maximum stands for them in the first stage of the selection; databases are padded to
# whole blocks.
BLOCK = 32


class Database(NamedTuple):
    """All rows, prepared for search. Padding rows have t = −inf and are never proposed.

    Attributes:
      rows: stored rows, padded in width; they alone decide the order.
      centered: c, in the dtype of the proposing product.
      offsets: t.
      codes: rows of equal code never propose each other (a row itself, or its group).
      shifts: s_ij = value_ij − shift_i (inner) or (shift_i − value_ij) / 2 (euclidean).
      errors: bound on |proposed s − s| for every pair of row i.
    """

    rows: Float32[Array, "m p"]
    centered: Float[Array, "m d"]
    offsets: Float[Array, " m"]
    codes: Int32[Array, " m"]
    shifts: Float64[Array, " m"]
    errors: Float64[Array, " m"]


def make_database(
    rows: Float32[Array, "m p"],
    codes: Int32[Array, " m"],
    *,
    n: int,
    euclidean: bool,
    dtype: str,
) -> Database:
    """Centers the first `n` rows and bounds the error of their products in `dtype`.

    Rows from n on are padding. Must be called under `jax.enable_x64(True)`.

    The bound is the standard one of a length-d product in any order of summation,
    |fl(a·b) − a·b| ≤ d·u·‖a‖‖b‖, plus the rounding of t, of the sum, and of the shift in float64.
    """
    real = jnp.arange(rows.shape[0]) < n
    x = jnp.where(real[:, None], rows, jnp.zeros((), rows.dtype)).astype(jnp.float64)
    mean = x.sum(0) / n
    c = jnp.where(real[:, None], x - mean[None, :], 0.0)
    squares = (c * c).sum(1)
    offsets = -squares / 2 if euclidean else c @ mean
    shifts = squares if euclidean else x @ mean
    norms, width = jnp.sqrt(squares), rows.shape[1]
    spread = norms * norms.max() + jnp.abs(offsets).max()
    lengths = jnp.sqrt((x * x).sum(1))
    rounding = _UNIT["float64"] * width * (lengths * lengths.max() + (mean * mean).sum())
    return Database(
        rows=rows,
        centered=c.astype(dtype),
        offsets=jnp.where(real, offsets, -jnp.inf).astype(dtype),
        codes=codes,
        shifts=shifts,
        errors=_UNIT[dtype] * (width + 4) * spread + rounding + width * _UNDERFLOW,
    )


def propose(
    centered: Float[Array, "t d"],
    codes: Int32[Array, " t"],
    database: Database,
    *,
    candidates: int,
    column_tile: int,
) -> tuple[Float[Array, "t c"], Int32[Array, "t c"]]:
    """The `candidates` columns of largest proposed s for each query row, best first.

    Streams over column tiles; the largest array is `[t, column_tile]`.

    Returns:
      Proposed values (−inf where a row has fewer eligible columns) and column numbers. Every column
      that is not returned has a proposed value of at most the last returned one.
    """

    def tile(start):
        block = jax.lax.dynamic_slice_in_dim(database.centered, start, column_tile)
        offsets = jax.lax.dynamic_slice_in_dim(database.offsets, start, column_tile)
        excluded = jax.lax.dynamic_slice_in_dim(database.codes, start, column_tile)
        s = jnp.matmul(centered, block.T, precision=jax.lax.Precision.HIGHEST) + offsets[None, :]
        s = jnp.where(codes[:, None] == excluded[None, :], -jnp.inf, s)
        values, columns = _select(s, min(candidates, column_tile))
        return values, columns + start.astype(jnp.int32)

    def step(best, start):
        values, columns = tile(start)
        values = jnp.concatenate([best[0], values], axis=1)
        columns = jnp.concatenate([best[1], columns], axis=1)
        values, order = jax.lax.top_k(values, candidates)
        return (values, jnp.take_along_axis(columns, order, axis=1)), None

    t, m = centered.shape[0], database.centered.shape[0]
    if m == column_tile:
        return tile(jnp.zeros((), jnp.int32))
    first = (
        jnp.full((t, candidates), -jnp.inf, centered.dtype),
        jnp.zeros((t, candidates), jnp.int32),
    )
    return jax.lax.scan(step, first, jnp.arange(0, m, column_tile))[0]


def _select(s: Float[Array, "t m"], count: int) -> tuple[Float[Array, "t c"], Int[Array, "t c"]]:
    """Exact top-`count`: block maxima first, then only the blocks that can hold a winner.

    The `count` blocks of largest maximum hold the `count` largest entries, so a full selection runs
    over count · BLOCK columns instead of m.
    """
    t, m = s.shape
    if m < 4 * count * BLOCK:
        return tuple(jax.lax.top_k(s, count))
    blocks = s.reshape(t, m // BLOCK, BLOCK)
    chosen = jax.lax.top_k(blocks.max(-1), count)[1]
    inside = jnp.take_along_axis(blocks, chosen[:, :, None], axis=1).reshape(t, -1)
    values, position = jax.lax.top_k(inside, count)
    column = jnp.take_along_axis(chosen, position // BLOCK, axis=1) * BLOCK + position % BLOCK
    return values, column.astype(jnp.int32)
