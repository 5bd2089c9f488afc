"""Where the k nearest end: a threshold per row that any float64 product can be compared with.

The threshold lies in the middle of a gap that is wider than all rounding. Where the gap behind the
k-th neighbor is narrower (ties, mostly), the threshold moves up to the next wide gap, and those of
the skipped neighbors that belong to the k nearest are listed one by one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int64

from jaxalign.pairwise.full_rows import FullRows
from jaxalign.pairwise.row_tiles import RowTile
from jaxalign.parallel.multihost import gather_rows


class Boundary(NamedTuple):
    """The k nearest of every row: j with v_ij − base_i < threshold_i, and the listed pairs.

    Attributes:
      thresholds: one a row, comparable with `column_j − 2 c_i·c_j`.
      rows: first members of the listed pairs, ascending.
      columns: second members.
    """

    thresholds: Float64[np.ndarray, " n"]
    rows: Int64[np.ndarray, " e"]
    columns: Int64[np.ndarray, " e"]


def boundaries(
    full: FullRows, ks: Sequence[int], *, tile: int, advance: Callable[[int], None]
) -> dict[int, Boundary]:
    """Boundaries of one model for several k: each process finds those of its rows, and gets all.

    Args:
      full: the model; its codes exclude a row itself and its group.
      ks: numbers of neighbors, each at most the number of eligible columns of every row.
      tile: query rows at once on a device.
      advance: called with the number of rows done.

    Note:
      Must be called under `jax.enable_x64(True)`, by all processes.
    """
    eligible = full.n - np.bincount(full.codes)[full.codes]
    first, last = full.products.own
    thresholds = {k: np.empty(last - first) for k in ks}
    listed: dict[int, list[tuple[int, Int64[np.ndarray, " e"]]]] = {k: [] for k in ks}
    for tiles in full.tiles(tile):
        for k in ks:
            # All devices sort before the first result is waited for.
            nearest = [_nearest(full, part, k) for part in tiles]
            for (start, keys), ends in zip(tiles, nearest, strict=True):
                rows = np.arange(start, start + len(keys))
                found, narrow = _in_the_gap(full, rows, ends, eligible[rows] <= k)
                thresholds[k][rows - first] = found
                for row in rows[narrow]:
                    order = np.sort(np.asarray(keys[row - start]))[: eligible[row]]
                    middle, extra = _before_ties(full, int(row), order, k)
                    thresholds[k][row - first] = middle
                    listed[k].append((int(row), extra))
        advance(sum(len(part.keys) for part in tiles))
    return {k: Boundary(gather_rows(thresholds[k]), *_flat(listed[k])) for k in ks}


def _nearest(full: FullRows, tile: RowTile, k: int):
    return (_kth_on_host if full.products.on_host else _kth_on_device)(tile.keys, k)


def _in_the_gap(full: FullRows, rows, ends, last: Bool[np.ndarray, " t"]):
    """Thresholds between the k-th and the next value, and which gaps are too narrow for one.

    Args:
      full: the model.
      rows: row numbers.
      ends: keys of the k-th and the next.
      last: rows in which nothing eligible is left behind the k-th.
    """
    kth, following = (full.leading(np.asarray(part)) for part in ends)
    following = np.where(last, np.inf, following)
    margin = full.values.intercept[rows] + np.where(last, 0, following) * full.relative_margin
    # Both ends of the gap are off by one margin at most when they are computed again.
    narrow = following - kth <= 2 * margin
    return kth / 2 + following / 2 - full.values.base[rows], narrow


def _kth_on_host(keys, k: int) -> tuple[Int64[np.ndarray, " t"], Int64[np.ndarray, " t"]]:
    keys = np.asarray(keys)
    kth, following = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64)

    def fill(rows: range) -> None:
        for row in rows:
            parts = np.partition(keys[row], k - 1)
            kth[row], following[row] = parts[k - 1], parts[k:].min()

    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(fill, (range(w, len(keys), workers) for w in range(workers))):
            pass
    return kth, following


def _kth_on_device(keys, k: int) -> tuple[Int64[Array, " t"], Int64[Array, " t"]]:
    keys = jnp.sort(keys, axis=1)
    return keys[:, k - 1], keys[:, k]


def _before_ties(full: FullRows, row: int, keys: Int64[np.ndarray, " c"], k: int):
    """Threshold in the next wide gap above the k-th value, and the neighbors it leaves out."""
    wide = np.flatnonzero(~full.unclear(row, keys, margins=2.0))
    place = int(np.searchsorted(wide, k - 1))
    start = int(wide[place - 1]) + 1 if place else 0
    stop = int(wide[place]) + 1 if place < len(wide) else len(keys)
    tied = keys[start:stop] & full.low
    classes = full.values.classes[tied]
    one_value = (classes == classes[0]).all()
    chosen = np.sort(tied) if one_value else full.decide(row, tied, np.zeros_like(tied))
    if not start:
        return -np.inf, chosen[:k]
    before, after = full.leading(keys[start - 1 : start + 1])
    return before / 2 + after / 2 - full.values.base[row], chosen[: k - start]


def _flat(listed) -> tuple[Int64[np.ndarray, " e"], Int64[np.ndarray, " e"]]:
    none = np.empty(0, np.int64)
    listed = sorted(listed, key=lambda item: item[0])  # devices take turns
    rows = [np.full(len(columns), row, np.int64) for row, columns in listed]
    mine = [none, *rows], [none, *(columns for _, columns in listed)]
    return tuple(gather_rows(np.concatenate(parts)) for parts in mine)
