"""The open embedding store: what is pending, writing and committing, reading and checking."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxalign.embeddings.chunked_array import ChunkedArray, ChunkError, digest
from jaxalign.embeddings.commits import clear_commits, remove_commits, write_commits
from jaxalign.embeddings.location import EmbeddingStoreError, Location
from jaxalign.embeddings.manifest import Manifest, read_manifest, write_manifest
from jaxalign.embeddings.record import Embeddings
from jaxalign.models.card import ModelCard
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.multihost import exchange_objects, is_primary_process, my_share


class EmbeddingStore:
    """An open store; make one with `create_store` or `open_store`.

    Reading and writing are matters of one process. Methods that look at the whole store
    (`damaged_chunks`, `require_intact`, `finish`) must be called by all processes: each checks its
    share, and all get the same answer.
    """

    def __init__(
        self, location: Location, manifest: Manifest, ids: tuple[str, ...], values: ChunkedArray
    ):
        self.ids = ids
        self._location, self._manifest, self._values = location, manifest, values

    def __len__(self) -> int:
        return self._manifest.rows

    def __repr__(self) -> str:
        m = self._manifest
        done = f"{len(m.commits)} of {len(list(m.chunks()))} chunks"
        return f"EmbeddingStore({str(self.path)!r}, shape=({m.rows}, {m.width}), {done})"

    @property
    def path(self) -> str | Path:
        """Where it lies: a local path, or a URL."""
        return self._location.path

    @property
    def card(self) -> ModelCard:
        """Facts about the encoder."""
        return ModelCard.from_json(self._manifest.card)

    @property
    def info(self) -> dict[str, Any]:
        """Layer, pooling, data set, … as given to `create_store`."""
        return dict(self._manifest.info)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return self._manifest.rows, self._manifest.width

    @property
    def dtype(self) -> np.dtype:
        """Type of the stored numbers."""
        return np.dtype(self._manifest.dtype)

    @property
    def chunk_rows(self) -> int:
        """Rows a chunk."""
        return self._manifest.chunk_rows

    @property
    def order_hash(self) -> str:
        """Hash of the ids in order."""
        return self._manifest.order_hash

    @property
    def complete(self) -> bool:
        """Whether every chunk is committed."""
        return self._manifest.complete

    def pending(self) -> list[tuple[int, int]]:
        """Row ranges `(start, stop)` of the chunks that are not committed yet."""
        return [
            chunk for chunk in self._manifest.chunks() if chunk[0] not in self._manifest.commits
        ]

    def write(self, start: int, values: Float[np.ndarray, "rows d"]) -> None:
        """Stores one or more whole chunks and commits them.

        Args:
          start: first row, at a chunk boundary (as `pending` gives it).
          values: rows in the store's dtype, up to a chunk boundary or the last row.

        Raises:
          ValueError: for another shape, dtype or boundary.
          StorageError: if the place cannot be written.
        """
        values = np.ascontiguousarray(values)
        stop = start + len(values)
        self._check_block(start, values)
        self._values.write(start, values)
        fresh = {
            first: digest(values[first - start : first - start + self.chunk_rows])
            for first in range(start, stop, self.chunk_rows)
        }
        write_commits(self._location, fresh)
        commits = {**self._manifest.commits, **fresh}
        self._manifest = dataclasses.replace(self._manifest, commits=commits)
        if self.complete:
            self._gather_commits()

    def revoke(self, *starts: int) -> None:
        """Takes back the commits of chunks, so that `pending` asks for them again.

        Args:
          *starts: first rows of committed chunks.

        Raises:
          ValueError: if there is no such commit.
        """
        commits = dict(self._manifest.commits)
        for start in starts:
            if commits.pop(start, None) is None:
                raise ValueError(
                    f"no committed chunk begins at row {start}: {sorted(commits)[:5]} …"
                )
        # A kill in between leaves the commit in the manifest, to be found damaged once more.
        remove_commits(self._location, starts)
        self._manifest = dataclasses.replace(self._manifest, commits=commits)
        write_manifest(self._location, self._manifest)

    def refresh(self) -> None:
        """Takes note of what other processes have committed."""
        self._manifest = read_manifest(self._location)

    def finish(self) -> None:
        """After all processes have written: moves all commits into the manifest.

        Raises:
          EmbeddingStoreError, StorageError: the place cannot be read or written.
        """
        with stop_together():
            if is_primary_process():
                self._gather_commits()
        with stop_together():
            self.refresh()

    def read(self, start: int, stop: int) -> Float[np.ndarray, "rows d"]:
        """Committed rows `start:stop`, without checking their hash.

        Args:
          start: first row.
          stop: one past the last row.

        Returns:
          `[stop - start, width]` in the store's dtype.

        Raises:
          ValueError: for a range outside the store.
          EmbeddingStoreError: if some rows are not committed, or their file is damaged.
        """
        if not 0 <= start <= stop <= len(self):
            raise ValueError(f"rows {start}:{stop} lie outside 0:{len(self)}")
        self._require_committed(start, stop)
        try:
            return self._values.read(start, stop)
        except ChunkError as error:
            raise self._corrupt(start, stop, str(error)) from error

    def take(self, index: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows d"]:
        """Rows of the given numbers of a complete store, in that order.

        Args:
          index: row numbers.

        Returns:
          `[rows, width]` in the store's dtype.

        Raises:
          EmbeddingStoreError: if the store is incomplete, or a file is damaged.
        """
        self._require_committed(0, len(self))
        try:
            return self._values.take(index)
        except ChunkError as error:
            raise self._corrupt(0, len(self), str(error)) from error

    def require_intact(self) -> None:
        """Reads everything once and checks it, each process its share.

        Raises:
          EmbeddingStoreError: if the store is incomplete or a chunk is damaged.
        """
        self._require_committed(0, len(self))
        if damaged := self.damaged_chunks():
            raise self._corrupt(*damaged[0], "its bytes do not have the committed SHA-256")

    def damaged_chunks(self) -> list[tuple[int, int]]:
        """Row ranges of committed chunks whose bytes no longer have their hash."""
        found: Sequence[list[int]] = []
        with stop_together():
            found = [
                list(chunk) for chunk in my_share(self._committed()) if not self._intact(*chunk)
            ]
        return [(start, stop) for part in exchange_objects(found) for start, stop in part]

    def load(self, *, verify: bool = True) -> Embeddings:
        """The whole store in memory.

        Args:
          verify: whether to check every chunk against its hash.

        Returns:
          Embeddings with the store's card and info.

        Raises:
          EmbeddingStoreError: if the store is incomplete or a chunk is damaged.
        """
        self._require_committed(0, len(self))
        values = np.empty(self.shape, self.dtype)
        for start, stop in self._manifest.chunks():
            values[start:stop] = self.read(start, stop)
            if verify and digest(values[start:stop]) != self._manifest.commits[start]:
                raise self._corrupt(start, stop, "its bytes do not have the committed SHA-256")
        return Embeddings(values=values, ids=self.ids, card=self.card, info=self.info)

    def _require_committed(self, start: int, stop: int) -> None:
        pending = self.pending()
        missing = [(a, b) for a, b in pending if a < stop and start < b]
        if missing:
            raise EmbeddingStoreError(
                f"{self.path}: rows {missing[0][0]}:{missing[0][1]} are not computed yet "
                f"({len(pending)} chunks are pending); run `embed` again to resume"
            )

    def _committed(self) -> list[tuple[int, int]]:
        return [chunk for chunk in self._manifest.chunks() if chunk[0] in self._manifest.commits]

    def _intact(self, start: int, stop: int) -> bool:
        try:
            return digest(self._values.read(start, stop)) == self._manifest.commits[start]
        except ChunkError:
            return False

    def _gather_commits(self) -> None:
        self.refresh()
        # Only when all are there: two processes that do this at once then write the same.
        if self.complete:
            write_manifest(self._location, self._manifest)
            clear_commits(self._location)

    def _check_block(self, start: int, values: np.ndarray) -> None:
        stop = start + len(values)
        aligned = start % self.chunk_rows == 0 and (
            stop % self.chunk_rows == 0 or stop == len(self)
        )
        if not (aligned and 0 <= start < stop <= len(self)):
            raise ValueError(
                f"rows {start}:{stop} are not whole chunks of {self.chunk_rows} rows within "
                f"0:{len(self)}; write the ranges that pending() gives"
            )
        if values.shape[1:] != (self.shape[1],) or values.dtype != self.dtype:
            raise ValueError(
                f"expected [rows, {self.shape[1]}] {self.dtype}, got shape {values.shape} "
                f"{values.dtype}; convert with .astype(np.{self.dtype})"
            )

    def _corrupt(self, start: int, stop: int, reason: str) -> EmbeddingStoreError:
        first = start - start % self.chunk_rows
        return EmbeddingStoreError(
            f"{self.path}: the chunk of rows {first}:{min(first + self.chunk_rows, len(self))}"
            f"{'' if stop - first <= self.chunk_rows else ' or a later one'} is damaged "
            f"({reason}); run the same `embed` again, it computes damaged "
            "chunks anew, or delete the directory and embed everything again"
        )
