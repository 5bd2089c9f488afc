"""One model prepared for comparisons of whole rows: scale, center, equal rows, error bounds.

A float64 product of centered rows compares some rows with all,

    v_ij = base_i + column_j − 2 c_i·c_j,   c = x − center,   v ≥ 0, smaller is nearer:
    euclidean: base = column = ‖c‖²,                          v_ij = ‖x_i − x_j‖²;
    inner:     column_j = −2 center·c_j, base_i large enough, v_ij = base_i − 2 x_i·(x_j − center).

Two values of a row that differ by more than intercept_i + slope · (the larger) are certainly in the
order of their ordering values (`pairwise/ordering.py`). The constants bound three roundings: of c,
of the products (d·u·Σ|c_i c_j| in any order of summation) and of the ordering value itself. u is
the unit roundoff of the devices that multiply, see `pairwise/precision.py`.

Sums over all rows are sums over fixed blocks, added in their order: they have the same bits for any
number of processes, each of which computes some of the blocks.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float32, Float64, Int64

from jaxalign.embeddings.sources import ModelRows
from jaxalign.pairwise import ordering
from jaxalign.pairwise.duplicates import distinct_rows
from jaxalign.pairwise.precision import IEEE_UNIT
from jaxalign.pairwise.row_blocks import RowBlocks
from jaxalign.pairwise.row_keys import MANTISSA_BITS, KeyFormat, fixed_point, index_bits
from jaxalign.parallel.blocks import over_blocks

_BLOCK = 2048  # rows read at once
_CENTER_ROWS = 512  # rows whose column medians are the center of Euclidean comparisons


@dataclasses.dataclass(frozen=True, eq=False)
class RowValues:
    """Constants of one model; see the module for the formulas.

    Attributes:
      model: where the rows come from.
      euclidean: squared distances, else inner products.
      exponent: rows are divided by 2^exponent, as in neighbor searches.
      center: c = x − center; the mean for inner products.
      base: part of v that belongs to the query row.
      column: part of v that belongs to the column.
      classes: lowest row number among the rows that are bit-equal to each row.
      intercept: of the error bound, per query row.
      slope: of the error bound.
      exact: v is free of rounding, and its bits below the leading `53 − index_bits(n)` are zero.
      keys: how v is packed into integers.
      rows: scaled rows of this process, if they are kept.
      first: number of the first of these.
    """

    model: ModelRows
    euclidean: bool
    exponent: int
    center: Float64[np.ndarray, " d"]
    base: Float64[np.ndarray, " n"]
    column: Float64[np.ndarray, " n"]
    classes: Int64[np.ndarray, " n"]
    intercept: Float64[np.ndarray, " n"]
    slope: float
    exact: bool
    keys: KeyFormat
    rows: Float32[np.ndarray, "own d"] | None
    first: int

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.model.n

    def read(self, start: int, stop: int) -> Float32[np.ndarray, "rows d"]:
        """Scaled rows `start:stop`, clipped at n: from memory if they are kept."""
        stop = min(stop, self.n)
        if self.rows is not None and self.first <= start and stop <= self.first + len(self.rows):
            return self.rows[start - self.first : stop - self.first]
        return self._scaled(self.model.read(start, stop))

    def take(self, index: Int64[np.ndarray, " c"]) -> Float32[np.ndarray, "c d"]:
        """Scaled rows of the given numbers; those that are not kept are read, whoever owns them."""
        if self.rows is not None and len(self.rows) == self.n:
            return self.rows[index]
        return self._scaled(self.model.normalizer(self.model.raw.take(index)))

    def _scaled(self, rows: Float32[np.ndarray, "rows d"]) -> Float32[np.ndarray, "rows d"]:
        return np.ldexp(rows, -self.exponent) if self.exponent else rows


def row_values(
    model: ModelRows,
    *,
    euclidean: bool,
    unit: float = IEEE_UNIT,
    keep: tuple[int, int] | None = None,
) -> RowValues:
    """Reads a model (three times, in blocks, unless it is kept) and prepares it.

    Args:
      model: rows of the model.
      euclidean: squared distances, else inner products.
      unit: roundoff of float64 on the devices.
      keep: rows `first:last` to hold in memory, those that this process compares; None for none.

    Note:
      Each process reads its share of the blocks, and the sample that gives the center.
    """
    n = model.n
    unread = RowValues(
        model,
        euclidean,
        exponent=0,
        center=np.zeros(model.d),
        base=np.zeros(n),
        column=np.zeros(n),
        classes=np.arange(n),
        intercept=np.zeros(n),
        slope=0.0,
        exact=False,
        keys=KeyFormat(index_bits(n)),
        rows=None if keep is None else _load(model, *keep),
        first=0 if keep is None else keep[0],
    )

    def survey(start, stop):
        block = unread.read(start, stop)
        return np.abs(block).max(keepdims=True)[0], block.sum(0, dtype=float)[None]

    largest, totals = over_blocks(n, survey, size=_BLOCK)
    equal = distinct_rows(RowBlocks(n, model.d, unread.read, unread.take))
    exponent = ordering.unit_scale(largest.max().reshape(1, 1))[1]
    rows = unread.rows
    prepared = dataclasses.replace(
        unread,
        exponent=exponent,
        center=np.ldexp(sum(totals) / n, -exponent),
        classes=equal.first[equal.value],
        rows=np.ldexp(rows, -exponent) if rows is not None and exponent else rows,
    )
    values = _euclidean(prepared, unit) if euclidean else _inner(prepared, unit)
    return values if unit == IEEE_UNIT else _fixed_point(values)


def _fixed_point(values: RowValues) -> RowValues:
    """What pairs of float32 numbers allow: no exact values, and keys in fixed point."""
    largest = 2.0 * (values.base.max() + np.abs(values.column).max())
    keys = fixed_point(values.n, float(largest))
    intercept = values.intercept + 2 * keys.step
    return dataclasses.replace(values, keys=keys, intercept=intercept, exact=False)


def _load(model: ModelRows, first: int, last: int) -> Float32[np.ndarray, "own d"]:
    rows = np.empty((last - first, model.d), np.float32)
    for start in range(first, last, _BLOCK):
        stop = min(start + _BLOCK, last)
        rows[start - first : stop - first] = model.read(start, stop)
    return rows


def _euclidean(values: RowValues, unit: float) -> RowValues:
    """Center, squares and bound of squared distances.

    The center is a value of each column (a median): outliers do not move it, and rows that lie on a
    grid, such as counts, stay on it. Where the grid is coarse enough, every number here is exact.
    """
    n, d = values.n, values.model.d
    sample = values.take(np.linspace(0, n - 1, min(n, _CENTER_ROWS)).astype(np.int64))
    center = np.sort(sample, axis=0)[len(sample) // 2].astype(np.float64)
    # |c| < 4 after scaling: values, sums and products are multiples of grid² below 64 d.
    spare = MANTISSA_BITS - index_bits(n)
    grid = math.ceil((math.log2(64 * d) - spare) / 2)

    def measure(start, stop):
        block = values.read(start, stop).astype(np.float64)
        multiples = np.ldexp(block, -grid)
        on_grid = (multiples == np.rint(multiples)).all(keepdims=True)[0]
        return np.square(block - center).sum(axis=1), on_grid

    squares, exact = over_blocks(n, measure, size=_BLOCK)
    # |error| ≤ u (2d + 96)(‖c_i‖ + ‖c_j‖)² and (‖c_i‖ + ‖c_j‖)² ≤ 6‖c_i‖² + 4 v; three of them,
    # twice: room for the second-order terms.
    unit = 6 * unit * (2 * d + 96)
    return dataclasses.replace(
        values,
        center=center,
        base=squares,
        column=squares,
        intercept=6 * unit * squares,
        slope=4 * unit,
        exact=bool(exact.all()),
    )


def _inner(values: RowValues, unit: float) -> RowValues:
    """Column terms and bound of inner products, centered by the mean."""

    def measure(start, stop):
        centered = values.read(start, stop) - values.center
        return np.sqrt(np.square(centered).sum(axis=1)), centered @ values.center

    norms, shifts = over_blocks(values.n, measure, size=_BLOCK)
    # |error| ≤ u (5d + 64) ρ_i max_j ρ_j with ρ = ‖c‖ + ‖center‖; three of them, twice.
    reach = norms + np.sqrt(np.square(values.center).sum())
    return dataclasses.replace(
        values,
        base=2.0 * (norms * norms.max() * (1 + 2.0**-20) + np.abs(shifts).max()),
        column=-2.0 * shifts,
        intercept=6 * unit * (5 * values.model.d + 64) * reach * reach.max(),
    )
