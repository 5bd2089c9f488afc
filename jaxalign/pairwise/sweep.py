"""All searches of one model: device tiles in the cheapest precision that settles most rows.

Precisions are tried on a sample of rows, cheapest first. Rows that the chosen one leaves uncertain
are searched again in float64 on the host. The result is exact either way, so neither the choice nor
the speed of a device ever shows in it.

Tried on two CPU cores with bfloat16 units, shared with other work (N = 20,480, D = 256, k = 25; CPU
time over that of the float32 product alone):

* bfloat16 product in column groups that stay in cache, reduced at once: 0.31. The product of
  all columns at once is no faster than float32: writing the result is then the whole cost.
* keeping the product, then block maxima and the blocks chosen: 0.9, and 1.3 with one call a
  tile, because every call faults its memory in again.
* keeping four values a block, the place packed into the value: 0.8.
* thresholds by bisection instead of heaps: cheaper threshold, but collecting what lies above it
  costs ten times the heap on CPU.
* gathers and float64 values of 40 candidates: 0.07.
* symmetric tiles: not built. They save half of a product that is no longer the largest part.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float64, Int, Int32

from jaxalign.pairwise.database import fast_bfloat16, make_database
from jaxalign.pairwise.duplicates import Units
from jaxalign.pairwise.exhaustive import (
    Exhaustive,
    Lists,
    exchange_lists,
    join,
    search_shares,
    with_replaced,
)
from jaxalign.pairwise.ordering import padded_width
from jaxalign.pairwise.row_blocks import RowBlocks, column_means
from jaxalign.pairwise.search import certain_rows, nearest_first, search_program
from jaxalign.pairwise.search_plan import search_plan
from jaxalign.parallel.multihost import exchange_objects, from_primary, gather_rows, my_share
from jaxalign.parallel.padding import (
    Shards,
    own_rows,
    own_shards,
    place_rows,
    place_shards,
    row_shards,
)
from jaxalign.progress import Progress

# Up to this many values the host searches alone: it takes less time than compiling.
HOST_ROWS = 2048
_CALLS = 2  # calls in flight on one device: one selects, on one core, while the other multiplies
_MEASURED_ROWS = 8192  # from here on, precisions are measured against each other
_MOST_UNCERTAIN = 0.02  # share of sampled rows beyond which the next precision is tried


class Swept(NamedTuple):
    """Outcome of all searches.

    Attributes:
      lists: nearest values of every search, nearest first, every tie with the k-th included.
      precision: of the proposals.
      rechecked: searches done again in float64.
      fully: searches done in float64 at once, without proposals.
    """

    lists: Lists
    precision: str
    rechecked: int
    fully: int


class Sweep:
    """Searches distinct rows among themselves.

    Args:
      rows: distinct rows of unit scale; a process reads those of its own devices.
      searches: query rows, ascending, and what they must avoid.
      k: values wanted of each search, at most the number of rows.
      euclidean: distances instead of inner products.
      tile: query rows per tile.
      whole_ties: whether a tie at the last place makes a search uncertain.
      mesh: devices that work.
      gather: see `search_plan`.
    """

    def __init__(
        self,
        rows: RowBlocks,
        searches: Units,
        *,
        k: int,
        euclidean: bool,
        tile: int,
        whole_ties: bool,
        mesh: Mesh,
        gather: bool | None = None,
    ):
        self._rows, self._searches, self._mesh = rows, searches, mesh
        self._k, self._euclidean, self._whole_ties = k, euclidean, whole_ties
        # Searches of each shard: those of its rows.
        starts = np.minimum(np.arange(mesh.size + 1) * row_shards(rows.n, mesh).size, rows.n)
        self._edges = np.searchsorted(searches.value, starts)
        most = int(np.diff(self._edges).max())
        self._plan = search_plan(
            rows.n, rows.d, k=k, mesh=mesh, queries=most, tile=tile, gather=gather
        )
        self._mine = own_shards(mesh)

    def run(self, progress: Progress) -> Swept:
        """Searches everything; collective: every process gets the same lists."""
        total = len(self._searches.value)
        if self._rows.n <= HOST_ROWS or 2 * self._plan.candidates > self._rows.n:
            lists = self._on_host()
            progress.advance(total)
            return Swept(lists, "float64", 0, total)
        shards = self._plan.shards
        missing = padded_width(self._rows.d) - self._rows.d
        self._padded = place_rows(
            lambda a, b: np.pad(self._rows.read(a, b), ((0, 0), (0, missing))), shards, self._mesh
        )
        precision = self._choose()
        keys, ids, certain = self._in_order(self._search(self._portions(), progress))
        del self._database, self._padded
        counts = (keys > -np.inf).sum(axis=1)
        uncertain = np.flatnonzero(~certain)
        again = search_shares(
            self._rows,
            shards.of_process(self._mesh),
            self._searches.codes,
            self._searches.value[uncertain],
            self._searches.avoid[uncertain],
            self._k,
            euclidean=self._euclidean,
        )
        return Swept(
            with_replaced(keys, ids, counts, uncertain, again), precision, len(uncertain), 0
        )

    def _on_host(self) -> Lists:
        # Few values: every process reads them all, and searches for its share of the rows.
        rows = self._rows.read(0, self._rows.n)
        host = Exhaustive(rows, self._searches.codes, euclidean=self._euclidean)
        mine = my_share(range(len(self._searches.value)))
        value, avoid = (part[mine.start : mine.stop] for part in self._searches[:2])
        return join(exchange_lists(host.search(rows[value], avoid, self._k)))

    def _in_order(self, found):
        """Keys, ids and certainty of all searches, from portions of this process's."""
        first, last = self._edges[self._mine[0]], self._edges[self._mine[-1] + 1]
        shape = (last - first, self._k + 1)
        keys, ids = np.empty(shape, np.float64), np.empty(shape, np.int32)
        certain = np.empty(len(keys), bool)
        for portion in found:
            at = portion.queries - first
            keys[at], ids[at], certain[at] = portion.keys, portion.ids, portion.certain
        return gather_rows(keys), gather_rows(ids), gather_rows(certain)

    def _choose(self) -> str:
        """Makes the database of the first precision that settles nearly all rows of a sample."""
        fast = self._rows.n >= _MEASURED_ROWS and from_primary(fast_bfloat16())
        ladder = ("bfloat16", "bfloat16x3") if fast else ("float32",)
        mean = column_means(self._rows)
        for precision in ladder:
            self._database, self._bounds = make_database(
                self._rows,
                self._searches.codes,
                mean,
                self._plan,
                self._mesh,
                euclidean=self._euclidean,
                precision=precision,
            )
            if precision != ladder[-1]:
                certain = next(self._search([self._sample()], None)).certain
                sums = exchange_objects([int(certain.sum()), len(certain)])
                right, tried = np.sum(sums, axis=0)
                if tried - right <= _MOST_UNCERTAIN * tried:
                    break
        return precision

    def _sample(self) -> list[Int[np.ndarray, " _"]]:
        """One tile of searches of every own shard, spread over it."""
        sample = []
        for shard in self._mine:
            a, b = self._edges[shard : shard + 2]
            spread = np.linspace(a, max(a, b - 1), min(self._plan.tile, b - a))
            sample.append(np.unique(spread.astype(np.int64)))
        return sample

    def _portions(self) -> list[list[Int[np.ndarray, " _"]]]:
        """Searches of every call and own shard; as many calls in every process."""
        size = self._plan.tiles * self._plan.tile
        calls = -(-int(np.diff(self._edges).max()) // size)
        ranges = [(self._edges[shard], self._edges[shard + 1]) for shard in self._mine]
        return [
            [np.arange(min(a + call * size, b), min(a + (call + 1) * size, b)) for a, b in ranges]
            for call in range(calls)
        ]

    def _search(self, portions, progress: Progress | None) -> Iterator[_Portion]:
        # Collectives of two calls at once could meet in different orders on different devices.
        with ThreadPoolExecutor(_CALLS if self._mesh.size == 1 else 1) as pool:
            for found in pool.map(self._call, portions):
                if progress is not None:
                    progress.advance(len(found.queries) * jax.process_count())
                yield found

    def _call(self, portion: list[Int[np.ndarray, " _"]]) -> _Portion:
        tiles, t = self._plan.tiles, self._plan.tile
        local = np.zeros((len(portion), tiles * t), np.int32)
        codes = np.zeros_like(local)
        counts = np.array([-(-len(part) // t) for part in portion], np.int32)
        for row, (shard, part) in enumerate(zip(self._mine, portion, strict=True)):
            local[row, : len(part)] = self._searches.value[part] - shard * self._plan.shards.size
            codes[row, : len(part)] = self._searches.avoid[part]
        local, codes = (part.reshape(-1, t) for part in (local, codes))
        with jax.enable_x64(True):  # settings belong to a thread
            program = search_program(self._mesh, self._plan, euclidean=self._euclidean)
            placed = [place_shards(part, self._mesh) for part in (local, codes, counts)]
            found = program(*placed, self._padded, self._database)
            rows = Shards(self._mesh.size * tiles * t, self._mesh.size, tiles * t)
            found = [own_rows(part, rows) for part in found]
        ids, keys, limits = (
            np.concatenate([part[i * tiles * t :][: len(q)] for i, q in enumerate(portion)])
            for part in found
        )
        keys, ids = nearest_first(keys, ids, self._k + 1)
        queries, kth = np.concatenate(portion), keys[:, self._k - 1]
        value = self._searches.value[queries]
        certain = certain_rows(kth, limits, self._bounds, value, euclidean=self._euclidean)
        if self._whole_ties:
            certain &= (kth != keys[:, self._k]) | (kth == -np.inf)
        return _Portion(queries, keys, ids, certain)


class _Portion(NamedTuple):
    """Outcome of some searches of this process."""

    queries: Int[np.ndarray, " q"]
    keys: Float64[np.ndarray, "q k1"]
    ids: Int32[np.ndarray, "q k1"]
    certain: Bool[np.ndarray, " q"]
