"""One model's embeddings of one set of structures: written in chunks, resumable.

    STORE/manifest.json       what it is, and the SHA-256 of every chunk once all are there
    STORE/ids.json            ids in row order, written once
    STORE/commits/START.json  until then, the SHA-256 of the chunk that begins at row START
    STORE/values/             a zarr 3 array [rows, width], one zarr chunk per `chunk_rows` rows

STORE is a local path, `gs://bucket/path` or `s3://bucket/path`: see `location`.

A chunk counts once its hash is committed, in a file that is put atomically after the data are in
place. A kill at any point therefore leaves a store that either has the chunk or asks for it again;
bytes without a commit are never read. `values/` is plain zarr 3: other programs can open it. A NaN
row may be a stored NaN or, in an incomplete store, a row not computed yet.

Processes of one run write different chunks, and touch no commit but their own. Two runs that write
the same store cannot damage it: at worst a chunk is computed again.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from jaxalign.embeddings.chunked_array import DTYPES, VALUES, ChunkedArray, ChunkError
from jaxalign.embeddings.commits import COMMITS, clear_commits
from jaxalign.embeddings.location import EmbeddingStoreError, Location
from jaxalign.embeddings.manifest import (
    IDS,
    Manifest,
    is_store,
    new_manifest,
    read_ids,
    read_manifest,
    write_ids,
    write_manifest,
)
from jaxalign.embeddings.stored import EmbeddingStore
from jaxalign.models.card import ModelCard
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.multihost import is_primary_process

__all__ = ["EmbeddingStore", "EmbeddingStoreError", "create_store", "open_store"]


def create_store(
    path: str | Path,
    *,
    ids: Sequence[str],
    width: int,
    card: ModelCard,
    info: Mapping[str, Any],
    dtype: str = "float32",
    chunk_rows: int = 1024,
) -> EmbeddingStore:
    """Makes a store, or opens the same store that an earlier run began and resumes it.

    On resuming every committed chunk is checked; a damaged one is taken back with a warning and
    becomes pending. All processes of a run must call this together: process 0 makes the store, and
    each checks its share of the chunks.

    Args:
      path: directory of the store, or its URL.
      ids: unique structure ids, in row order.
      width: embedding width d.
      card: the encoder's card.
      info: layer, pooling, data set and content hash, skipped structures: plain values only.
      dtype: `"float16"`, `"float32"` or `"float64"`.
      chunk_rows: rows a chunk.

    Returns:
      The store.

    Raises:
      ValueError: for bad arguments.
      EmbeddingStoreError: if another store, or something else, is at `path`.
      StorageError: if `path` cannot be written.
    """
    location = Location(path)
    _check_arguments(ids, width, dtype, chunk_rows)
    wanted = new_manifest(
        ids, width=width, dtype=dtype, chunk_rows=chunk_rows, card=card, info=info
    )
    with stop_together():
        if is_primary_process() and not is_store(location):
            _begin(location, wanted, ids)
    with stop_together():
        _require_visible(location)
        differences = read_manifest(location).differences(wanted)
        if differences:
            raise EmbeddingStoreError(
                f"{location} holds other embeddings: {'; '.join(differences)}; choose another "
                "directory, or delete this one"
            )
        store = open_store(path)
    _revoke_damaged(store)
    return store


def open_store(path: str | Path) -> EmbeddingStore:
    """Opens a store, complete or not.

    Args:
      path: directory of the store, or its URL.

    Returns:
      The store.

    Raises:
      EmbeddingStoreError: if there is none, or its files do not belong together.
    """
    location = Location(path)
    manifest = read_manifest(location)
    ids = read_ids(location, manifest.order_hash)
    try:
        values = _open_values(location, manifest, create=False)
    except ChunkError as error:
        raise EmbeddingStoreError(
            f"{location}/{VALUES}: not the array that the manifest describes "
            f"({error}); delete the directory {location} and embed again"
        ) from error
    return EmbeddingStore(location, manifest, ids, values)


def _require_visible(location: Location) -> None:
    if not is_primary_process() and not is_store(location):
        raise EmbeddingStoreError(
            f"{location}: process 0 has made a store there, but process {jax.process_index()} does "
            "not see it; choose a folder that all hosts share, or a gs:// or s3:// URL"
        )


def _begin(location: Location, manifest: Manifest, ids: Sequence[str]) -> None:
    _check_vacant(location)
    write_ids(location, ids)
    # Without a manifest nothing is trusted: what a killed run left is removed.
    _open_values(location, manifest, create=True)
    clear_commits(location)
    write_manifest(location, manifest)


def _revoke_damaged(store: EmbeddingStore) -> None:
    damaged = store.damaged_chunks()
    with stop_together():
        if damaged and is_primary_process():
            store.revoke(*(start for start, _ in damaged))
    for start, stop in damaged:
        warnings.warn(
            f"{store.path}: rows {start}:{stop} no longer have their committed hash and will be "
            "computed again",
            stacklevel=3,
        )
    if damaged or store.complete:  # a killed run may have left files of commits beside them all
        store.finish()


def _open_values(location: Location, manifest: Manifest, *, create: bool) -> ChunkedArray:
    return ChunkedArray(
        location,
        rows=manifest.rows,
        width=manifest.width,
        dtype=manifest.dtype,
        chunk_rows=manifest.chunk_rows,
        create=create,
    )


def _check_arguments(ids: Sequence[str], width: int, dtype: str, chunk_rows: int) -> None:
    if not ids or len(set(ids)) != len(ids):
        raise ValueError(f"a store needs unique ids, at least one: got {len(ids)} ids")
    if width < 1 or chunk_rows < 1:
        raise ValueError(f"width and chunk_rows must be at least 1: got {width} and {chunk_rows}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {DTYPES}: got {dtype!r}")


def _check_vacant(location: Location) -> None:
    """Refuses to mix a store with files that something else has put there."""
    ours = {IDS, VALUES, COMMITS}
    foreign = [name for name in location.entries() if name not in ours and not _left_over(name)]
    if foreign:
        raise EmbeddingStoreError(
            f"{location} is not an embedding store but holds {foreign[:5]}; choose an empty or "
            "new directory"
        )


def _left_over(name: str) -> bool:
    """Whether a killed writer may have left this file."""
    return name.endswith((".tmp", "__lock"))
