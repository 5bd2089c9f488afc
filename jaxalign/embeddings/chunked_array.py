"""The numbers of an embedding store: one zarr 3 array, read and written in whole chunks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from jaxtyping import Float, Int

VALUES = "values"
DTYPES = ("float16", "float32", "float64")


class ChunkError(Exception):
    """The array, or a chunk of it, cannot be read or written; the store says how to mend it."""


class ChunkedArray:
    """A `[rows, width]` zarr 3 array with one zarr chunk per `chunk_rows` rows, uncompressed.

    Args:
      folder: directory of the store; the array lies in its subdirectory `values`.
      rows: number of rows.
      width: number of columns.
      dtype: one of `DTYPES`.
      chunk_rows: rows a chunk.
      create: make it, removing what is there; otherwise open it.

    Raises:
      ChunkError: if it cannot be made, or is not the array described.
    """

    def __init__(
        self, folder: Path, *, rows: int, width: int, dtype: str, chunk_rows: int, create: bool
    ):
        spec = _spec(folder, rows, width, dtype, chunk_rows)
        mode = {"create": True, "delete_existing": True} if create else {"open": True}
        self._array = _wait(lambda: ts.open(spec, **mode))

    def write(self, start: int, values: Float[np.ndarray, "rows d"]) -> None:
        """Writes rows from `start` on; returns when they are on disk."""
        _wait(lambda: self._array[start : start + len(values)].write(values))

    def read(self, start: int, stop: int) -> Float[np.ndarray, "rows d"]:
        """Reads rows `start:stop`; rows never written are NaN."""
        return np.array(_wait(lambda: self._array[start:stop].read()))

    def take(self, index: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows d"]:
        """Reads rows of the given numbers, in that order."""
        return np.array(_wait(lambda: self._array[index].read()))


def digest(values: Float[np.ndarray, "rows d"]) -> str:
    """SHA-256 of the rows as little-endian bytes in C order, hexadecimal."""
    little = values.astype(values.dtype.newbyteorder("<"), order="C", copy=False)
    return hashlib.sha256(np.ascontiguousarray(little).tobytes()).hexdigest()


def _spec(folder: Path, rows: int, width: int, dtype: str, chunk_rows: int) -> dict[str, Any]:
    # The key-value store is named here alone: gs:// and s3:// are other drivers of the same spec.
    return {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str((folder / VALUES).resolve())},
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


def _wait(start: Any) -> Any:
    try:
        return start().result()
    except (ValueError, OSError) as error:
        # The first sentence; the rest repeats the whole specification.
        raise ChunkError(" ".join(str(error).split(" [tensorstore_spec=")[0].split())) from error
