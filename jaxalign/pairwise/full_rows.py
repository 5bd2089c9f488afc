"""Whole rows of one model's N×N comparison, sorted in the exact order of their ordering values.

A float64 product proposes the order (`pairwise/row_values.py`). Entries whose values lie within the
rounding error of each other are ordered by `pairwise/ordering.py`, as neighbor lists are, and equal
ones by row number: the order depends on neither tile size nor device and agrees with neighbor
lists, ties included.

What is sorted are integers that hold the leading bits of v (v ≥ 0: its bits are ordered as it is)
and below them the column: one sort of plain integers gives values and columns (0.09 ms a row of
10,000 on one CPU core; an argsort takes 0.23 ms), and equal values come in the order of columns.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Float64, Int32, Int64

from jaxalign.embeddings.sources import ModelRows
from jaxalign.pairwise import ordering
from jaxalign.pairwise.row_values import MANTISSA_BITS, RowValues, index_bits, row_values

_COLUMNS = 2048  # columns read at once where rows are not kept
_FEW, _MANY = 32, 1024  # pairs decided at once: two shapes, two compilations


@dataclasses.dataclass(frozen=True, eq=False)
class FullRows:
    """One model, ready for sorted comparisons of some rows with all.

    Attributes:
      values: constants of the model.
      kept: all centered rows on the device; None if they are read again for every tile.
      duplicates: column that stands for each column; None if no two rows are equal.
      codes: rows of equal code never meet: a row and itself, or a group.
    """

    values: RowValues
    kept: Float64[Array, "n d"] | None
    duplicates: Int64[Array, " n"] | None
    codes: Int32[np.ndarray, " n"]

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.values.n

    @property
    def low(self) -> np.int64:
        """Mask of the bits of a key that hold the column."""
        return column_mask(self.n)

    def keys(self, start: int, stop: int) -> Int64[Array, "t n"]:
        """Sortable comparison of rows `start:stop` with all; excluded columns come last.

        Must be called under `jax.enable_x64(True)`.
        """
        mine = jnp.asarray(self._centered(start, stop))
        products = [_products(mine, block) for block in self._columns()]
        base, column = jnp.asarray(self.values.base[start:stop]), jnp.asarray(self.values.column)
        own, others = jnp.asarray(self.codes[start:stop]), jnp.asarray(self.codes)
        return _pack(products, base, column, own, others, self.duplicates)

    def _centered(self, start: int, stop: int) -> Float64[np.ndarray, "t d"]:
        return self.values.read(start, stop) - self.values.center

    def _columns(self) -> Iterator[Float64[Array, "columns d"]]:
        if self.kept is not None:
            yield self.kept
            return
        for start in range(0, self.n, _COLUMNS):
            yield jnp.asarray(self._centered(start, min(start + _COLUMNS, self.n)))

    def leading(self, keys: Int64[np.ndarray, "*c"]) -> Float64[np.ndarray, "*c"]:
        """Values v of the given keys, to their leading bits."""
        return (keys & ~self.low).view(np.float64)

    def unclear(
        self, row: int, keys: Int64[np.ndarray, " c"], *, margins: float = 1.0
    ) -> Bool[np.ndarray, " c-1"]:
        """Which of the sorted keys lie too close to their successors to tell which is nearer."""
        if self.values.exact:
            return np.zeros(len(keys) - 1, bool)
        leading = self.leading(keys)
        margin = leading[1:] * self.relative_margin
        margin += self.values.intercept[row]
        return np.diff(leading) <= margins * margin

    def unclear_at(
        self,
        first: int,
        keys: Int64[np.ndarray, "t n"],
        places: Int64[np.ndarray, "t c"],
    ) -> Bool[np.ndarray, " t"]:
        """Rows in which the order beside some of the given places may not be the exact one.

        Args:
          first: number of the first row.
          keys: sorted keys of consecutive rows; the last one is the row itself.
          places: places of other rows.
        """
        if self.values.exact:
            return np.zeros(len(keys), bool)
        slope, last = self.relative_margin, keys.shape[1] - 2
        intercept = self.values.intercept[first : first + len(keys), None]
        unclear = np.zeros(len(keys), bool)
        for low in (places - 1, places):
            inside = (low >= 0) & (low < last)
            low = np.where(inside, low, 0)
            left, right = (
                self.leading(np.take_along_axis(keys, at, axis=1)) for at in (low, low + 1)
            )
            unclear |= (inside & (right - left <= right * slope + intercept)).any(axis=1)
        return unclear

    @property
    def relative_margin(self) -> np.float64:
        """Slope of the error bound of `leading`: that of v, and the bits cut off."""
        return np.float64(self.values.slope + 2.0 ** (index_bits(self.n) - MANTISSA_BITS))

    def order(self, row: int, keys: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " others"]:
        """All other rows, nearest first: by ordering value, then row number.

        Args:
          row: row number; only the row itself may be excluded.
          keys: its keys, in any order.
        """
        keys = np.sort(keys)[:-1]
        columns = keys & self.low
        near = np.flatnonzero(self.unclear(row, keys))
        classes = self.values.classes
        doubtful = classes[columns[near]] != classes[columns[near + 1]]
        if doubtful.any():
            places, runs = _runs(near, doubtful)
            columns[places] = self.decide(row, columns[places], runs)
        return columns

    def decide(
        self, row: int, columns: Int64[np.ndarray, " c"], runs: Int64[np.ndarray, " c"]
    ) -> Int64[np.ndarray, " c"]:
        """The given columns ordered by run, then ordering value, then their numbers.

        Args:
          row: row number.
          columns: numbers of other rows.
          runs: ascending; columns of one run are to be put in order among themselves.
        """
        mine, others = self.values.take(np.array([row])), self.values.take(columns)
        size = _FEW if len(columns) <= _FEW else _MANY
        others = np.pad(others, ((0, -len(others) % size), (0, 0)))
        with jax.enable_x64(True):
            found = [
                _ordering_values(
                    jnp.asarray(mine),
                    jnp.asarray(others[start : start + size]),
                    euclidean=self.values.euclidean,
                )
                for start in range(0, len(others), size)
            ]
            found = np.concatenate(found)[: len(columns)]
        return columns[np.lexsort((columns, found, runs))]


def column_mask(n: int) -> np.int64:
    """The bits of a key that hold the column."""
    return np.int64((1 << index_bits(n)) - 1)


def full_rows(
    model: ModelRows,
    *,
    euclidean: bool,
    resident: bool,
    codes: Int32[np.ndarray, " n"] | None = None,
) -> FullRows:
    """Prepares a model.

    Args:
      model: rows of the model.
      euclidean: squared distances, else inner products.
      resident: keep all rows, in `12 n d` bytes; else they are read again for every tile.
      codes: rows of equal code are excluded from each other's comparison; None: itself only.

    Note:
      Must be called under `jax.enable_x64(True)`.
    """
    values = row_values(model, euclidean=euclidean, resident=resident)
    rows = np.arange(values.n)
    # Products of equal columns may differ in their last bits: one column stands for all of them.
    unequal = values.exact or (values.classes == rows).all()
    return FullRows(
        values,
        kept=jnp.asarray(values.rows - values.center) if values.rows is not None else None,
        duplicates=None if unequal else jnp.asarray(values.classes),
        codes=rows.astype(np.int32) if codes is None else codes,
    )


@jax.jit
def _products(mine: Float64[Array, "t d"], block: Float64[Array, "c d"]) -> Float64[Array, "t c"]:
    return jnp.matmul(mine, block.T, precision=jax.lax.Precision.HIGHEST)


@jax.jit
def _pack(
    products: list[Float64[Array, "t _"]],
    base: Float64[Array, " t"],
    column: Float64[Array, " n"],
    own: Int32[Array, " t"],
    codes: Int32[Array, " n"],
    duplicates: Int64[Array, " n"] | None,
) -> Int64[Array, "t n"]:
    n = column.shape[0]
    product = products[0] if len(products) == 1 else jnp.concatenate(products, axis=1)
    v = jnp.maximum((base[:, None] + column[None, :]) - 2.0 * product, 0.0)
    if duplicates is not None:
        v = v[:, duplicates]
    bits = jax.lax.bitcast_convert_type(v, jnp.int64)
    bits = jnp.where(own[:, None] == codes[None, :], jnp.iinfo(jnp.int64).max, bits)
    low = column_mask(n)
    return (bits & ~low) | jnp.arange(n, dtype=jnp.int64)[None, :]


@functools.partial(jax.jit, static_argnames="euclidean")
def _ordering_values(
    mine: Float32[Array, "1 d"], others: Float32[Array, "c d"], *, euclidean: bool
) -> Float64[Array, " c"]:
    """Smaller is nearer."""
    mine, others = ordering.pad_width(mine), ordering.pad_width(others)
    if euclidean:
        return ordering.squared_distances(mine, others)
    return -ordering.inner_products(mine, others)


def _runs(
    near: Int64[np.ndarray, " e"], doubtful: Bool[np.ndarray, " e"]
) -> tuple[Int64[np.ndarray, " c"], Int64[np.ndarray, " c"]]:
    """Places of the maximal chains of near entries that hold a doubtful one, and their chains."""
    begins = np.concatenate([[True], np.diff(near) > 1])
    chain = np.cumsum(begins) - 1
    kept = np.bincount(chain, doubtful)[chain] > 0
    near, chain, begins = near[kept], chain[kept], begins[kept]
    # A near entry and its successor belong to the chain: successors, and the first entries.
    places = np.concatenate([near[begins], near + 1])
    chains = np.concatenate([chain[begins], chain])
    order = np.argsort(places)
    return places[order], chains[order]
