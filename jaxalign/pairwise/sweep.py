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

import functools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32, Float64, Int, Int32

from jaxalign.pairwise import ordering
from jaxalign.pairwise.duplicates import Units
from jaxalign.pairwise.exhaustive import Exhaustive, Lists
from jaxalign.pairwise.proposals import COLUMNS, block_size, kept_share, make_database
from jaxalign.pairwise.search import GATHER_ROWS, certain_rows, nearest_first, search_tiles
from jaxalign.progress import Progress

# Up to this many values the host searches alone: it takes less time than compiling.
HOST_ROWS = 2048
_TILE_ENTRIES = 2**22  # proposed values kept of one tile: 16 MiB
_CALL_ROWS = 2048  # query rows of one device call
_CALLS = 2  # calls in flight: one selects, on one core, while the other multiplies, on all
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
      rows: distinct rows of unit scale.
      searches: query rows and what they must avoid.
      k: values wanted of each search, at most the number of rows.
      euclidean: distances instead of inner products.
      tile: query rows per tile.
      whole_ties: whether a tie at the last place makes a search uncertain.
    """

    def __init__(
        self,
        rows: Float32[np.ndarray, "n d"],
        searches: Units,
        *,
        k: int,
        euclidean: bool,
        tile: int,
        whole_ties: bool,
    ):
        self._rows, self._searches = rows, searches
        self._k, self._euclidean, self._whole_ties = k, euclidean, whole_ties
        # Room for the error of one bfloat16 pass: 0.06 standard deviations of isotropic products.
        spare = max(12, min(k // 2, 128))
        self._candidates = -(-(k + spare) // 8) * 8  # few sizes, so few compilations
        self._block = block_size(len(rows), k)
        self._tile = -(-min(tile, len(searches.value)) // GATHER_ROWS) * GATHER_ROWS
        self._tiles = max(1, min(_CALL_ROWS, len(searches.value)) // self._tile)

    def run(self, progress: Progress) -> Swept:
        """Searches everything."""
        total = len(self._searches.value)
        if len(self._rows) <= HOST_ROWS or 2 * self._candidates > len(self._rows):
            lists = self._exhaustive(np.arange(total))
            progress.advance(total)
            return Swept(lists, "float64", 0, total)
        self._padded = ordering.pad_width(jnp.asarray(self._rows))
        precision = self._choose()
        shape = (total, self._k + 1)
        keys, ids = np.empty(shape, np.float64), np.empty(shape, np.int32)
        certain = np.empty(total, bool)
        for queries, found in self._search(np.arange(total)):
            keys[queries], ids[queries], certain[queries] = found
            progress.advance(len(queries))
        del self._database, self._padded
        counts = (keys > -np.inf).sum(axis=1)
        uncertain = np.flatnonzero(~certain)
        lists = _join(keys, ids, counts, uncertain, self._exhaustive(uncertain))
        return Swept(lists, precision, len(uncertain), 0)

    def _exhaustive(self, queries) -> Lists:
        if not len(queries):
            return Lists(np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0))
        host = Exhaustive(self._rows, self._searches.codes, euclidean=self._euclidean)
        return host.search(self._searches.value[queries], self._searches.avoid[queries], self._k)

    def _choose(self) -> str:
        """Makes the database of the first precision that settles nearly all rows of a sample."""
        total = len(self._searches.value)
        sample = np.unique(np.linspace(0, total - 1, self._tile).astype(np.int64))
        fast = len(self._rows) >= _MEASURED_ROWS and fast_bfloat16()
        ladder = ("bfloat16", "bfloat16x3") if fast else ("float32",)
        for precision in ladder:
            self._make_database(precision)
            if precision != ladder[-1]:
                certain = next(self._search(sample))[1][2]
                if (~certain).mean() <= _MOST_UNCERTAIN:
                    break
        return precision

    def _make_database(self, precision: str) -> None:
        n = len(self._rows)
        columns = _TILE_ENTRIES / (self._tile * kept_share(self._block))
        columns = max(1, int(columns / COLUMNS)) * COLUMNS
        self._steps = -(-n // columns)
        self._database, self._bounds = make_database(
            self._rows,
            self._searches.codes,
            euclidean=self._euclidean,
            precision=precision,
            groups=self._steps,
        )

    def _search(self, queries):
        """Yields portions of the queries with their keys, ids and certainty."""
        size = self._tiles * self._tile
        portions = [queries[start : start + size] for start in range(0, len(queries), size)]
        with ThreadPoolExecutor(_CALLS) as pool:
            yield from zip(portions, pool.map(self._call, portions), strict=True)

    def _call(
        self, queries: Int[np.ndarray, " q"]
    ) -> tuple[Float64[np.ndarray, "q k1"], Int32[np.ndarray, "q k1"], Bool[np.ndarray, " q"]]:
        value, avoid = self._searches.value[queries], self._searches.avoid[queries]
        with jax.enable_x64(True):  # settings belong to a thread
            found = search_tiles(
                jnp.asarray(self._fill(value)),
                jnp.asarray(self._fill(avoid)),
                jnp.asarray(-(-len(queries) // self._tile), jnp.int32),
                self._padded,
                self._database,
                candidates=self._candidates,
                steps=self._steps,
                block=self._block,
                euclidean=self._euclidean,
            )
            ids, keys, limits = (np.asarray(part)[: len(queries)] for part in found)
        keys, ids = nearest_first(keys, ids, self._k + 1)
        kth = keys[:, self._k - 1]
        certain = certain_rows(kth, limits, self._bounds, value, euclidean=self._euclidean)
        if self._whole_ties:
            certain &= (kth != keys[:, self._k]) | (kth == -np.inf)
        return keys, ids, certain

    def _fill(self, values) -> Int32[np.ndarray, "tiles t"]:
        """Pads a portion by repeating its first entry, so that every call has one shape."""
        filled = np.full(self._tiles * self._tile, values[0], np.int32)
        filled[: len(values)] = values
        return filled.reshape(self._tiles, self._tile)


def _join(keys, ids, counts, uncertain, again: Lists) -> Lists:
    """Lists of the device, those of the uncertain searches replaced."""
    if not len(uncertain):
        starts = np.concatenate([[0], np.cumsum(counts)])
        inside = np.arange(keys.shape[1]) < counts[:, None]
        return Lists(starts, ids[inside], keys[inside])
    sizes = counts.copy()
    sizes[uncertain] = np.diff(again.starts)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    replaced = np.zeros(len(counts), bool)
    replaced[uncertain] = True
    entry = np.repeat(replaced, sizes)
    inside = (np.arange(keys.shape[1]) < counts[:, None]) & ~replaced[:, None]
    all_ids, all_keys = np.empty(starts[-1], np.int32), np.empty(starts[-1])
    all_ids[entry], all_ids[~entry] = again.ids, ids[inside]
    all_keys[entry], all_keys[~entry] = again.keys, keys[inside]
    return Lists(starts, all_ids, all_keys)


@functools.cache
def fast_bfloat16() -> bool:
    """Whether this device multiplies bfloat16 at least twice as fast as float32, by measurement."""
    seconds = {}
    for dtype in (jnp.float32, jnp.bfloat16):
        x, y = jnp.ones((256, 256), dtype), jnp.ones((256, COLUMNS), dtype)
        product = jax.jit(functools.partial(jnp.matmul, preferred_element_type=jnp.float32))
        product(x, y).block_until_ready()
        times = []
        for _ in range(10):
            start = time.perf_counter()
            product(x, y).block_until_ready()
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return 2 * seconds[jnp.bfloat16] <= seconds[jnp.float32]
