"""Calls of the search program: portions of the searches of every device, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float32, Float64, Int, Int32

from jaxalign.pairwise.database import Bounds, Database
from jaxalign.pairwise.duplicates import Units
from jaxalign.pairwise.precision import is_ieee, with_exact_ties
from jaxalign.pairwise.row_blocks import RowBlocks
from jaxalign.pairwise.search import certain_rows, nearest_first, search_program
from jaxalign.pairwise.search_plan import SearchPlan
from jaxalign.parallel.columns import Column
from jaxalign.parallel.multihost import gather_rows
from jaxalign.parallel.padding import own_parts, own_shards, place_shards
from jaxalign.progress import Progress

_CALLS = 2  # calls in flight on one device: one selects, on one core, while the other multiplies


class Searches(NamedTuple):
    """The searches of one model, by the shards of their query rows.

    Attributes:
      units: query rows, ascending, and what they must avoid.
      edges: where the searches of each shard begin, and the end of the last.
      k: rows wanted.
      whole_ties: whether a tie at the last place makes a search uncertain.
    """

    units: Units
    edges: Int[np.ndarray, " s1"]
    k: int
    whole_ties: bool

    @classmethod
    def of(cls, units: Units, column: Column, k: int, whole_ties: bool) -> Searches:
        """Searches over the shards of a column."""
        shards = column.shards
        starts = np.minimum(np.arange(shards.count + 1) * shards.size, shards.n)
        return cls(units, np.searchsorted(units.value, starts), k, whole_ties)


class Found(NamedTuple):
    """Outcome of some searches of one model.

    Attributes:
      searches: their numbers.
      keys: ordering values of the k + 1 best, nearest first.
      ids: their row numbers.
      certain: whether nothing that was not proposed can be among them.
    """

    searches: Int[np.ndarray, " q"]
    keys: Float64[np.ndarray, "q k1"]
    ids: Int32[np.ndarray, "q k1"]
    certain: Bool[np.ndarray, " q"]


# Numbers of searches by device of this process.
_Portion = dict[int, Int[np.ndarray, " _"]]


class SearchCalls:
    """A database on the devices, and the searches that are to be made in it.

    Args:
      searches: of every model.
      rows: of the same models; few of them are read here.
      columns: of the mesh, one a model.
      plan: sizes of everything.
      placed: rows that decide, on the devices.
      database: operands of the products that propose.
      bounds: of every model.
      euclidean: distances instead of inner products.
    """

    def __init__(
        self,
        searches: Sequence[Searches],
        rows: Sequence[RowBlocks],
        columns: Sequence[Column],
        plan: SearchPlan,
        placed: Float32[Array, "s p"],
        database: Database,
        bounds: Sequence[Bounds],
        *,
        euclidean: bool,
    ):
        self._searches, self._rows, self._columns, self._plan = searches, rows, columns, plan
        self._placed, self._database, self._bounds = placed, database, bounds
        self._euclidean, self._mesh = euclidean, columns[0].mesh
        # Model and shard of the devices of this process; no shard where a column has no model.
        self._held = {
            device: (number, shard)
            for number, column in enumerate(columns)
            for device, shard in column.mine.items()
        }

    def all(self, progress: Progress) -> list[Found]:
        """Every search; of all processes, in order."""
        out = []
        for searches, column in zip(self._searches, self._columns, strict=True):
            shards = list(column.mine.values())
            first = searches.edges[shards[0]] if shards else 0
            count = searches.edges[shards[-1] + 1] - first if shards else 0
            shape = (count, searches.k + 1)
            keys, ids = np.empty(shape, np.float64), np.empty(shape, np.int32)
            out.append(Found(np.arange(first, first + count), keys, ids, np.empty(count, bool)))
        for found in self._search(self._portions()):
            for whole, part in zip(out, found, strict=True):
                at = part.searches - (whole.searches[0] if len(whole.searches) else 0)
                for target, values in zip(whole[1:], part[1:], strict=True):
                    target[at] = values
            progress.advance(sum(len(part.searches) for part in found) * jax.process_count())
        return [Found(*map(gather_rows, whole)) for whole in out]

    def sample(self) -> list[Found]:
        """One tile of searches of every device of this process, spread over its shard."""
        portion = {}
        for device, (number, shard) in self._held.items():
            a, b = self._searches[number].edges[shard : shard + 2]
            spread = np.linspace(a, max(a, b - 1), min(self._plan.tile, b - a))
            portion[device] = np.unique(spread.astype(np.int64))
        return next(self._search([portion]))

    def _portions(self) -> list[_Portion]:
        """Searches of every call and own device; as many calls in every process."""
        size = self._plan.tiles * self._plan.tile
        most = max(int(np.diff(searches.edges).max()) for searches in self._searches)
        portions = []
        for start in range(0, most, size):
            portion = {}
            for device, (number, shard) in self._held.items():
                a, b = self._searches[number].edges[shard : shard + 2]
                portion[device] = np.arange(min(a + start, b), min(a + start + size, b))
            portions.append(portion)
        return portions

    def _search(self, portions: Sequence[_Portion]) -> Iterator[list[Found]]:
        # Collectives of two calls at once could meet in different orders on different devices.
        with ThreadPoolExecutor(_CALLS if self._mesh.size == 1 else 1) as pool:
            yield from pool.map(self._call, portions)

    def _call(self, portion: _Portion) -> list[Found]:
        found = self._on_devices(portion)
        return [
            self._found(
                number,
                {device: part for device, part in portion.items() if device in column.mine},
                found,
            )
            for number, column in enumerate(self._columns)
        ]

    def _on_devices(self, portion: _Portion) -> list[dict[int, np.ndarray]]:
        """Ids, keys and limits by device, of all places for searches that a call has."""
        tiles, t, mine = self._plan.tiles, self._plan.tile, own_shards(self._mesh)
        local = np.zeros((len(mine), tiles * t), np.int32)
        codes, counts = np.zeros_like(local), np.zeros(len(mine), np.int32)
        for device, part in portion.items():
            number, shard = self._held[device]
            row, units = mine.index(device), self._searches[number].units
            local[row, : len(part)] = units.value[part] - shard * self._plan.shards.size
            codes[row, : len(part)] = units.avoid[part]
            counts[row] = -(-len(part) // t)
        local, codes = (part.reshape(-1, t) for part in (local, codes))
        with jax.enable_x64(True):  # settings belong to a thread
            program = search_program(self._mesh, self._plan, euclidean=self._euclidean)
            placed = [place_shards(part, self._mesh) for part in (local, codes, counts)]
            found = program(*placed, self._placed, self._database)
            return [own_parts(part, self._mesh.size) for part in found]

    def _found(self, number: int, portion: _Portion, found) -> Found:
        """The best of one model's candidates, and whether they are certain."""
        searches, bounds = self._searches[number], self._bounds[number]
        ids, keys, limits = (
            np.concatenate([part[device][: len(q)] for device, q in portion.items()] or [none])
            for part, none in ((part, next(iter(part.values()))[:0]) for part in found)
        )
        asked = np.concatenate([np.zeros(0, np.int64), *portion.values()])
        value = searches.units.value[asked]
        if not is_ieee(self._mesh):
            errors, rows = bounds.keys[value - bounds.first], self._rows[number]
            keys = with_exact_ties(keys, ids, errors, value, rows, euclidean=self._euclidean)
        keys, ids = nearest_first(keys, ids, searches.k + 1)
        kth = keys[:, searches.k - 1]
        certain = certain_rows(kth, limits, bounds, value, euclidean=self._euclidean)
        if searches.whole_ties:
            certain &= (kth != keys[:, searches.k]) | (kth == -np.inf)
        return Found(asked, keys, ids, certain)
