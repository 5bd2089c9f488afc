"""Where the k nearest end: a threshold per row that any float64 product can be compared with.

The threshold lies in the middle of a gap that is wider than all rounding. Where the gap behind the
k-th neighbor is narrower (ties, mostly), the threshold moves up to the next wide gap, and those of
the skipped neighbors that belong to the k nearest are listed one by one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, Int64

from jaxalign.pairwise.full_rows import FullRows


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


def boundaries(full: FullRows, ks: Sequence[int], *, tile: int, advance) -> dict[int, Boundary]:
    """Boundaries of one model for several k.

    Args:
      full: the model; its codes exclude a row itself and its group.
      ks: numbers of neighbors, each at most the number of eligible columns of every row.
      tile: query rows at once.
      advance: called with the number of rows done.

    Note:
      Must be called under `jax.enable_x64(True)`.
    """
    n = full.n
    eligible = n - np.bincount(full.codes)[full.codes]
    thresholds = {k: np.empty(n) for k in ks}
    listed: dict[int, list[tuple[int, Int64[np.ndarray, " e"]]]] = {k: [] for k in ks}
    for start in range(0, n, tile):
        begin = min(start, n - tile)  # one shape: the last tile overlaps its predecessor
        keys, rows = full.keys(begin, begin + tile), np.arange(start, begin + tile)
        for k in ks:
            found, narrow = _in_the_gap(full, rows, keys[start - begin :], k, eligible[rows])
            thresholds[k][rows] = found
            for row in rows[narrow]:
                order = np.sort(np.asarray(keys[row - begin]))[: eligible[row]]
                thresholds[k][row], extra = _before_ties(full, int(row), order, k)
                listed[k].append((int(row), extra))
        advance(len(rows))
    return {k: Boundary(thresholds[k], *_flat(listed[k])) for k in ks}


def _in_the_gap(full: FullRows, rows, keys: Int64[Array, "t n"], k: int, eligible):
    """Thresholds between the k-th and the next value, and which gaps are too narrow for one."""
    nearest = _kth_on_host if jax.default_backend() == "cpu" else _kth_on_device
    last = eligible <= k  # nothing eligible is left behind the k-th
    kth, following = (full.leading(np.asarray(part)) for part in nearest(keys, k))
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
    rows = [np.full(len(columns), row, np.int64) for row, columns in listed]
    return np.concatenate([none, *rows]), np.concatenate([none, *(c for _, c in listed)])
