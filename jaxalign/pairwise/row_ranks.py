"""Ranks of listed ids in rows that were compared with all: each row is sorted once."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int32, Int64

from jaxalign.pairwise.full_rows import FullRows
from jaxalign.pairwise.row_keys import KeyFormat
from jaxalign.pairwise.row_tiles import RowTile

_SORTED_ROWS = 16  # rows that a thread sorts at once: they stay in its cache
_FEW = 16  # columns a listed id, from which on looking it up beats placing every column


def host_ranks(
    full: FullRows, tiles: Sequence[RowTile], ids: Sequence[Int32[np.ndarray, "a _ k"]]
) -> list[Int32[np.ndarray, "a _ k"]]:
    """Ranks of the given ids, row by row on the host.

    Args:
      full: the model that ranks.
      tiles: consecutive rows, compared with all.
      ids: row numbers to be ranked, for every tile.

    Note:
      The host sorts because XLA's CPU sort takes thirty times as long; NumPy's releases the
      interpreter lock, so all cores sort.
    """
    ranks, work = [np.empty(part.shape, np.int32) for part in ids], []
    for (first, keys), listed, found in zip(tiles, ids, ranks, strict=True):
        few = listed.shape[0] * listed.shape[2] * _FEW <= full.n
        fill, keys = _fill_few if few else _fill_all, np.asarray(keys)
        for start in range(0, len(keys), _SORTED_ROWS):
            rows = range(start, min(start + _SORTED_ROWS, len(keys)))
            work.append((fill, full, first, keys, listed, found, rows))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for _ in pool.map(lambda item: item[0](*item[1:]), work):
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
    full: FullRows, tiles: Sequence[RowTile], ids: Sequence[Int32[np.ndarray, "a _ k"]]
) -> list[Int32[np.ndarray, "a _ k"]]:
    """The same ranks, sorted on the devices; only rows with unclear order come to the host.

    Args:
      full: see `host_ranks`.
      tiles: see `host_ranks`.
      ids: see `host_ranks`.
    """
    with jax.enable_x64(True):
        # All devices sort before the first result is waited for.
        begun = [_begin(full, *pair) for pair in zip(tiles, ids, strict=True)]
        return [
            _settle(full, tile, part, *map(np.array, found))
            for tile, part, found in zip(tiles, ids, begun, strict=True)
        ]


def _begin(full: FullRows, tile: RowTile, ids) -> tuple[Int32[Array, "a t k"], Bool[Array, " t"]]:
    keys = jnp.asarray(tile.keys)
    margin = full.values.intercept[tile.first : tile.first + len(keys)], full.relative_margin
    placed = jax.device_put((ids, full.values.classes, *margin), next(iter(keys.devices())))
    return _device_ranks(keys, *placed, form=full.values.keys)


def _settle(full: FullRows, tile: RowTile, ids, ranks, unclear) -> Int32[np.ndarray, "a t k"]:
    for row in np.flatnonzero(unclear & (not full.values.exact)).tolist():
        one = RowTile(tile.first + row, np.asarray(tile.keys[row])[None])
        ranks[:, row] = host_ranks(full, [one], [ids[:, row : row + 1]])[0][:, 0]
    return ranks


@functools.partial(jax.jit, static_argnames="form")
def _device_ranks(
    keys: Int64[Array, "t n"],
    ids: Int32[Array, "a t k"],
    classes: Int64[Array, " n"],
    intercept: Float64[Array, " t"],
    slope: Float64[Array, ""],
    *,
    form: KeyFormat,
) -> tuple[Int32[Array, "a t k"], Bool[Array, " t"]]:
    t, n = keys.shape
    keys = jnp.sort(keys, axis=1)[:, :-1]
    columns, leading = keys & form.low, form.leading(keys)
    near = jnp.diff(leading, axis=1) <= leading[:, 1:] * slope + intercept[:, None]
    classes = classes[columns]
    unclear = (near & (classes[:, 1:] != classes[:, :-1])).any(axis=1)
    rows = jnp.arange(t)[:, None]
    places = jnp.broadcast_to(jnp.arange(1, n, dtype=jnp.int32)[None, :], columns.shape)
    rank_of = jnp.zeros((t, n), jnp.int32).at[rows, columns].set(places)
    return rank_of[rows[None], ids], unclear
