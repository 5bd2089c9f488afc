"""Two nearest distances in the concatenation of two models, for many pairs in one sweep.

Squared distances of a concatenation are sums, d²_[a|b] = d²_a + d²_b: one product a model and tile
serves all of its pairs, which then cost one addition and three comparisons an entry instead of a
neighbor search each. Query rows are spread over processes and their devices; columns are read by
every process, block by block.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float32

from jaxalign.embeddings.sources import ModelRows
from jaxalign.pairwise.duplicates import distinct_rows
from jaxalign.pairwise.joint_tiles import QUERIES, JointSweep, SurveyedModel
from jaxalign.pairwise.neighbors import neighbors
from jaxalign.pairwise.precision import float64_unit
from jaxalign.pairwise.row_blocks import row_blocks
from jaxalign.pairwise.search_arguments import check_tile_size
from jaxalign.parallel.blocks import over_blocks
from jaxalign.parallel.mesh import choose_mesh, local_mesh
from jaxalign.parallel.multihost import exchange, my_share
from jaxalign.progress import Progress

_SURVEYED = 2048  # rows read at once for means and squares
_TILE = 1024  # query rows whose products are taken at once, where the caller names none
# Rounding of a length-w product in float64 is below w·u·‖x‖‖y‖; distances within 2¹⁸ times that of
# 0 are searched again. What remains has relative errors below 1e-5, typically 1e-7.
_CERTAIN = 2.0**18
# Squares outside this range may have lost digits, or overflown, in float32.
_LEAST, _MOST = 1e-30, 1e30


def joint_nearest(
    models: Sequence[ModelRows],
    pairs: Sequence[tuple[int, int]],
    *,
    tile_size: int | None = None,
    progress: str | None = None,
    mesh: Mesh | None = None,
) -> Float32[np.ndarray, "p n 2"]:
    """Distances to the two nearest neighbors in the concatenation [a|b] of every pair.

    Tiles of squared distances are computed in float64 from centered rows and kept in float32.
    Distances of equal rows are exactly 0. A pair with distances so small that the expansion of the
    square may have lost them (near-duplicates) is searched again by `neighbors`, for which every
    process reads all rows of both models.

    Args:
      models: rows of every model, normalized; all of the same structures.
      pairs: numbers of two models each.
      tile_size: query rows of a device at once, rounded up to a multiple of 256; beside the result,
        memory is about tile_size · (16·Σd + 1024·models + 8·pairs) bytes a device, or what a search
        of two models takes, if that is more. Never changes the result beyond rounding (1e-6).
      progress: label of a progress line; None prints nothing.
      mesh: devices that work; None chooses them, see `choose_mesh`. All processes must call.

    Returns:
      Distances `[pairs, n, 2]`, ascending, on every process.

    Raises:
      ValueError: tile size, models of different n, fewer than 3 rows.
    """
    n = models[0].n
    if any(model.n != n for model in models) or n < 3:
        raise ValueError(
            "all models must embed the same 3 or more structures: "
            f"got {[model.n for model in models]} rows"
        )
    mesh = choose_mesh(mesh, n)
    devices = local_mesh(mesh)
    most = _TILE if tile_size is None else check_tile_size(tile_size)
    tile = min(most, -(-n // mesh.size))
    tile = -(-tile // QUERIES) * QUERIES
    tiles = my_share(range(0, n, tile))
    stop = min(tiles[-1] + tile, n) if tiles else 0
    found = [np.empty((len(pairs), 0, 2), np.float32)]
    total = stop - tiles[0] if tiles else 0
    with (
        jax.enable_x64(True),
        Progress(progress or "", total=total, enabled=bool(progress)) as shown,
    ):
        known = [_survey(model) for model in models]
        sweep = JointSweep(known, pairs, tile, devices)
        for start in tiles[:: devices.size]:
            count = min(tile * devices.size, stop - start)
            found.append(np.stack(sweep.nearest(start), axis=2)[:, :count])
            shown.advance(count)
    squares = np.concatenate(exchange(np.concatenate(found, axis=1)), axis=1)
    distances = np.sqrt(squares)
    for number, (a, b) in enumerate(pairs):
        if _uncertain(known[a], known[b], squares[number], float64_unit(mesh)).any():
            both = np.concatenate([models[a].load(), models[b].load()], axis=1)
            distances[number] = neighbors(both, k=2, similarity="euclidean").scores
    return distances


def _survey(model: ModelRows) -> SurveyedModel:
    def measure(start, stop):
        wide = model.read(start, stop).astype(np.float64)
        return wide.sum(0)[None], np.square(wide).sum(1)

    totals, squares = over_blocks(model.n, measure, size=_SURVEYED)
    equal = distinct_rows(row_blocks(model))
    codes = equal.first[equal.value].astype(np.int32)
    return SurveyedModel(model, sum(totals) / model.n, codes, squares)


def _uncertain(
    a: SurveyedModel, b: SurveyedModel, squares: Float32[np.ndarray, "n 2"], unit: float
) -> Bool[np.ndarray, " n"]:
    """Rows whose distances may be rounding; exact zeros are not, they come from equal codes."""
    width = a.rows.d + b.rows.d
    sizes = a.squares + b.squares
    bound = _CERTAIN * unit * (width + 4) * (sizes + sizes.max())
    nearest, second = squares.T
    lost = (nearest < np.maximum(bound, _LEAST)) | ~(second < _MOST)
    return lost & (nearest != 0)
