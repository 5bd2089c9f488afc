"""Search in float64 on the host: for few rows, and for rows that no cheap proposal can settle.

Products of centered rows in float64 tell the k-th ordering value to 13 digits; whatever lies within
their error of it is compared by the ordering value itself. The number of such near-ties may
differ from row to row, so ties of any number are settled, and nothing is compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int, Int32

from jaxalign.pairwise import ordering
from jaxalign.pairwise.row_blocks import RowBlocks
from jaxalign.parallel.multihost import exchange, gather_rows

_ENTRIES = 2**21  # products held at once
_QUERIES = 4096  # query rows exchanged at once
_UNIT = 2.0**-51  # four times the unit roundoff


class Lists(NamedTuple):
    """Nearest rows of some queries, nearest first, one list after the other.

    Attributes:
      starts: where the list of each query begins, and the end of the last.
      ids: row numbers.
      keys: ordering values, larger is nearer.
    """

    starts: Int[np.ndarray, " q1"]
    ids: Int[np.ndarray, " e"]
    keys: Float64[np.ndarray, " e"]


class Exhaustive:
    """Compares queries with rows of consecutive numbers.

    Args:
      rows: stored rows, of unit scale.
      codes: a query never meets rows of its own code.
      euclidean: distances instead of inner products.
      first: number of the first row.
    """

    def __init__(
        self,
        rows: Float32[np.ndarray, "n d"],
        codes: Int32[np.ndarray, " n"],
        *,
        euclidean: bool,
        first: int = 0,
    ):
        self._rows, self._codes, self._euclidean, self._first = rows, codes, euclidean, first
        x = rows.astype(np.float64)
        self._mean = x.sum(axis=0) / max(1, len(x))
        self._sizes = self._size(x)
        x -= self._mean
        self._centered = x
        self._offsets = -np.einsum("id,id->i", x, x) / 2 if euclidean else x @ self._mean

    def _size(self, x):
        # Bounds the error of a pair, u·w·(size_i + size_j)²: that of c, of the product, of t, and
        # of the ordering value itself. It belongs to the pair, so one huge row blurs no other.
        sizes = np.sqrt(np.einsum("id,id->i", x, x)) + np.sqrt(self._mean @ self._mean)
        return sizes * np.sqrt(_UNIT * (x.shape[1] + 4))

    def search(
        self, queries: Float32[np.ndarray, "q d"], codes: Int32[np.ndarray, " q"], k: int
    ) -> Lists:
        """All rows whose key is at least the k-th largest of a query (ties with it included)."""
        size = max(1, _ENTRIES // max(1, len(self._rows)))
        parts = [
            self._some(queries[start : start + size], codes[start : start + size], k)
            for start in range(0, len(queries), size)
        ]
        return join(parts)

    def _some(self, queries, codes, k: int) -> Lists:
        x = queries.astype(np.float64)
        error = np.square(self._size(x)[:, None] + self._sizes)
        s = (x - self._mean) @ self._centered.T
        s += self._offsets
        s[codes[:, None] == self._codes] = -np.inf
        near = s > -np.inf
        n = s.shape[1]
        if k < n:
            kth = np.partition(s - error, n - k, axis=1)[:, n - k]
            near &= s + error >= kth[:, None]
        query, ids = np.nonzero(near)
        value = ordering.host_squared_distances if self._euclidean else ordering.host_inner_products
        keys = value(queries, self._rows, query, ids)
        return _nearest(query, ids + self._first, -keys if self._euclidean else keys, len(x), k)


def _nearest(query, ids, keys, count: int, k: int) -> Lists:
    """Lists of `count` queries: up to the k-th key and its ties; one more row shows their end."""
    order = np.lexsort((ids, -keys, query))
    query, ids, keys = query[order], ids[order], keys[order]
    counts = np.bincount(query, minlength=count)
    begins = np.cumsum(counts) - counts
    if len(ids):
        # What was only nearly as near as the k-th row goes, but for the first.
        last = keys[np.minimum(begins + np.minimum(k, np.maximum(counts, 1)) - 1, len(ids) - 1)]
        place = np.arange(len(ids)) - begins[query]
        keep = (keys >= last[query]) | (place <= k)
        query, ids, keys = query[keep], ids[keep], keys[keep]
    starts = np.concatenate([[0], np.cumsum(np.bincount(query, minlength=count))])
    return Lists(starts, ids, keys)


def join(parts: Sequence[Lists]) -> Lists:
    """Lists of several sets of queries, one set after the other."""
    sizes = np.concatenate([np.zeros(0, np.int64), *(np.diff(part.starts) for part in parts)])
    ids = np.concatenate([np.zeros(0, np.int64), *(part.ids for part in parts)])
    keys = np.concatenate([np.zeros(0), *(part.keys for part in parts)])
    return Lists(np.concatenate([[0], np.cumsum(sizes)]), ids, keys)


def exchange_lists(lists: Lists) -> list[Lists]:
    """The lists of all processes, in the order of the processes."""
    return [Lists(*parts) for parts in zip(*(exchange(part) for part in lists), strict=True)]


def search_shares(
    rows: RowBlocks,
    share: tuple[int, int],
    codes: Int32[np.ndarray, " n"],
    queries: Int[np.ndarray, " q"],
    avoid: Int32[np.ndarray, " q"],
    k: int,
    *,
    euclidean: bool,
) -> Lists:
    """Nearest rows of some rows: each process compares them with its share, and all hear of it.

    Args:
      rows: all rows.
      share: first row of this process and one past its last; processes hold consecutive shares.
      codes: of all rows.
      queries: row numbers, ascending, the same in every process.
      avoid: code that each query must not meet.
      k: rows wanted.
      euclidean: distances instead of inner products.

    Returns:
      The same lists in every process.
    """
    if not len(queries):
        return join([])
    start, stop = share
    host = Exhaustive(rows.read(start, stop), codes[start:stop], euclidean=euclidean, first=start)
    found = []
    for begin in range(0, len(queries), _QUERIES):
        part = queries[begin : begin + _QUERIES]
        values = gather_rows(rows.take(part[(part >= start) & (part < stop)]))
        mine = host.search(values, avoid[begin : begin + _QUERIES], k)
        found.append(_merge(exchange_lists(mine), k))
    return join(found)


def _merge(lists: Sequence[Lists], k: int) -> Lists:
    """Lists of the same queries among several sets of rows → lists among all rows."""
    if len(lists) == 1:
        return lists[0]
    count = len(lists[0].starts) - 1
    query = np.concatenate([np.repeat(np.arange(count), np.diff(part.starts)) for part in lists])
    ids, keys = (np.concatenate([part[i] for part in lists]) for i in (1, 2))
    return _nearest(query, ids, keys, count, k)


def with_replaced(
    keys: Float64[np.ndarray, "q w"],
    ids: Int32[np.ndarray, "q w"],
    counts: Int[np.ndarray, " q"],
    uncertain: Int[np.ndarray, " u"],
    again: Lists,
) -> Lists:
    """Lists of the devices, those of the uncertain searches replaced.

    Args:
      keys: of each query, nearest first.
      ids: of the same rows.
      counts: entries that each query has.
      uncertain: queries searched again.
      again: their lists.
    """
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


def rectangle(
    lists: Lists, width: int
) -> tuple[Int32[np.ndarray, "q w"], Float64[np.ndarray, "q w"]]:
    """Ids and keys of the first `width` entries of each list; a key of −inf marks a missing one."""
    counts = np.minimum(np.diff(lists.starts), width)
    inside = np.arange(width) < counts[:, None]
    entries = (lists.starts[:-1, None] + np.arange(width))[inside]
    ids, keys = np.zeros(inside.shape, np.int32), np.full(inside.shape, -np.inf)
    ids[inside], keys[inside] = lists.ids[entries], lists.keys[entries]
    return ids, keys
