"""Streamed exact k nearest neighbors: the same ids for every tile size, on every device."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from jaxalign.embeddings.preprocess import normalize_rows
from jaxalign.guard import require_sound_jax
from jaxalign.pairwise import ordering
from jaxalign.pairwise.duplicates import Units, distinct_rows, expand, units
from jaxalign.pairwise.exhaustive import rectangle
from jaxalign.pairwise.sweep import Sweep
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

    Returns:
      `Neighbors`: int32 ids `[n, k]` and float32 scores `[n, k]`, nearest first.

    Raises:
      ValueError: k out of range, non-finite rows (named), unknown similarity, or a group so large
        that some row has fewer than k eligible neighbors.
    """
    require_sound_jax()
    if similarity not in SIMILARITIES:
        raise ValueError(f"unknown similarity {similarity!r}: choose one of {SIMILARITIES}")
    x = check_matrix(x)
    n = x.shape[0]
    check_k(k, n)
    check_finite(x)
    codes = group_codes(groups, n, k)
    tile = min(check_tile_size(tile_size), n)
    rows = normalize_rows(x, "l2" if similarity == "cosine" else "none")
    rows, exponent = ordering.unit_scale(rows)
    euclidean = similarity == "euclidean"
    with Progress(progress or "", total=n, enabled=progress is not None) as shown:
        ids, keys, facts = _search(
            rows, codes, int(k), euclidean=euclidean, tile=tile, progress=shown
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


def _search(rows, codes, k: int, *, euclidean: bool, tile: int, progress: Progress):
    """Ids and keys of k + 1 rows each (the last shows ties), and what is to be said about them."""
    distinct = distinct_rows(rows)
    n, values = len(rows), len(distinct.first)
    searches = units(distinct, codes) if values < n else _one_a_row(codes)
    sweep = Sweep(
        rows[distinct.first] if values < n else rows,
        searches,
        k=min(k, values),
        euclidean=euclidean,
        tile=tile,
        whole_ties=values < n,
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
