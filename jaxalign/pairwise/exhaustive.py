"""Search in float64 on the host: for few rows, and for rows that no cheap proposal can settle.

Products of centered rows in float64 tell the k-th ordering value to 13 digits; whatever lies within
their error of it is compared by the ordering value itself. The number of such near-ties may
differ from row to row, so ties of any number are settled, and nothing is compiled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int, Int32

from jaxalign.pairwise import ordering

_ENTRIES = 2**21  # products held at once
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
    """Compares queries with all rows.

    Args:
      rows: stored rows, of unit scale.
      codes: a query never meets rows of its own code.
      euclidean: distances instead of inner products.
    """

    def __init__(
        self, rows: Float32[np.ndarray, "n d"], codes: Int32[np.ndarray, " n"], *, euclidean: bool
    ):
        self._rows, self._codes, self._euclidean = rows, codes, euclidean
        x = rows.astype(np.float64)
        mean = x.mean(axis=0)
        # Bounds the error of a pair, u·w·(size_i + size_j)²: that of c, of the product, of t, and
        # of the ordering value itself. It belongs to the pair, so one huge row blurs no other.
        self._sizes = np.sqrt(np.einsum("id,id->i", x, x)) + np.sqrt(mean @ mean)
        self._sizes *= np.sqrt(_UNIT * (rows.shape[1] + 4))
        x -= mean
        self._centered = x
        self._offsets = -np.einsum("id,id->i", x, x) / 2 if euclidean else x @ mean

    def search(
        self, queries: Int[np.ndarray, " q"], codes: Int32[np.ndarray, " q"], k: int
    ) -> Lists:
        """All rows whose key is at least the k-th largest of a query (ties with it included)."""
        size = max(1, _ENTRIES // len(self._rows))
        parts = [
            self._some(queries[start : start + size], codes[start : start + size], k)
            for start in range(0, len(queries), size)
        ]
        starts = np.concatenate([[0], np.cumsum(np.concatenate([counts for counts, *_ in parts]))])
        ids, keys = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
        return Lists(starts, ids, keys)

    def _some(self, queries, codes, k: int):
        s = self._centered[queries] @ self._centered.T
        s += self._offsets
        s[codes[:, None] == self._codes] = -np.inf
        error = np.square(self._sizes[queries][:, None] + self._sizes)
        n = s.shape[1]
        kth = np.partition(s - error, n - k, axis=1)[:, n - k]
        near = (s + error >= kth[:, None]) & (s > -np.inf)
        query, ids = np.nonzero(near)
        value = ordering.host_squared_distances if self._euclidean else ordering.host_inner_products
        keys = value(self._rows, self._rows, queries[query], ids)
        keys = -keys if self._euclidean else keys
        order = np.lexsort((ids, -keys, query))
        query, ids, keys = query[order], ids[order], keys[order]
        counts = np.bincount(query, minlength=len(queries))
        begins = np.cumsum(counts) - counts
        # What was only nearly as near as the k-th row goes, but for the first: it shows ties.
        last = keys[begins + np.minimum(k, counts) - 1]
        place = np.arange(len(ids)) - begins[query]
        keep = (keys >= last[query]) | (place <= k)
        return np.bincount(query[keep], minlength=len(queries)), ids[keep], keys[keep]


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
