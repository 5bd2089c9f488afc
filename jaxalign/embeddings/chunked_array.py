"""The numbers of an embedding store: one zarr 3 array, read and written in whole chunks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorstore as ts
from jaxtyping import Float, Int

from jaxalign.archives.atomic import StorageError
from jaxalign.embeddings.location import (
    EmbeddingStoreError,
    Location,
    context,
    error_text,
    says_nothing_of_data,
)

VALUES = "values"
DTYPES = ("float16", "float32", "float64")


class ChunkError(Exception):
    """The array, or a chunk of it, cannot be read or written; the store says how to mend it."""


class ChunkedArray:
    """A `[rows, width]` zarr 3 array with one zarr chunk per `chunk_rows` rows, uncompressed.

    Args:
      location: of the store; the array lies in its subfolder `values`.
      rows: number of rows.
      width: number of columns.
      dtype: one of `DTYPES`.
      chunk_rows: rows a chunk.
      create: make it, removing what is there; otherwise open it.

    Raises:
      ChunkError: if it is not the array described.
      StorageError: if it cannot be made.
      EmbeddingStoreError: if the place cannot be reached.
    """

    def __init__(
        self,
        location: Location,
        *,
        rows: int,
        width: int,
        dtype: str,
        chunk_rows: int,
        create: bool,
    ):
        self._location = location
        spec = _spec(location, rows, width, dtype, chunk_rows)
        mode = {"create": True, "delete_existing": True} if create else {"open": True}
        action = "write" if create else "read"
        self._array = self._wait(action, lambda: ts.open(spec, **mode, context=context()))

    def write(self, start: int, values: Float[np.ndarray, "rows d"]) -> None:
        """Writes rows from `start` on; returns when they are in place."""
        self._wait("write", lambda: self._array[start : start + len(values)].write(values))

    def read(self, start: int, stop: int) -> Float[np.ndarray, "rows d"]:
        """Reads rows `start:stop`; rows never written are NaN."""
        return np.array(self._wait("read", lambda: self._array[start:stop].read()))

    def take(self, index: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows d"]:
        """Reads rows of the given numbers, in that order."""
        return np.array(self._wait("read", lambda: self._array[index].read()))

    def _wait(self, action: str, start: Callable[[], Any]) -> Any:
        try:
            return start().result()
        except (ValueError, OSError) as error:
            reason = error_text(error)
            if action == "write":
                raise StorageError(self._location.explain(reason, action)) from error
            if says_nothing_of_data(reason):
                raise EmbeddingStoreError(self._location.explain(reason, action)) from error
            raise ChunkError(reason) from error


def digest(values: Float[np.ndarray, "rows d"]) -> str:
    """SHA-256 of the rows as little-endian bytes in C order, hexadecimal."""
    little = values.astype(values.dtype.newbyteorder("<"), order="C", copy=False)
    return hashlib.sha256(np.ascontiguousarray(little).tobytes()).hexdigest()


def _spec(location: Location, rows: int, width: int, dtype: str, chunk_rows: int) -> dict[str, Any]:
    return {
        "driver": "zarr3",
        "kvstore": location.kvstore(VALUES),
        # All-NaN chunks are written too: a missing file must never pass for data.
        "store_data_equal_to_fill_value": True,
        "metadata": {
            "shape": [rows, width],
            "data_type": dtype,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": [chunk_rows, width]},
            },
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "fill_value": "NaN",
            "dimension_names": ["structure", "feature"],
        },
    }
