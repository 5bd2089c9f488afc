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
from collections import Counter
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float32, Float64, Int32, Int64

from jaxalign.embeddings.sources import ModelRows
from jaxalign.pairwise import ordering
from jaxalign.pairwise.precision import float64_unit, is_ieee
from jaxalign.pairwise.row_products import RowProducts, row_products
from jaxalign.pairwise.row_tiles import RowTile, row_tiles
from jaxalign.pairwise.row_values import RowValues, row_values
from jaxalign.parallel.padding import row_shards

_FEW, _MANY = 32, 1024  # pairs decided at once: two shapes, two compilations


@dataclasses.dataclass(frozen=True, eq=False)
class FullRows:
    """One model, ready for sorted comparisons of some rows with all.

    Attributes:
      values: constants of the model.
      products: its rows over the devices.
    """

    values: RowValues
    products: RowProducts

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.values.n

    @property
    def low(self) -> np.int64:
        """Mask of the bits of a key that hold the column."""
        return self.values.keys.low

    @property
    def codes(self) -> Int32[np.ndarray, " n"]:
        """Rows of equal code never meet: a row and itself, or a group."""
        return self.products.codes

    def tiles(self, most: int) -> Iterator[list[RowTile]]:
        """The rows of this process compared with all, see `row_tiles`."""
        return row_tiles(self.products, most)

    def leading(self, keys: Int64[np.ndarray, "*c"]) -> Float64[np.ndarray, "*c"]:
        """Values v of the given keys, to their leading bits."""
        return self.values.keys.leading(keys)

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
        return np.float64(self.values.slope + self.values.keys.slope)

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
        if not is_ieee(self.products.mesh):
            found = self._on_host(mine, others)
            return columns[np.lexsort((columns, found, runs))]
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

    def _on_host(self, mine, others) -> Float64[np.ndarray, " c"]:
        pairs = np.zeros(len(others), np.int64), np.arange(len(others))
        if self.values.euclidean:
            return ordering.host_squared_distances(mine, others, *pairs)
        return -ordering.host_inner_products(mine, others, *pairs)


def full_rows(
    model: ModelRows,
    *,
    euclidean: bool,
    mesh: Mesh,
    memory_budget: int,
    gather: bool | None = None,
    codes: Int32[np.ndarray, " n"] | None = None,
) -> FullRows:
    """Prepares a model.

    Args:
      model: rows of the model.
      euclidean: squared distances, else inner products.
      mesh: devices over which the rows are split.
      memory_budget: bytes of a process. Its rows are kept, in 12 d bytes a row, if they fit into
        half of it, else all are read again for every tile.
      gather: columns on every device instead of a ring; None: if they too fit into that half.
      codes: rows of equal code are excluded from each other's comparison; None: itself only.

    Note:
      Must be called under `jax.enable_x64(True)`, by all processes.
    """
    n, d = model.n, model.d
    shards = row_shards(n, mesh)
    devices = devices_a_process(mesh)
    own, spare = 12 * d * shards.size * devices, memory_budget // 2
    resident = own <= spare
    if gather is None:
        gather = mesh.size == 1 or own + 8 * d * n * devices <= spare
    keep = shards.of_process(mesh) if resident else None
    values = row_values(model, euclidean=euclidean, unit=float64_unit(mesh), keep=keep)
    codes = np.arange(n, dtype=np.int32) if codes is None else codes.astype(np.int32)
    products = row_products(values, codes, mesh, shards, gather=gather, resident=resident)
    return FullRows(values, products)


def devices_a_process(mesh: Mesh) -> int:
    """Devices of a process that share its memory budget: the most of any process."""
    return max(Counter(device.process_index for device in mesh.devices.flat).values())


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
