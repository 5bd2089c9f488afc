"""One model prepared for comparisons of whole rows: scale, center, equal rows, error bounds.

A float64 product of centered rows compares some rows with all,

    v_ij = base_i + column_j − 2 c_i·c_j,   c = x − center,   v ≥ 0, smaller is nearer:
    euclidean: base = column = ‖c‖²,                          v_ij = ‖x_i − x_j‖²;
    inner:     column_j = −2 center·c_j, base_i large enough, v_ij = base_i − 2 x_i·(x_j − center).

Two values of a row that differ by more than intercept_i + slope · (the larger) are certainly in the
order of their ordering values (`pairwise/ordering.py`). The constants bound three roundings: of c,
of the products (d·u·Σ|c_i c_j| in any order of summation) and of the ordering value itself.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math

import numpy as np
from jaxtyping import Float32, Float64, Int64

from jaxalign.embeddings.sources import ModelRows
from jaxalign.pairwise import ordering

# Twice the unit roundoff of float64: room for the second-order terms of the bounds.
_UNIT = 2.0**-52
_BLOCK = 2048  # rows read at once
_CENTER_ROWS = 512  # rows whose column medians are the center of Euclidean comparisons
MANTISSA_BITS = 52


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
      rows: all scaled rows, if they are kept.
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
    rows: Float32[np.ndarray, "n d"] | None

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.model.n

    def read(self, start: int, stop: int) -> Float32[np.ndarray, "rows d"]:
        """Scaled rows `start:stop`."""
        if self.rows is not None:
            return self.rows[start:stop]
        return np.ldexp(self.model.read(start, stop), -self.exponent)

    def take(self, index: Int64[np.ndarray, " c"]) -> Float32[np.ndarray, "c d"]:
        """Scaled rows of the given numbers."""
        if self.rows is not None:
            return self.rows[index]
        return np.ldexp(self.model.normalizer(self.model.raw.take(index)), -self.exponent)


def index_bits(n: int) -> int:
    """Bits that hold the row numbers 0 … n − 1."""
    return max((n - 1).bit_length(), 1)


def row_values(model: ModelRows, *, euclidean: bool, resident: bool) -> RowValues:
    """Reads a model (twice, in blocks, unless it is kept) and prepares it.

    Args:
      model: rows of the model.
      euclidean: squared distances, else inner products.
      resident: keep all rows in memory.
    """
    rows = model.load() if resident else None
    largest, total, digests = 0.0, np.zeros(model.d), []
    for start in range(0, model.n, _BLOCK):
        block = model.read(start, start + _BLOCK) if rows is None else rows[start : start + _BLOCK]
        largest = max(largest, float(np.abs(block).max()))
        total += block.sum(axis=0, dtype=np.float64)
        digests += _digests(block)
    exponent = ordering.unit_scale(np.full((1, 1), largest, np.float32))[1]
    rows = np.ldexp(rows, -exponent) if rows is not None and exponent else rows
    prepared = RowValues(
        model,
        euclidean,
        exponent,
        center=np.ldexp(total / model.n, -exponent),
        base=np.zeros(model.n),
        column=np.zeros(model.n),
        classes=_classes(digests),
        intercept=np.zeros(model.n),
        slope=0.0,
        exact=False,
        rows=rows,
    )
    return _euclidean(prepared) if euclidean else _inner(prepared)


def _euclidean(values: RowValues) -> RowValues:
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
    squares, exact = np.empty(n), True
    for start in range(0, n, _BLOCK):
        block = values.read(start, start + _BLOCK).astype(np.float64)
        squares[start : start + _BLOCK] = np.square(block - center).sum(axis=1)
        multiples = np.ldexp(block, -grid)
        exact = exact and bool((multiples == np.rint(multiples)).all())
    # |error| ≤ u (2d + 96)(‖c_i‖ + ‖c_j‖)² and (‖c_i‖ + ‖c_j‖)² ≤ 6‖c_i‖² + 4 v; three of them.
    unit = 3 * _UNIT * (2 * d + 96)
    return dataclasses.replace(
        values,
        center=center,
        base=squares,
        column=squares,
        intercept=6 * unit * squares,
        slope=4 * unit,
        exact=exact,
    )


def _inner(values: RowValues) -> RowValues:
    """Column terms and bound of inner products, centered by the mean."""
    n, d = values.n, values.model.d
    norms, shifts = np.empty(n), np.empty(n)
    for start in range(0, n, _BLOCK):
        centered = values.read(start, start + _BLOCK) - values.center
        norms[start : start + _BLOCK] = np.sqrt(np.square(centered).sum(axis=1))
        shifts[start : start + _BLOCK] = centered @ values.center
    # |error| ≤ u (5d + 64) ρ_i max_j ρ_j with ρ = ‖c‖ + ‖center‖; three of them.
    reach = norms + np.sqrt(np.square(values.center).sum())
    return dataclasses.replace(
        values,
        base=2.0 * (norms * norms.max() * (1 + 2.0**-20) + np.abs(shifts).max()),
        column=-2.0 * shifts,
        intercept=3 * _UNIT * (5 * d + 64) * reach * reach.max(),
    )


def _digests(block: Float32[np.ndarray, "rows d"]) -> list[bytes]:
    # −0 + 0 = 0: rows that differ in the sign of a zero only are equal.
    rows = np.ascontiguousarray(block + np.float32(0))
    return [hashlib.blake2b(row, digest_size=16).digest() for row in rows]


def _classes(digests: list[bytes]) -> Int64[np.ndarray, " n"]:
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(digest, i) for i, digest in enumerate(digests)], np.int64)
