"""Graph metrics for k beyond what a neighbor graph holds: masks from thresholds, tile by tile.

First every model's rows are compared with all, one model at a time, and only the boundary of the k
nearest is kept (`pairwise/boundaries.py`). Then square tiles of all models are made again, masked
and multiplied (`pairwise/masked_tiles.py`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float64, Int

from jaxalign.embeddings.sources import ModelRows
from jaxalign.guard import require_sound_jax
from jaxalign.pairwise.boundaries import boundaries
from jaxalign.pairwise.full_rows import devices_a_process, full_rows
from jaxalign.pairwise.masked_tiles import MaskedModel, masked_sums, own_tiles
from jaxalign.pairwise.search_arguments import check_tile_size, group_codes
from jaxalign.parallel.mesh import choose_mesh
from jaxalign.parallel.padding import row_shards
from jaxalign.progress import Progress
from jaxalign.types import Labels
from jaxalign.validation import check_k

_BUDGET = 2**30  # bytes, where the caller names none
_QUERY_ROWS = 256  # of the first pass; more does not speed up the product
_ENTRY_BYTES = 40  # per entry of a tile of the first pass
_EDGE = 256  # of a tile of the second pass
_MASK_BYTES = 56  # per entry, model and k: a product, masks and values both ways, twice


class ThresholdTerms(NamedTuple):
    """Sums over the neighbor pairs that two models share; symmetric.

    Attributes:
      shared: Σ_ij α_ij, the number of pairs that are neighbors in both models.
      products: Σ_ij α_ij K̄_ij L̄_ij, with K̄_ij = x_i·(x_j − mean of all rows).
    """

    shared: Float64[np.ndarray, "a m"]
    products: Float64[np.ndarray, "a m"]


def threshold_terms(
    models: Sequence[ModelRows],
    *,
    k: int,
    similarity: str = "inner",
    groups: Labels | None = None,
    new: Sequence[int] | None = None,
    tile_size: int | None = None,
    memory_budget: int | None = None,
    progress: str | None = None,
    mesh: Mesh | None = None,
    gather: bool | None = None,
) -> ThresholdTerms:
    """Terms of mutual kNN and CKNNA (formula) of all pairs, for any k, without neighbor lists.

    Args:
      models: normalized rows of every model, over the same structures.
      k: neighbors per row, 1 <= k < n.
      similarity: `"inner"`, the only one whose values are products.
      groups: one label a row, see `jaxalign.neighbors`.
      new: models whose pairs are wanted: the rows of the result; None means all.
      tile_size: edge of a tile; never changes the result (products to 1e-12 relative).
      memory_budget: bytes for the rows of one model, then for the tiles of all.
      progress: label of a progress line.
      mesh: devices that work; None chooses them, see `choose_mesh`. All processes must call.
      gather: see `rank_sums`; never changes the counts.

    Returns:
      `ThresholdTerms`: [new models, all models]; counts are exact.

    Raises:
      ValueError: k out of range, another similarity, models of different lengths.

    Note:
      Neighbors are those of `jaxalign.neighbors`: float64 decides, ties go to the lower row number.
      First each process compares the rows of its devices; then tiles are spread over processes, and
      each reads the rows of its tiles, whoever owns them.
    """
    settings = {"similarity": similarity, "groups": groups, "new": new, "tile_size": tile_size}
    settings |= {"memory_budget": memory_budget, "progress": progress}
    settings |= {"mesh": mesh, "gather": gather}
    return threshold_terms_of_several(models, ks=(k,), **settings)[k]


def threshold_terms_of_several(
    models: Sequence[ModelRows],
    *,
    ks: Sequence[int],
    similarity: str = "inner",
    groups: Labels | None = None,
    new: Sequence[int] | None = None,
    tile_size: int | None = None,
    memory_budget: int | None = None,
    progress: str | None = None,
    mesh: Mesh | None = None,
    gather: bool | None = None,
) -> dict[int, ThresholdTerms]:
    """`threshold_terms` for several k from the same products.

    Args:
      models: see `threshold_terms`.
      ks: numbers of neighbors.
      similarity: see `threshold_terms`.
      groups: see `threshold_terms`.
      new: see `threshold_terms`.
      tile_size: see `threshold_terms`.
      memory_budget: see `threshold_terms`.
      progress: see `threshold_terms`.
      mesh: see `threshold_terms`.
      gather: see `threshold_terms`.

    Returns:
      Terms of every k.

    Raises:
      ValueError: see `threshold_terms`.
    """
    require_sound_jax()
    n = _check(models, ks, similarity)
    codes = group_codes(groups, n, max(ks))
    budget = _BUDGET if memory_budget is None else memory_budget
    wanted = range(len(models)) if new is None else new
    mesh = choose_mesh(mesh, n)
    entry = _MASK_BYTES * len(models) * len(ks) * devices_a_process(mesh)
    size = min(_EDGE, max(math.isqrt(budget // (2 * entry)), 1))
    size = min(n, size if tile_size is None else check_tile_size(tile_size))
    first, last = row_shards(n, mesh).of_process(mesh)
    label, enabled = progress or "", progress is not None
    with jax.enable_x64(True):
        with Progress(label, total=len(models) * (last - first), enabled=enabled) as shown:
            settings = {"codes": codes, "mesh": mesh, "gather": gather, "budget": budget}
            settings |= {"tile_size": tile_size, "models": len(models), "advance": shown.advance}
            masked = [_masked_model(model, ks, **settings) for model in models]
        total = len(own_tiles(n, size))
        with Progress(label, total=total, unit="tiles", enabled=enabled) as shown:
            settings = {"size": size, "mesh": mesh, "advance": shown.advance}
            sums = masked_sums(masked, codes, wanted, **settings)
    # Rows were divided by powers of two: the products get them back.
    exponents = np.array([model.values.exponent for model in masked])
    scale = 2 * (exponents[list(wanted), None] + exponents[None, :])
    return {k: ThresholdTerms(sums[0][p], np.ldexp(sums[1][p], scale)) for p, k in enumerate(ks)}


def _check(models: Sequence[ModelRows], ks: Sequence[int], similarity: str) -> int:
    lengths = {model.n for model in models}
    if len(lengths) != 1:
        raise ValueError(f"models must embed the same structures: got {sorted(lengths)} rows")
    if similarity != "inner":
        raise ValueError(f"neighbors beyond a graph are by similarity 'inner': got {similarity!r}")
    n = lengths.pop()
    for k in ks:
        check_k(k, n)
    return n


def _masked_model(
    model: ModelRows,
    ks: Sequence[int],
    *,
    codes: Int[np.ndarray, " n"],
    mesh: Mesh,
    gather: bool | None,
    budget: int,
    models: int,
    tile_size: int | None,
    advance: Callable[[int], None],
) -> MaskedModel:
    """Boundaries of one model; its rows are kept for the second pass if all models' fit."""
    row_bytes = _ENTRY_BYTES * model.n * devices_a_process(mesh)
    rows = min(_QUERY_ROWS, max(budget // (2 * row_bytes), 1))
    rows = rows if tile_size is None else check_tile_size(tile_size)
    settings = {"mesh": mesh, "memory_budget": budget, "gather": gather, "codes": codes}
    full = full_rows(model, euclidean=False, **settings)
    found = boundaries(full, ks, tile=rows, advance=advance)
    values = full.values
    if values.rows is not None and values.rows.nbytes * models > budget // 2:
        values = dataclasses.replace(values, rows=None)
    return MaskedModel(values, tuple(found[k] for k in ks))
