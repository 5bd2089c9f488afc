"""Operands of the matrix products that propose neighbors, and the bound of their error.

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

import functools
import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Float64, Int32

from jaxalign.pairwise.precision import float64_unit
from jaxalign.pairwise.proposals import BLOCKS, Columns
from jaxalign.pairwise.row_blocks import RowBlocks
from jaxalign.pairwise.search_plan import SearchPlan, operand_type, operand_width
from jaxalign.parallel.columns import Column
from jaxalign.parallel.multihost import exchange
from jaxalign.parallel.padding import own_shards, place_shards

# At least twice the unit roundoff of one addition: bfloat16 products are exact in float32, and
# units that truncate sums are covered; four times where float32 may be emulated in passes.
_UNIT = {"float32": 2.0**-22, "bfloat16": 2.0**-23, "bfloat16x3": 2.0**-23}
# Bound on what one product of float32 numbers loses to underflow, for rows of unit scale.
_UNDERFLOW = 2.0**-120


class Bounds(NamedTuple):
    """What turns proposed values of some consecutive rows into statements about ordering values.

    Attributes:
      first: number of the first of these rows.
      shifts: s_ij = value_ij − shift_i (inner) or (shift_i − value_ij) / 2 (euclidean).
      errors: bound on |proposed s − s| for every pair of row i.
      keys: of it, the error of ordering values that devices compute.
    """

    first: int
    shifts: Float64[np.ndarray, " n"]
    errors: Float64[np.ndarray, " n"]
    keys: Float64[np.ndarray, " n"]


class Database(NamedTuple):
    """Operands of the product, shard by shard.

    Attributes:
      left: operand of the query rows.
      columns: of the rows compared with.
    """

    left: Float[Array, "s w"]
    columns: Columns


class Member(NamedTuple):
    """One of the models that are searched together.

    Attributes:
      rows: distinct rows of unit scale.
      codes: a query never meets columns of its own code.
      mean: of the rows.
      column: devices that hold the rows.
    """

    rows: RowBlocks
    codes: Int32[np.ndarray, " n"]
    mean: Float64[np.ndarray, " d"]
    column: Column


def make_database(
    members: Sequence[Member], plan: SearchPlan, mesh: Mesh, *, euclidean: bool, precision: str
) -> tuple[Database, list[Bounds]]:
    """Centers rows and rounds them to the operands of a product, whose error it bounds.

    Each process reads the rows of its own devices.

    Args:
      members: models, one a column of the mesh; narrow ones get columns of zeros.
      plan: sizes of everything.
      mesh: devices that hold the shards.
      euclidean: distances instead of inner products.
      precision: of the product.

    Returns:
      The database over all devices, and for every model the bounds of this process's rows.
    """
    count = len(own_shards(mesh))
    width = operand_width(max(member.rows.d for member in members), precision)
    dtype, shape = operand_type(precision), (count, plan.groups, plan.columns)
    whole = Database(
        np.zeros((count, plan.shards.size, width), dtype),
        Columns(
            np.zeros(shape, np.int32),
            np.zeros((count, plan.groups, width, plan.columns), dtype),
            np.full(shape, -np.inf, np.float32),
            np.full(shape, -1, np.int32),
        ),
    )
    unit = float64_unit(mesh)
    bounds = [
        _enter(member, whole, plan, euclidean=euclidean, precision=precision, unit=unit)
        for member in members
    ]

    def place(part):
        flat = part.reshape(-1, *part.shape[2:])
        return place_shards(flat, mesh)

    rows, *others = whole.columns
    columns = Columns(place(rows.reshape(count, -1)), *map(place, others))
    return Database(place(whole.left), columns), bounds


def _enter(
    member: Member,
    whole: Database,
    plan: SearchPlan,
    *,
    euclidean: bool,
    precision: str,
    unit: float,
) -> Bounds:
    """Writes the shards of one model that this process holds."""
    rows, codes, mean, column = member
    (start, stop), everywhere = column.own, own_shards(column.mesh)
    width = whole.left.shape[2] // (3 if precision == "bfloat16x3" else 1)
    facts = _Facts(*(np.zeros(stop - start) for _ in _Facts._fields))
    for device, shard in column.mine.items():
        place, (a, b) = everywhere.index(device), column.shards.bounds(shard)
        order = np.random.default_rng(shard).permutation(b - a).astype(np.int32)
        for group, begin in enumerate(range(0, b - a, plan.columns)):
            part = order[begin : begin + plan.columns]
            x = rows.take(a + part).astype(np.float64)
            c = x - mean
            operands, lost, low = _round(c, precision, whole.left.dtype)
            for number, (one, other) in enumerate(operands):
                span = slice(number * width, number * width + rows.d)
                whole.left[place, part, span] = one
                whole.columns.right[place, group, span, : len(part)] = other.T
            found = _squares(x), _squares(c), c @ mean, lost, low
            offsets = -found[1] / 2 if euclidean else found[2]
            described = part, None, offsets, codes[a + part]
            for target, values in zip(whole.columns, described, strict=True):
                if values is not None:
                    target[place, group, : len(part)] = values
            for target, values in zip(facts, found, strict=True):
                target[a - start + part] = values
    offsets = -facts.squares / 2 if euclidean else facts.products
    shifts = facts.squares if euclidean else facts.products + mean @ mean
    width = operand_width(rows.d, precision)  # columns of zeros add no error
    errors, keys = _errors(facts, offsets, mean, precision=precision, width=width, unit=unit)
    return Bounds(start, shifts, errors, keys)


class _Facts(NamedTuple):
    """Of every row: ‖x‖², ‖c‖², μ·c, ‖r‖ and ‖l‖; see `_errors`."""

    lengths: Float64[np.ndarray, " n"]
    squares: Float64[np.ndarray, " n"]
    products: Float64[np.ndarray, " n"]
    lost: Float64[np.ndarray, " n"]
    low: Float64[np.ndarray, " n"]


def _errors(facts: _Facts, offsets, mean, *, precision: str, width: int, unit: float):
    """Bounds on the errors of proposed values and of ordering values, for every pair of a row.

    With a_i + r_i = c_i the operand and what its rounding left out,
    |c_i·c_j − a_i·a_j| ≤ ‖r_i‖‖c_j‖ + ‖a_i‖‖r_j‖; r is measured, not estimated. To it come the
    standard bound of a length-w sum of products in any order, w·u·‖a‖‖b‖, the rounding of t and of
    the last addition, the column number packed into the value, the product l·l left out, underflow,
    and the rounding of ordering values and shifts in float64, of the given unit.
    """
    norms, lengths = np.sqrt(facts.squares), np.sqrt(facts.lengths) + np.sqrt(mean @ mean)
    sizes = norms + facts.lost  # at least the length of the operand
    mine = [v.max(initial=0) for v in (norms, sizes, facts.lost, facts.low, lengths, abs(offsets))]
    norm, size, lost, low, length, offset = np.max(exchange(np.array(mine)), axis=0)
    dropped = facts.lost * norm + sizes * lost + facts.low * low
    rounding = _UNIT[precision] * (width + 4) + BLOCKS[0] * 2.0**-23
    rounding = rounding * (sizes * size + offset)
    in_float64 = 4 * unit * (width + 4) * np.square(lengths + length) + width * _UNDERFLOW
    return dropped + rounding + in_float64, in_float64


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


@functools.cache
def fast_bfloat16() -> bool:
    """Whether this device multiplies bfloat16 at least twice as fast as float32, by measurement."""
    seconds = {}
    for dtype in (jnp.float32, jnp.bfloat16):
        x, y = jnp.ones((256, 256), dtype), jnp.ones((256, 1024), dtype)
        product = jax.jit(functools.partial(jnp.matmul, preferred_element_type=jnp.float32))
        product(x, y).block_until_ready()
        times = []
        for _ in range(10):
            start = time.perf_counter()
            product(x, y).block_until_ready()
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return 2 * seconds[jnp.bfloat16] <= seconds[jnp.float32]
