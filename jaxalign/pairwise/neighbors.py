"""Streamed exact k nearest neighbors: the same ids for every tile size, on every device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int

from jaxalign.embeddings.preprocess import normalize_rows
from jaxalign.guard import require_sound_jax
from jaxalign.pairwise import ordering
from jaxalign.pairwise.proposals import BLOCK, Database, make_database
from jaxalign.pairwise.search import Found, search_fully, search_tile
from jaxalign.progress import Progress
from jaxalign.types import Labels, MatrixLike, Neighbors
from jaxalign.validation import check_finite, check_k, check_matrix

SIMILARITIES = ("cosine", "inner", "euclidean")
_TILE = 512  # query rows, where the caller names none
_COLUMN_TILES = 64  # most columns of one step, in tiles: wide steps select at less cost
_SPARE = 32  # candidates beyond k: room for ties and for rounding
_FULL_ROWS = 64  # query rows of one full search


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
    candidates; rows whose error bound does not prove the result are searched again, with float64
    products, then in full.

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
    codes = _group_codes(groups, n, k)
    rows = normalize_rows(x, "l2" if similarity == "cosine" else "none")
    tile = min(check_tile_size(tile_size), n)
    rows, exponent = ordering.unit_scale(rows)
    with jax.enable_x64(True):
        search = _Search(rows, codes, k=int(k), euclidean=similarity == "euclidean", tile=tile)
        with Progress(progress or "", total=n, enabled=progress is not None) as shown:
            return search.run(similarity, exponent, shown)


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


def _group_codes(groups: Labels | None, n: int, k: int) -> Int[np.ndarray, " n"]:
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


class _Search:
    """One search: tiles of query rows against a database, with escalation of uncertain rows."""

    def __init__(self, rows: Float32[np.ndarray, "n d"], codes, *, k: int, euclidean, tile: int):
        self.n, self.k, self.tile, self.euclidean = len(rows), k, tile, euclidean
        self.column_tile = _even_tile(self.n, tile * _COLUMN_TILES)
        padding = -self.n % self.column_tile
        self.rows = ordering.pad_width(jnp.pad(jnp.asarray(rows), ((0, padding), (0, 0))))
        self.codes = jnp.pad(jnp.asarray(codes), (0, padding), constant_values=-1)
        # Candidates must fit into the padded columns; those that are padding come out as −inf.
        self.candidates = min(k + _SPARE, self.n + padding)
        self.ids = np.empty((self.n, k), np.int32)
        self.keys = np.empty((self.n, k), np.float64)
        self.tied = np.zeros(self.n, bool)

    def run(self, similarity: str, exponent: int, progress: Progress) -> Neighbors:
        uncertain = self._sweep(np.arange(self.n), "float32", progress)
        # A handful of rows is searched in full at once: cheaper than compiling another proposal.
        recheck = len(uncertain) if len(uncertain) > 2 * _FULL_ROWS else 0
        if recheck:
            uncertain = self._sweep(uncertain, "float64", None)
        for queries in _batches(uncertain, _FULL_ROWS):
            self._keep(queries, self._full(queries))
        scores = np.sqrt(-self.keys) if self.euclidean else self.keys
        with np.errstate(over="ignore", under="ignore"):  # scores beyond float32 become inf or 0
            scores = np.ldexp(scores, exponent if self.euclidean else 2 * exponent)
            scores = scores.astype(np.float32)
        diagnostics = {
            "n": self.n,
            "k": self.k,
            "tile_size": self.tile,
            "tie_fraction": float(self.tied.mean()),
            "rows_rechecked_float64": recheck,
            "rows_searched_fully": len(uncertain),
            "precision": "float64 decides",
        }
        return Neighbors(self.ids, scores, similarity, diagnostics)

    def _sweep(self, rows, dtype: str, progress: Progress | None) -> Int[np.ndarray, " u"]:
        """Searches the given rows with proposals in `dtype`; returns those left uncertain."""
        database = _database(self.rows, self.codes, n=self.n, euclidean=self.euclidean, dtype=dtype)
        uncertain = []
        for queries in _batches(rows, self.tile):
            found = self._tile(queries, database)
            certain = self._keep(queries, found)
            uncertain.append(queries[~certain])
            if progress is not None:
                progress.advance(len(queries))
        return np.concatenate(uncertain)

    def _tile(self, queries, database: Database) -> Found:
        return search_tile(
            jnp.asarray(_fill(queries, self.tile)),
            database,
            k=self.k,
            candidates=self.candidates,
            column_tile=self.column_tile,
            euclidean=self.euclidean,
        )

    def _full(self, queries) -> Found:
        return search_fully(
            jnp.asarray(_fill(queries, _FULL_ROWS)),
            self.rows,
            self.codes,
            k=self.k,
            n=self.n,
            euclidean=self.euclidean,
        )

    def _keep(self, queries, found: Found):
        ids, keys, certain = (np.asarray(part)[: len(queries)] for part in found)
        self.ids[queries], self.keys[queries] = ids[:, : self.k], keys[:, : self.k]
        # A tie at the boundary: the set itself, not only its order, was decided by row number.
        if keys.shape[1] > self.k:
            self.tied[queries] = keys[:, self.k - 1] == keys[:, self.k]
        return certain


def _even_tile(n: int, most: int) -> int:
    """Columns per step: equal steps of at most `most`, in whole blocks of the selection."""
    steps = -(-n // most)
    return -(-n // (steps * BLOCK)) * BLOCK


_database = jax.jit(make_database, static_argnames=("n", "euclidean", "dtype"))


def _batches(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _fill(queries: np.ndarray, size: int) -> Int[np.ndarray, " t"]:
    """Pads a last batch by repeating its first row, so that every batch has one shape."""
    filled = np.full(size, queries[0], np.int32)
    filled[: len(queries)] = queries
    return filled
