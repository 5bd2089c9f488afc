"""Nearest neighbors of rows that are read in blocks: of one model, or of several at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float32

from jaxalign.embeddings.preprocess import Normalizer
from jaxalign.pairwise import ordering
from jaxalign.pairwise.duplicates import Distinct, Units, distinct_rows, expand, units
from jaxalign.pairwise.exhaustive import rectangle
from jaxalign.pairwise.row_blocks import RowBlocks, largest_element
from jaxalign.pairwise.search_arguments import check_similarity, check_tile_size, group_codes
from jaxalign.pairwise.sweep import Swept, Task, sweep
from jaxalign.parallel.columns import Column, make_columns, with_columns
from jaxalign.progress import Progress
from jaxalign.types import Labels, Neighbors
from jaxalign.validation import check_k


def neighbors_of_rows(
    rows: RowBlocks,
    *,
    k: int,
    similarity: str,
    normalized: bool = False,
    groups: Labels | None = None,
    tile_size: int | None = None,
    progress: str | None = None,
    mesh: Mesh,
    gather: bool | None = None,
) -> Neighbors:
    """`neighbors` of rows that are read in blocks; every process ends with the whole lists.

    A process reads the rows of its own devices, the first copies of rows that occur again, and all
    rows where they have few values. Collective: all processes call it, in the same order.

    Args:
      rows: finite float32 rows.
      k: see `neighbors`.
      similarity: see `neighbors`.
      normalized: whether rows have length 1 already, where `similarity` is `"cosine"`.
      groups: see `neighbors`.
      tile_size: see `neighbors`.
      progress: see `neighbors`.
      mesh: devices that work.
      gather: hold all rows on every device, or pass them round; None chooses by memory.

    Raises:
      ValueError: see `neighbors`.
    """
    (found,) = neighbors_of_models(
        [rows],
        k=k,
        similarity=similarity,
        normalized=normalized,
        groups=groups,
        tile_size=tile_size,
        progress=progress,
        mesh=with_columns(mesh, 1),
        gather=gather,
    )
    return found


def neighbors_of_models(
    models: Sequence[RowBlocks],
    *,
    k: int,
    similarity: str,
    normalized: bool = False,
    groups: Labels | None = None,
    tile_size: int | None = None,
    progress: str | None = None,
    mesh: Mesh,
    gather: bool | None = None,
) -> list[Neighbors]:
    """`neighbors_of_rows` of several models at once, one on each column of the mesh.

    Args:
      models: rows of every model, over the same structures; at most as many as columns.
      k: see `neighbors`.
      similarity: see `neighbors`.
      normalized: see `neighbors_of_rows`.
      groups: see `neighbors`.
      tile_size: see `neighbors`.
      progress: see `neighbors`.
      mesh: devices that work; a process reads the rows of its own devices, of other models its
        share of what is summed over all rows.
      gather: see `neighbors_of_rows`.

    Raises:
      ValueError: see `neighbors`.
    """
    check_similarity(similarity)
    n = models[0].n
    check_k(k, n)
    codes = group_codes(groups, n, k)
    tile = min(check_tile_size(tile_size), n)
    normalize = similarity == "cosine" and not normalized
    columns = make_columns(mesh, [n] * len(models))
    scaled = [
        _unit_scale(rows.changed(Normalizer("l2")) if normalize else rows, column)
        for rows, column in zip(models, columns, strict=True)
    ]
    euclidean, total = similarity == "euclidean", n * len(models)
    with Progress(progress or "", total=total, enabled=progress is not None) as shown:
        prepared = [_prepare(rows, codes, int(k)) for rows, _ in scaled]
        searched = sum(len(task.searches.value) for _, task in prepared)
        shown.skip(total - searched)
        swept = sweep(
            [task for _, task in prepared],
            euclidean=euclidean,
            tile=tile,
            mesh=mesh,
            gather=gather,
            progress=shown,
        )
        return [
            _neighbors(found, *each, exponent, codes, k=int(k), tile=tile, similarity=similarity)
            for found, each, (_, exponent) in zip(swept, prepared, scaled, strict=True)
        ]


def _unit_scale(rows: RowBlocks, column: Column) -> tuple[RowBlocks, int]:
    """Rows of unit scale, and the exponent that was taken from them."""
    rows = rows.kept(*column.kept)
    largest = largest_element(rows)
    if not math.isfinite(largest):
        raise ValueError(f"rows hold NaN or infinity: largest absolute value {largest}")
    exponent = ordering.scale_exponent(largest)
    scaled = rows.changed(lambda block: ordering.scale_down(block, exponent))
    return scaled.kept(*column.kept), exponent


def _prepare(rows: RowBlocks, codes, k: int) -> tuple[Distinct, Task]:
    """Distinct rows, and the searches that serve all rows."""
    distinct = distinct_rows(rows)
    values = len(distinct.first)
    repeated = values < rows.n
    searches = units(distinct, codes) if repeated else _one_a_row(codes)
    rows = rows.selected(distinct.first) if repeated else rows
    return distinct, Task(rows, searches, min(k, values), repeated)


def _neighbors(
    found: Swept,
    distinct: Distinct,
    task: Task,
    exponent: int,
    codes,
    *,
    k: int,
    tile: int,
    similarity: str,
) -> Neighbors:
    """Lists of all rows from those of their values; the last of k + 1 entries shows ties."""
    if task.whole_ties:
        ids, keys = expand(found.lists, distinct, task.searches, codes, k)
    else:
        ids, keys = rectangle(found.lists, k + 1)
    diagnostics = {
        "n": len(codes),
        "k": k,
        "tile_size": tile,
        # The set itself, not only its order, was decided by row number.
        "tie_fraction": float((keys[:, k - 1] == keys[:, k]).mean()),
        "rows_rechecked_float64": found.rechecked,
        "rows_searched_fully": found.fully,
        "duplicate_rows_skipped": len(codes) - len(task.searches.value),
        "proposals": found.precision,
        "precision": "float64 decides",
    }
    scores = _scores(keys[:, :k], exponent, euclidean=similarity == "euclidean")
    return Neighbors(np.ascontiguousarray(ids[:, :k]), scores, similarity, diagnostics)


def _scores(keys, exponent: int, *, euclidean: bool) -> Float32[np.ndarray, "n k"]:
    scores = np.sqrt(-keys) if euclidean else keys
    with np.errstate(over="ignore", under="ignore"):  # scores beyond float32 become inf or 0
        return np.ldexp(scores, exponent if euclidean else 2 * exponent).astype(np.float32)


def _one_a_row(codes) -> Units:
    every = np.arange(len(codes))
    return Units(every, codes, every, codes)
