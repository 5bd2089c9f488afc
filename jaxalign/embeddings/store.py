"""One model's embeddings of one set of structures on disk: written in chunks, resumable.

    STORE/manifest.json   what it is, and the SHA-256 of every committed chunk
    STORE/ids.json        ids in row order, written once
    STORE/values/         a zarr 3 array [rows, width], one zarr chunk per `chunk_rows` rows

A chunk counts once its hash stands in the manifest, and the manifest is replaced atomically after
the data are on disk. A kill at any point therefore leaves a store that either has the chunk or asks
for it again; bytes without a commit are never read. `values/` is plain zarr 3: other programs can
open it. A NaN row may be a stored NaN or, in an incomplete store, a row not computed yet.

Two processes that write the same store cannot damage it, but one may overwrite the other's commits,
which are then computed again.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxalign.embeddings.chunked_array import DTYPES, VALUES, ChunkedArray, ChunkError
from jaxalign.embeddings.manifest import (
    IDS,
    MANIFEST,
    EmbeddingStoreError,
    Manifest,
    new_manifest,
    read_ids,
    read_manifest,
    write_ids,
    write_manifest,
)
from jaxalign.embeddings.stored import EmbeddingStore, unwritable
from jaxalign.models.card import ModelCard

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
    becomes pending.

    Args:
      path: directory of the store.
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
    path = Path(path)
    _check_arguments(ids, width, dtype, chunk_rows)
    wanted = new_manifest(
        ids, width=width, dtype=dtype, chunk_rows=chunk_rows, card=card, info=info
    )
    if (path / MANIFEST).exists():
        return _resume(path, wanted)
    _check_vacant(path)
    write_ids(path, ids)
    try:
        # Without a manifest nothing in `values` is trusted: leftovers of a killed run are removed.
        values = _open_values(path, wanted, create=True)
    except ChunkError as error:
        raise unwritable(path, error) from error
    write_manifest(path, wanted)
    return EmbeddingStore(path, wanted, tuple(ids), values)


def open_store(path: str | Path) -> EmbeddingStore:
    """Opens a store, complete or not.

    Args:
      path: directory of the store.

    Returns:
      The store.

    Raises:
      EmbeddingStoreError: if there is none, or its files do not belong together.
    """
    path = Path(path)
    manifest = read_manifest(path)
    ids = read_ids(path, manifest.order_hash)
    try:
        values = _open_values(path, manifest, create=False)
    except ChunkError as error:
        raise EmbeddingStoreError(
            f"{path / VALUES}: not the array that the manifest describes "
            f"({error}); delete the directory {path} and embed again"
        ) from error
    return EmbeddingStore(path, manifest, ids, values)


def _resume(path: Path, wanted: Manifest) -> EmbeddingStore:
    differences = read_manifest(path).differences(wanted)
    if differences:
        raise EmbeddingStoreError(
            f"{path} holds other embeddings: {'; '.join(differences)}; choose another directory, "
            "or delete this one"
        )
    store = open_store(path)
    for start, stop in store.damaged_chunks():
        warnings.warn(
            f"{path}: rows {start}:{stop} no longer have their committed hash and will be "
            "computed again",
            stacklevel=3,
        )
        store.revoke(start)
    return store


def _open_values(path: Path, manifest: Manifest, *, create: bool) -> ChunkedArray:
    return ChunkedArray(
        path,
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


def _check_vacant(path: Path) -> None:
    """Refuses to mix a store with files that something else has put there."""
    if not path.is_dir():
        return
    ours = {IDS, VALUES}
    foreign = [
        entry.name
        for entry in path.iterdir()
        if entry.name not in ours and not entry.name.endswith(".tmp")
    ]
    if foreign:
        raise EmbeddingStoreError(
            f"{path} is not an embedding store but holds {sorted(foreign)[:5]}; choose an empty or "
            "new directory"
        )
