"""Exact ranks: the place that one model gives to the neighbors of another.

    rank_b(i, j) = 1 + #{l ∉ {i, j}: d_b(i, l) < d_b(i, j), or equal and l < j}

Every row of b is sorted once and serves the neighbor lists of all models and all positions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int32, Int64

from jaxalign.embeddings.sources import ModelRows
from jaxalign.guard import require_sound_jax
from jaxalign.pairwise.full_rows import FullRows, column_mask, full_rows
from jaxalign.pairwise.neighbors import check_tile_size
from jaxalign.progress import Progress

_SORTED_ROWS = 16  # rows that a thread sorts at once: they stay in its cache
_FEW = 16  # columns a listed id, from which on looking it up beats placing every column
_BUDGET = 2**30  # bytes, where the caller names none
_MOST_ROWS = 512  # query rows of a tile; more does not speed up the product
_ENTRY_BYTES = 40  # per entry of a tile: two products and two sets of keys in flight


def rank_sums(
    models: Sequence[ModelRows],
    neighbors: Sequence[Int32[np.ndarray, "n k"]],
    *,
    new: Sequence[int] | None = None,
    tile_size: int | None = None,
    memory_budget: int | None = None,
    progress: str | None = None,
) -> Float64[np.ndarray, "m m k"]:
    """Σ_i rank_b(i, neighbors_a[i, p]) for all ordered pairs (a, b) and positions p.

    A cumulative sum over the last axis gives every smaller number of neighbors.

    Args:
      models: rows of every model, over the same structures.
      neighbors: neighbor ids of every model, nearest first; never the row itself.
      new: models whose pairs are wanted, as first or second; None means all.
      tile_size: query rows per tile; never changes the result.
      memory_budget: bytes for one model's rows (kept if they fit into half of it, else read again
        for every tile) and the tiles.
      progress: label of a progress line.

    Returns:
      Integers held exactly, [a, b, p]; NaN for pairs without a new model.

    Raises:
      ValueError: models or neighbor lists of different lengths, or a tile_size that is no size.

    Note:
      Distances are Euclidean, ordered as neighbor lists are: float64, ties by row number.
    """
    _check(models, neighbors)
    m, k = len(models), neighbors[0].shape[1]
    wanted = set(range(m) if new is None else new)
    sums = np.full((m, m, k), np.nan)
    work = [(b, [a for a in range(m) if a in wanted or b in wanted]) for b in range(m)]
    work = [(b, firsts) for b, firsts in work if firsts]
    total = len(work) * models[0].n
    with Progress(progress or "", total=total, enabled=progress is not None) as shown:
        for b, firsts in work:
            lists = [neighbors[a] for a in firsts]
            found = np.zeros((len(firsts), k), np.int64)

            def add(start, stop, ranks, found=found):
                np.add(found, ranks.sum(axis=1, dtype=np.int64), out=found)
                shown.advance(stop - start)

            _sweep(models[b], lists, tile_size, memory_budget, add)
            sums[firsts, b] = found
    return sums


def rank_rows(
    neighbors: Int32[np.ndarray, "n k"],
    model: ModelRows,
    *,
    tile_size: int | None = None,
    memory_budget: int | None = None,
    progress: str | None = None,
) -> Float64[np.ndarray, " n"]:
    """Σ_p rank_b(i, neighbors[i, p]) of every structure i, for one directed pair.

    Args:
      neighbors: neighbor ids of the first model.
      model: rows of the second.
      tile_size: see `rank_sums`.
      memory_budget: see `rank_sums`.
      progress: see `rank_sums`.

    Returns:
      Integers held exactly.

    Raises:
      ValueError: see `rank_sums`.
    """
    _check([model], [neighbors])
    sums = np.empty(model.n)
    with Progress(progress or "", total=model.n, enabled=progress is not None) as shown:

        def keep(start, stop, ranks):
            sums[start:stop] = ranks[0].sum(axis=1, dtype=np.int64)
            shown.advance(stop - start)

        _sweep(model, [neighbors], tile_size, memory_budget, keep)
    return sums


def _check(models, neighbors) -> None:
    require_sound_jax()
    if len(models) != len(neighbors):
        raise ValueError(
            f"every model needs its neighbor lists: got {len(models)} and {len(neighbors)}"
        )
    shapes = {ids.shape for ids in neighbors} | {
        (model.n, neighbors[0].shape[1]) for model in models
    }
    if len(shapes) > 1:
        raise ValueError(
            "models and neighbor lists must cover the same structures with equal k: got shapes "
            f"{sorted(shapes)}"
        )


def _sweep(
    model: ModelRows,
    neighbors: Sequence[Int32[np.ndarray, "n k"]],
    tile_size: int | None,
    memory_budget: int | None,
    consume: Callable[[int, int, Int32[np.ndarray, "a t k"]], None],
) -> None:
    """Hands the ranks of the listed rows to `consume`: first row, end, ranks [lists, rows, k]."""
    budget = _BUDGET if memory_budget is None else memory_budget
    n = model.n
    resident = 12 * n * model.d <= budget // 2
    size = min(_MOST_ROWS, max(budget // (2 * _ENTRY_BYTES * n), 1))
    size = min(size if tile_size is None else check_tile_size(tile_size), n)
    ranks_of = host_ranks if jax.default_backend() == "cpu" else device_ranks
    starts = range(0, n, size)
    # All tiles have one shape: the last one overlaps its predecessor.
    begins = [min(start, n - size) for start in starts]
    with jax.enable_x64(True), ThreadPoolExecutor(1) as pool:
        full = full_rows(model, euclidean=True, resident=resident)
        ahead = pool.submit(_keys, full, begins[0], size)
        for place, start in enumerate(starts):
            keys, begin = ahead.result(), begins[place]
            if place + 1 < len(starts):  # the next product runs while this tile is sorted
                ahead = pool.submit(_keys, full, begins[place + 1], size)
            ids = np.stack([part[begin : begin + size] for part in neighbors])
            ranks = ranks_of(full, begin, keys, ids)
            consume(start, begin + size, ranks[:, start - begin :])


def _keys(full: FullRows, start: int, size: int) -> Int64[Array, "t n"]:
    with jax.enable_x64(True):  # inside the thread: the setting belongs to a thread
        return full.keys(start, start + size).block_until_ready()


def host_ranks(
    full: FullRows,
    first: int,
    keys: Int64[np.ndarray, "t n"] | Int64[Array, "t n"],
    ids: Int32[np.ndarray, "a t k"],
) -> Int32[np.ndarray, "a t k"]:
    """Ranks of the given ids in rows `first…`, row by row on the host.

    Args:
      full: the model that ranks.
      first: number of the first row.
      keys: comparison of the rows with all, see `FullRows.keys`.
      ids: row numbers to be ranked.

    Note:
      The host sorts because XLA's CPU sort takes thirty times as long; NumPy's releases the
      interpreter lock, so all cores sort.
    """
    keys, ranks = np.asarray(keys), np.empty(ids.shape, np.int32)
    few = ids.shape[0] * ids.shape[2] * _FEW <= full.n
    fill = _fill_few if few else _fill_all
    starts = range(0, len(keys), _SORTED_ROWS)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        parts = (range(start, min(start + _SORTED_ROWS, len(keys))) for start in starts)
        for _ in pool.map(lambda rows: fill(full, first, keys, ids, ranks, rows), parts):
            pass
    return ranks


def _fill_all(full: FullRows, first: int, keys, ids, ranks, rows: Sequence[int]) -> None:
    """Ranks of any number of ids, from the whole order of each row."""
    places, rank_of = np.arange(1, full.n, dtype=np.int32), np.zeros(full.n, np.int32)
    for row in rows:
        rank_of[full.order(first + row, keys[row])] = places
        ranks[:, row] = rank_of[ids[:, row]]


def _fill_few(full: FullRows, first: int, keys, ids, ranks, rows: range) -> None:
    """Ranks of few ids: their places among the sorted keys, where the order there is clear."""
    part = keys[rows.start : rows.stop]
    listed = ids[:, rows.start : rows.stop].transpose(1, 0, 2).reshape(len(part), -1)
    wanted = np.take_along_axis(part, listed.astype(np.int64), axis=1)
    part = np.sort(part, axis=1)
    places = np.stack([np.searchsorted(*pair) for pair in zip(part, wanted, strict=True)])
    found = (places + 1).astype(np.int32).reshape(len(part), ids.shape[0], ids.shape[2])
    ranks[:, rows.start : rows.stop] = found.transpose(1, 0, 2)
    unclear = full.unclear_at(first + rows.start, part, places)
    _fill_all(full, first, keys, ids, ranks, (rows.start + np.flatnonzero(unclear)).tolist())


def device_ranks(
    full: FullRows,
    first: int,
    keys: Int64[Array, "t n"],
    ids: Int32[np.ndarray, "a t k"],
) -> Int32[np.ndarray, "a t k"]:
    """The same ranks, sorted on the device; only rows with unclear order come to the host.

    Args:
      full: see `host_ranks`.
      first: see `host_ranks`.
      keys: see `host_ranks`.
      ids: see `host_ranks`.
    """
    with jax.enable_x64(True):
        margin = full.values.intercept[first : first + len(keys)], full.relative_margin
        classes = jnp.asarray(full.values.classes)
        ranks, unclear = _device_ranks(keys, jnp.asarray(ids), classes, *map(jnp.asarray, margin))
        rows = np.flatnonzero(np.asarray(unclear) & (not full.values.exact))
        ranks = np.array(ranks)
        for row in rows:
            found = host_ranks(full, first + int(row), keys[row][None], ids[:, row : row + 1])
            ranks[:, row] = found[:, 0]
    return ranks


@jax.jit
def _device_ranks(
    keys: Int64[Array, "t n"],
    ids: Int32[Array, "a t k"],
    classes: Int64[Array, " n"],
    intercept: Float64[Array, " t"],
    slope: Float64[Array, ""],
) -> tuple[Int32[Array, "a t k"], Bool[Array, " t"]]:
    t, n = keys.shape
    keys = jnp.sort(keys, axis=1)[:, :-1]
    low = column_mask(n)
    columns, leading = keys & low, jax.lax.bitcast_convert_type(keys & ~low, jnp.float64)
    near = jnp.diff(leading, axis=1) <= leading[:, 1:] * slope + intercept[:, None]
    classes = classes[columns]
    unclear = (near & (classes[:, 1:] != classes[:, :-1])).any(axis=1)
    rows = jnp.arange(t)[:, None]
    places = jnp.broadcast_to(jnp.arange(1, n, dtype=jnp.int32)[None, :], columns.shape)
    rank_of = jnp.zeros((t, n), jnp.int32).at[rows, columns].set(places)
    return rank_of[rows[None], ids], unclear
