"""Streamed exact k nearest neighbors: the same ids for every tile size, on every device."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float32, Int

from jaxalign.embeddings.preprocess import Normalizer
from jaxalign.embeddings.sources import model_rows
from jaxalign.guard import require_sound_jax
from jaxalign.pairwise import ordering
from jaxalign.pairwise.duplicates import Units, distinct_rows, expand, units
from jaxalign.pairwise.exhaustive import rectangle
from jaxalign.pairwise.row_blocks import RowBlocks, largest_element, row_blocks
from jaxalign.pairwise.sweep import Sweep
from jaxalign.parallel.mesh import check_mesh, choose_mesh, describe_mesh
from jaxalign.parallel.padding import row_shards
from jaxalign.progress import Progress
from jaxalign.types import Labels, MatrixLike, Neighbors
from jaxalign.validation import check_finite, check_k, check_matrix

SIMILARITIES = ("cosine", "inner", "euclidean")
_TILE = 256  # query rows, where the caller names none


def neighbors(
    x: MatrixLike,
    *,
    k: int,
    similarity: str = "cosine",
    groups: Labels | None = None,
    tile_size: int | None = None,
    progress: str | None = None,
    mesh: Mesh | str | None = None,
) -> Neighbors:
    """Exact k nearest neighbors of every row, excluding the row itself.

    The ordering value of rows i and j is Σ x_i x_j (`"cosine"`, after L2 normalization, and
    `"inner"`) or Σ (x_i − x_j)² (`"euclidean"`), in float64 from the float32 rows, never rounded
    before it is compared. Equal values are ordered by row number. A matrix product only proposes
    candidates; rows whose error bound does not prove the result are compared with all others in
    float64. Equal rows are searched once.

    Args:
      x: `[n, d]` embeddings; cast to float32 (after normalization, for `"cosine"`).
      k: neighbors per row, 1 <= k < n.
      similarity: `"cosine"`, `"inner"` or `"euclidean"`.
      groups: one label a row; rows of equal label are never each other's neighbors. None is a
        group of its own.
      tile_size: query rows per tile; bounds memory, never changes the result.
      progress: label of a progress line (rows done, rate, time left); None prints nothing.
      mesh: devices that work: a `jax.sharding.Mesh` with axes `rows` and `models`, text such as
        `"rows:4"`, or None for the default. Never changes the result. Of several processes, all
        must call this, with the same arguments.

    Returns:
      `Neighbors`: int32 ids `[n, k]` and float32 scores `[n, k]`, nearest first.

    Raises:
      ValueError: k out of range, non-finite rows (named), unknown similarity, or a group so large
        that some row has fewer than k eligible neighbors; or a mesh of more devices than rows.
    """
    require_sound_jax()
    _check_similarity(similarity)
    x = check_matrix(x)
    check_k(k, x.shape[0])
    check_finite(x)
    mesh = choose_mesh(check_mesh(mesh), x.shape[0])
    method = "l2" if similarity == "cosine" else "none"
    found = neighbors_of_rows(
        row_blocks(model_rows(x, method)),
        k=k,
        similarity=similarity,
        normalized=True,
        groups=groups,
        tile_size=tile_size,
        progress=progress,
        mesh=mesh,
    )
    return dataclasses.replace(found, diagnostics=found.diagnostics | describe_mesh(mesh))


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
    _check_similarity(similarity)
    n = rows.n
    check_k(k, n)
    codes = group_codes(groups, n, k)
    tile = min(check_tile_size(tile_size), n)
    if similarity == "cosine" and not normalized:
        rows = rows.changed(Normalizer("l2"))
    own = row_shards(n, mesh).of_process(mesh)
    rows = rows.kept(*own)
    largest = largest_element(rows)
    if not math.isfinite(largest):
        raise ValueError(f"rows hold NaN or infinity: largest absolute value {largest}")
    exponent = ordering.scale_exponent(largest)
    rows = rows.changed(lambda block: ordering.scale_down(block, exponent)).kept(*own)
    euclidean = similarity == "euclidean"
    with Progress(progress or "", total=n, enabled=progress is not None) as shown:
        ids, keys, facts = _search(
            rows,
            codes,
            int(k),
            euclidean=euclidean,
            tile=tile,
            progress=shown,
            mesh=mesh,
            gather=gather,
        )
    diagnostics = {
        "n": n,
        "k": int(k),
        "tile_size": tile,
        # The set itself, not only its order, was decided by row number.
        "tie_fraction": float((keys[:, k - 1] == keys[:, k]).mean()),
        **facts,
        "precision": "float64 decides",
    }
    scores = _scores(keys[:, :k], exponent, euclidean=euclidean)
    return Neighbors(np.ascontiguousarray(ids[:, :k]), scores, similarity, diagnostics)


def _check_similarity(similarity: str) -> None:
    if similarity not in SIMILARITIES:
        raise ValueError(f"unknown similarity {similarity!r}: choose one of {SIMILARITIES}")


def _scores(keys, exponent: int, *, euclidean: bool) -> Float32[np.ndarray, "n k"]:
    scores = np.sqrt(-keys) if euclidean else keys
    with np.errstate(over="ignore", under="ignore"):  # scores beyond float32 become inf or 0
        return np.ldexp(scores, exponent if euclidean else 2 * exponent).astype(np.float32)


def check_tile_size(tile_size: Any) -> int:
    """Query rows per tile; None means the default.

    Raises:
      ValueError: not a positive integer.
    """
    if tile_size is None:
        return _TILE
    if isinstance(tile_size, bool) or not isinstance(tile_size, int | np.integer) or tile_size < 1:
        raise ValueError(f"tile_size must be a positive integer: got {tile_size!r}")
    return int(tile_size)


def group_codes(groups: Labels | None, n: int, k: int) -> Int[np.ndarray, " n"]:
    """One number a row; rows of equal number are never each other's neighbors.

    Raises:
      ValueError: not one label a row, or a group that leaves its rows fewer than k neighbors.
    """
    if groups is None:
        return np.arange(n, dtype=np.int32)
    if np.shape(groups) != (n,):
        raise ValueError(f"groups must hold one label a row: got {np.shape(groups)}, wanted ({n},)")
    # None (and NaN, what tables make of it) means a group of its own.
    labels = [("row", i) if g is None or g != g else ("", g) for i, g in enumerate(groups)]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    codes = np.array([numbers[label] for label in labels])
    sizes = np.bincount(codes)
    largest = int(sizes.argmax())
    if n - sizes[largest] < k:
        raise ValueError(
            f"group {list(numbers)[largest][1]} holds {sizes[largest]} of {n} rows, which leaves "
            f"{n - sizes[largest]} possible neighbors: fewer than k={k}; lower k or split the group"
        )
    return codes.astype(np.int32)


def _search(rows, codes, k: int, *, euclidean, tile, progress: Progress, mesh, gather):
    """Ids and keys of k + 1 rows each (the last shows ties), and what is to be said about them."""
    distinct = distinct_rows(rows)
    n, values = rows.n, len(distinct.first)
    searches = units(distinct, codes) if values < n else _one_a_row(codes)
    if values < n:
        rows = rows.selected(distinct.first).kept(*row_shards(values, mesh).of_process(mesh))
    sweep = Sweep(
        rows,
        searches,
        k=min(k, values),
        euclidean=euclidean,
        tile=tile,
        whole_ties=values < n,
        mesh=mesh,
        gather=gather,
    )
    progress.skip(n - len(searches.value))
    found = sweep.run(progress)
    if values < n:
        ids, keys = expand(found.lists, distinct, searches, codes, k)
    else:
        ids, keys = rectangle(found.lists, k + 1)
    facts = {
        "rows_rechecked_float64": found.rechecked,
        "rows_searched_fully": found.fully,
        "duplicate_rows_skipped": n - len(searches.value),
        "proposals": found.precision,
    }
    return ids, keys, facts


def _one_a_row(codes) -> Units:
    every = np.arange(len(codes))
    return Units(every, codes, every, codes)
