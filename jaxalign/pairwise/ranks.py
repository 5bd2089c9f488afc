"""Exact ranks: the place that one model gives to the neighbors of another.

    rank_b(i, j) = 1 + #{l ∉ {i, j}: d_b(i, l) < d_b(i, j), or equal and l < j}

Every row of b is sorted once and serves the neighbor lists of all models and all positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float64, Int32

from jaxalign.embeddings.sources import ModelRows
from jaxalign.guard import require_sound_jax
from jaxalign.pairwise.full_rows import devices_a_process, full_rows
from jaxalign.pairwise.row_ranks import device_ranks, host_ranks
from jaxalign.pairwise.row_tiles import RowTile
from jaxalign.pairwise.search_arguments import check_tile_size
from jaxalign.parallel.mesh import choose_mesh
from jaxalign.parallel.multihost import exchange, gather_rows
from jaxalign.parallel.padding import row_shards
from jaxalign.progress import Progress

_BUDGET = 2**30  # bytes, where the caller names none
_MOST_ROWS = 512  # query rows of a tile; more does not speed up the product
_ENTRY_BYTES = 40  # per entry of a tile: two products and two sets of keys in flight
_LISTED_BYTES = 16  # per listed id of a tile: ids, places, ranks


@runtime_checkable
class NeighborRows(Protocol):
    """Neighbor lists that are read a few rows at a time: a graph that stays on disk."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and neighbors of each."""

    def read(self, start: int, stop: int) -> Int32[np.ndarray, "rows k"]:
        """Ids of rows `start:stop`, nearest first."""


NeighborLists = Int32[np.ndarray, "n k"] | NeighborRows


def rank_sums(
    models: Sequence[ModelRows],
    neighbors: Sequence[NeighborLists],
    *,
    new: Sequence[int] | None = None,
    tile_size: int | None = None,
    memory_budget: int | None = None,
    progress: str | None = None,
    mesh: Mesh | None = None,
    gather: bool | None = None,
) -> Float64[np.ndarray, "m m k"]:
    """Σ_i rank_b(i, neighbors_a[i, p]) for all ordered pairs (a, b) and positions p.

    A cumulative sum over the last axis gives every smaller number of neighbors. Query rows are
    split over all devices; sums are integers, so that their order does not matter.

    Args:
      models: rows of every model, over the same structures.
      neighbors: neighbor ids of every model, nearest first; never the row itself. Arrays, or
        anything that reads them by rows; those of a tile are held for all models at once.
      new: models whose pairs are wanted, as first or second; None means all.
      tile_size: query rows per tile of a device; never changes the result.
      memory_budget: bytes of a process for one model's rows (those of the process are kept if they
        fit into half of it, else all are read again for every tile) and the tiles.
      progress: label of a progress line.
      mesh: devices that work; None chooses them, see `choose_mesh`. All processes must call.
      gather: compare with columns gathered on every device (True) or travelling round a ring
        (False); None gathers if they fit beside the rows. Never changes the result.

    Returns:
      Integers held exactly, [a, b, p]; NaN for pairs without a new model.

    Raises:
      ValueError: models or neighbor lists of different lengths, or a tile_size that is no size.

    Note:
      Distances are Euclidean, ordered as neighbor lists are: float64, ties by row number. Each
      process reads the rows of its devices, and few rows of others: a sample that gives the center,
      and those that are nearly as far as another and so are compared exactly.
    """
    _check(models, neighbors)
    m, k = len(models), neighbors[0].shape[1]
    wanted = set(range(m) if new is None else new)
    work = [(b, [a for a in range(m) if a in wanted or b in wanted]) for b in range(m)]
    work = [(b, firsts) for b, firsts in work if firsts]
    mesh = choose_mesh(mesh, models[0].n)
    first, last = row_shards(models[0].n, mesh).of_process(mesh)
    settings = mesh, gather, tile_size, memory_budget
    found, total = np.zeros((m, m, k), np.int64), len(work) * (last - first)
    with Progress(progress or "", total=total, enabled=progress is not None) as shown:
        for b, firsts in work:
            lists = [neighbors[a] for a in firsts]
            for _, ranks in _ranks(models[b], lists, *settings):
                found[firsts, b] += ranks.sum(axis=1, dtype=np.int64)
                shown.advance(ranks.shape[1])
    sums = sum(exchange(found)).astype(np.float64)
    computed = np.zeros((m, m), bool)
    for b, firsts in work:
        computed[firsts, b] = True
    sums[~computed] = np.nan
    return sums


def rank_rows(
    neighbors: NeighborLists, model: ModelRows, **settings: Any
) -> Float64[np.ndarray, " n"]:
    """Σ_p rank_b(i, neighbors[i, p]) of every structure i, for one directed pair.

    Args:
      neighbors: neighbor ids of the first model.
      model: rows of the second.
      **settings: see `neighbor_ranks`.

    Returns:
      Integers held exactly, of all rows on every process.

    Raises:
      ValueError: see `rank_sums`.
    """
    return neighbor_ranks(neighbors, model, **settings).sum(axis=1)


def neighbor_ranks(
    neighbors: NeighborLists,
    model: ModelRows,
    *,
    tile_size: int | None = None,
    memory_budget: int | None = None,
    progress: str | None = None,
    mesh: Mesh | None = None,
    gather: bool | None = None,
) -> Float64[np.ndarray, "n k"]:
    """rank_b(i, neighbors[i, p]) of every structure i and position p, for one directed pair.

    Args:
      neighbors: neighbor ids of the first model.
      model: rows of the second.
      tile_size: see `rank_sums`.
      memory_budget: see `rank_sums`.
      progress: see `rank_sums`.
      mesh: see `rank_sums`.
      gather: see `rank_sums`.

    Returns:
      Integers held exactly, of all rows on every process.

    Raises:
      ValueError: see `rank_sums`.
    """
    _check([model], [neighbors])
    mesh = choose_mesh(mesh, model.n)
    first, last = row_shards(model.n, mesh).of_process(mesh)
    found = np.empty((last - first, neighbors.shape[1]))
    with Progress(progress or "", total=last - first, enabled=progress is not None) as shown:
        for start, ranks in _ranks(model, [neighbors], mesh, gather, tile_size, memory_budget):
            place = start - first
            found[place : place + ranks.shape[1]] = ranks[0]
            shown.advance(ranks.shape[1])
    return gather_rows(found)


def _check(models, neighbors) -> None:
    require_sound_jax()
    if len(models) != len(neighbors):
        raise ValueError(
            f"every model needs its neighbor lists: got {len(models)} and {len(neighbors)}"
        )
    shapes = {tuple(ids.shape) for ids in neighbors} | {
        (model.n, neighbors[0].shape[1]) for model in models
    }
    if len(shapes) > 1:
        raise ValueError(
            "models and neighbor lists must cover the same structures with equal k: got shapes "
            f"{sorted(shapes)}"
        )


def _ranks(
    model: ModelRows,
    neighbors: Sequence[NeighborLists],
    mesh: Mesh,
    gather: bool | None,
    tile_size: int | None,
    memory_budget: int | None,
) -> Iterator[tuple[int, Int32[np.ndarray, "a t k"]]]:
    """Ranks of the listed ids of the rows of this process: first row, ranks [lists, rows, k]."""
    budget = _BUDGET if memory_budget is None else memory_budget
    row_bytes = _ENTRY_BYTES * model.n + _LISTED_BYTES * len(neighbors) * neighbors[0].shape[1]
    most = min(_MOST_ROWS, max(budget // (2 * row_bytes * devices_a_process(mesh)), 1))
    most = most if tile_size is None else check_tile_size(tile_size)
    with jax.enable_x64(True):
        full = full_rows(model, euclidean=True, mesh=mesh, memory_budget=budget, gather=gather)
    ranks_of = host_ranks if full.products.on_host else device_ranks
    for tiles in full.tiles(most):
        ids = [np.stack([_read(part, tile) for part in neighbors]) for tile in tiles]
        for tile, ranks in zip(tiles, ranks_of(full, tiles, ids), strict=True):
            yield tile.first, ranks


def _read(neighbors: NeighborLists, tile: RowTile) -> Int32[np.ndarray, "t k"]:
    start, stop = tile.first, tile.first + len(tile.keys)
    if isinstance(neighbors, np.ndarray):
        return neighbors[start:stop]
    return neighbors.read(start, stop)
