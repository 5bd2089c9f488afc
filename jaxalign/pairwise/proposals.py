"""Neighbor candidates from matrix products, with an error bound that says when they suffice.

The product is taken of *centered* rows c = x − μ: what is lost to rounding is then relative to the
spread of the data, not to its offset. With t_j chosen per column, both rankings have one form,

    s_ij = c_i·c_j + t_j,    inner: t_j = μ·c_j          and  x_i·x_j    = s_ij + μ·x_i
                             euclidean: t_j = −‖c_j‖²/2  and  ‖x_i−x_j‖² = ‖c_i‖² − 2 s_ij,

so the largest s of a row are its nearest neighbors either way.

The product runs in one of three precisions, which differ in their operands only:

* `"float32"`: c in float32, at HIGHEST precision;
* `"bfloat16"`: h, the rounding of c to bfloat16: one pass of a matrix unit;
* `"bfloat16x3"`: h·h + h·l + l·h with l the rounding of c − h, as one product of width 3d.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int32

# At least twice the unit roundoff of one addition: bfloat16 products are exact in float32, and
# units that truncate sums are covered; four times where float32 may be emulated in passes.
_UNIT = {"float32": 2.0**-22, "bfloat16": 2.0**-23, "bfloat16x3": 2.0**-23}
_UNIT_FLOAT64 = 2.0**-51
# Bound on what one product of float32 numbers loses to underflow, for rows of unit scale.
_UNDERFLOW = 2.0**-120
# Marks columns that may not be proposed: finite, so that packing a number into it gives no NaN.
_NEVER = -(2.0**126)
# Each block of columns keeps its four largest values. Columns are shuffled, so four of a row's k
# nearest rarely share a block; rows where they do are searched again.
_KEPT = 4
_BLOCKS = (32, 16, 8)
_CROWDED = 0.005  # share of rows with a crowded block up to which blocks of a size are used
# Columns of one matrix product: its result stays in cache until it is reduced. Databases are padded
# to whole products.
COLUMNS = 1024
_WIDTHS = 32  # operands are padded to multiples of this width: fewer shapes to compile


class Bounds(NamedTuple):
    """What turns proposed values into statements about ordering values.

    Attributes:
      shifts: s_ij = value_ij − shift_i (inner) or (shift_i − value_ij) / 2 (euclidean).
      errors: bound on |proposed s − s| for every pair of row i.
    """

    shifts: Float64[np.ndarray, " n"]
    errors: Float64[np.ndarray, " n"]


class Database(NamedTuple):
    """Operands of the product. Padding columns have t = −inf and are never proposed.

    Attributes:
      left: operand of the query rows.
      rows: row number of each column.
      right: operand of the columns, transposed, in groups of `COLUMNS`.
      offsets: t.
      codes: a query never meets columns of its own code.
    """

    left: Float[Array, "n w"]
    rows: Int32[Array, " m"]
    right: Float[Array, "g w c"]
    offsets: Float32[Array, "g c"]
    codes: Int32[Array, "g c"]


def make_database(
    rows: Float32[np.ndarray, "n d"],
    codes: Int32[np.ndarray, " n"],
    *,
    euclidean: bool,
    precision: str,
    groups: int,
) -> tuple[Database, Bounds]:
    """Centers rows and rounds them to the operands of a product, whose error it bounds.

    Args:
      rows: distinct rows of unit scale.
      codes: see `Database`.
      euclidean: distances instead of inner products.
      precision: of the product.
      groups: the number of column groups is padded to a multiple of this.
    """
    n, d = rows.shape
    mean = sum(rows[part].sum(axis=0, dtype=np.float64) for part in _parts(np.arange(n))) / n
    order = np.random.default_rng(0).permutation(n).astype(np.int32)
    dtype = np.dtype(np.float32 if precision == "float32" else ml_dtypes.bfloat16)
    width = -(-d // _WIDTHS) * _WIDTHS
    total = width * (3 if precision == "bfloat16x3" else 1)
    columns = -(-n // (COLUMNS * groups)) * COLUMNS * groups
    left = np.zeros((n, total), dtype)
    right = np.zeros((columns // COLUMNS, total, COLUMNS), dtype)
    facts = _Facts(*(np.zeros(n) for _ in _Facts._fields))
    for group, part in enumerate(_parts(order)):
        x = rows[part].astype(np.float64)
        c = x - mean
        operands, lost, low = _round(c, precision, dtype)
        for number, (a, b) in enumerate(operands):
            span = slice(number * width, number * width + d)
            left[part, span] = a
            right[group, span, : len(part)] = b.T
        for whole, values in zip(
            facts, (_squares(x), _squares(c), c @ mean, lost, low), strict=True
        ):
            whole[part] = values
    offsets = -facts.squares / 2 if euclidean else facts.products
    shifts = facts.squares if euclidean else facts.products + mean @ mean
    errors = _errors(facts, offsets, mean, precision=precision, width=total)

    def by_column(values, filling):
        return np.pad(values[order], (0, columns - n), constant_values=filling)

    database = Database(
        left=jnp.asarray(left),
        rows=jnp.asarray(np.pad(order, (0, columns - n))),
        right=jnp.asarray(right),
        offsets=jnp.asarray(by_column(offsets.astype(np.float32), -np.inf).reshape(-1, COLUMNS)),
        codes=jnp.asarray(by_column(codes, -1).reshape(-1, COLUMNS)),
    )
    return database, Bounds(shifts, errors)


class _Facts(NamedTuple):
    """Of every row: ‖x‖², ‖c‖², μ·c, ‖r‖ and ‖l‖; see `_errors`."""

    lengths: Float64[np.ndarray, " n"]
    squares: Float64[np.ndarray, " n"]
    products: Float64[np.ndarray, " n"]
    lost: Float64[np.ndarray, " n"]
    low: Float64[np.ndarray, " n"]


def _errors(facts: _Facts, offsets, mean, *, precision: str, width: int):
    """Bound on the error of proposed values, for every pair of a row.

    With a_i + r_i = c_i the operand and what its rounding left out,
    |c_i·c_j − a_i·a_j| ≤ ‖r_i‖‖c_j‖ + ‖a_i‖‖r_j‖; r is measured, not estimated. To it come the
    standard bound of a length-w sum of products in any order, w·u·‖a‖‖b‖, the rounding of t and of
    the last addition, the column number packed into the value, the product l·l left out, underflow,
    and the rounding of ordering values and shifts in float64.
    """
    norms = np.sqrt(facts.squares)
    sizes = norms + facts.lost  # at least the length of the operand
    dropped = facts.lost * norms.max() + sizes * facts.lost.max() + facts.low * facts.low.max()
    rounding = _UNIT[precision] * (width + 4) + _BLOCKS[0] * 2.0**-23
    rounding = rounding * (sizes * sizes.max() + np.abs(offsets).max())
    lengths = np.sqrt(facts.lengths) + np.sqrt(mean @ mean)
    in_float64 = _UNIT_FLOAT64 * (width + 4) * np.square(lengths + lengths.max())
    return dropped + rounding + in_float64 + width * _UNDERFLOW


def _parts(numbers):
    return np.split(numbers, range(COLUMNS, len(numbers), COLUMNS))


def _squares(x):
    return np.einsum("id,id->i", x, x)


def _round(c, precision: str, dtype):
    """Pairs of operands, the length of what they leave out, and that of l where l·l is dropped."""
    high = c.astype(dtype)
    rest = c - high.astype(np.float64)
    if precision != "bfloat16x3":
        return [(high, high)], np.sqrt(_squares(rest)), np.zeros(len(c))
    low = rest.astype(dtype)
    lost = np.sqrt(_squares(rest - low.astype(np.float64)))
    lengths = np.sqrt(_squares(low.astype(np.float64)))
    return [(high, high), (high, low), (low, high)], lost, lengths


def block_size(n: int, k: int) -> int:
    """Columns a block: most that keep crowded blocks rare, 1 where none does."""
    for size in _BLOCKS:
        if math.comb(k, _KEPT) <= _CROWDED * (n / size) ** (_KEPT - 1):
            return size
    return 1


def kept_share(block: int) -> float:
    """Share of the proposed values that is kept until the selection."""
    return 1.0 if block == 1 else _KEPT / block


def propose(
    left: Float[Array, "t w"],
    codes: Int32[Array, " t"],
    database: Database,
    *,
    candidates: int,
    steps: int,
    block: int,
) -> tuple[Float32[Array, "t c"], Int32[Array, "t c"], Float32[Array, " t"]]:
    """Columns of largest proposed s for each query row.

    The whole product is never kept: each block of columns is reduced to its `_KEPT` largest values
    while it is in cache, with the place in the block in the last bits of the value.

    Args:
      left: operand of the query rows.
      codes: of the query rows.
      database: all columns, taken in `steps` equal parts.
      candidates: columns wanted.
      steps: see `database`.
      block: columns a block; see `block_size`.

    Returns:
      Proposed values (−inf where a row has fewer eligible columns), their row numbers, and limits:
      no column that is not returned has a larger value.
    """
    groups = database.right.shape[0] // steps

    def product(group):
        right, offsets, excluded = (part[group] for part in database[2:])
        precision = jax.lax.Precision.HIGHEST if left.dtype == jnp.float32 else None
        s = jnp.matmul(left, right, precision=precision, preferred_element_type=jnp.float32)
        # Fused with what follows, XLA's CPU compiler would not use its fast product.
        s = jax.lax.optimization_barrier(s) + offsets[None, :]
        s = jnp.where(codes[:, None] == excluded[None, :], _NEVER, jnp.maximum(s, _NEVER))
        return _largest(s, block)

    def part(number):
        first = (number * groups).astype(jnp.int32)
        kept = jax.lax.map(product, first + jnp.arange(groups, dtype=jnp.int32))
        values, columns, limits = _select(kept, candidates, block)
        return values, columns + first * COLUMNS, limits

    def step(best, number):
        found = part(number)
        values, columns = (
            jnp.concatenate([old, new], axis=1)
            for old, new in zip(best[:2], found[:2], strict=True)
        )
        values, order = jax.lax.top_k(values, candidates)
        columns = jnp.take_along_axis(columns, order, axis=1)
        return (values, columns, jnp.maximum(best[2], found[2])), None

    if steps == 1:
        values, columns, limits = part(jnp.zeros((), jnp.int32))
    else:
        shape = (left.shape[0], candidates)
        first = (jnp.full(shape, _NEVER, jnp.float32), jnp.zeros(shape, jnp.int32))
        first = (*first, jnp.full(shape[:1], _NEVER, jnp.float32))
        values, columns, limits = jax.lax.scan(step, first, jnp.arange(steps, dtype=jnp.int32))[0]
    # The last proposed value, by a reduction: a slice of top_k's result makes XLA's CPU compiler
    # replace the selection by a full sort (4 times the time of the whole tile).
    limits = jnp.maximum(limits, values.min(axis=1))
    values, limits = (jnp.where(v < _NEVER / 2, -jnp.inf, v) for v in (values, limits))
    return values, database.rows[columns], limits


def _largest(s: Float32[Array, "t c"], block: int) -> Float32[Array, "t kept b"]:
    """The `_KEPT` largest of each block: columns b, b + c/block, and so on."""
    if block == 1:
        return s[:, None, :]
    s = s.reshape(s.shape[0], block, -1)
    place = jnp.arange(block, dtype=jnp.int32)[None, :, None]
    bits = jax.lax.bitcast_convert_type(s, jnp.int32) & ~(block - 1) | place
    s = jax.lax.bitcast_convert_type(bits, jnp.float32)
    kept = [s.max(axis=1)]
    while len(kept) < _KEPT:  # no two values of a block are equal: their places differ
        kept.append(jnp.where(s < kept[-1][:, None, :], s, _NEVER).max(axis=1))
    return jnp.stack(kept, axis=1)


def _select(
    kept: Float32[Array, "g t kept b"], count: int, block: int
) -> tuple[Float32[Array, "t c"], Int32[Array, "t c"], Float32[Array, " t"]]:
    """Largest kept values, their columns, and the largest value a block may hide behind them."""
    g, t, _, b = kept.shape
    kept = kept.transpose(1, 2, 0, 3).reshape(t, -1)
    values, at = jax.lax.top_k(kept, min(count, kept.shape[1]))
    place = jax.lax.bitcast_convert_type(values, jnp.int32) & (block - 1)
    group, inside = jnp.divmod(at % (g * b), b)
    hidden = (at // (g * b) == _KEPT - 1) & (block > 1)
    limits = jnp.where(hidden, values, _NEVER).max(axis=1)
    return values, group * COLUMNS + place * b + inside, limits
