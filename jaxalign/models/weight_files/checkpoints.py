"""Reads weight files that strangers wrote: arrays come out, nothing is ever executed."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from jaxalign.archives.zip_files import ZipError, describe, open_zip, printable, shorten
from jaxalign.models.weight_files.onnx_tensors import read_onnx
from jaxalign.models.weight_files.plain_values import CheckpointError, Opaque
from jaxalign.models.weight_files.torch_files import LEGACY_START, read_torch_legacy, read_torch_zip
from jaxalign.models.weight_files.torch_modules import read_torch_module
from jaxalign.models.weight_files.torch_tensors import bfloat16_to_float32

__all__ = ["CheckpointError", "Opaque", "read_checkpoint"]

_MAX_NPZ_RATIO = 16
_SPARE_BYTES = 16 * 2**20
_MAX_HEADER_BYTES = 8 * 2**20


def read_checkpoint(
    data: bytes | str | os.PathLike[str], *, format: str | None = None
) -> dict[str, Any]:
    """Reads a weight file of any of five formats into NumPy arrays.

    No format needs torch; none can run code, and memory stays within a small multiple of the
    file's size. bfloat16 becomes float32. Arrays may be read-only, and those of torch files may
    share memory.

    Args:
      data: the file's bytes, or its path.
      format: `"torch-zip"`, `"torch-legacy"`, `"npz"`, `"safetensors"` or `"onnx"`; None recognises
        it, ONNX by the suffix of its path alone. `"torch-module"` is a torch file that holds a
        whole model instead of its arrays.

    Returns:
      Name → array. For torch files: the saved dictionary with its nesting; foreign objects in it
      are `Opaque` names. For a whole model: what `read_torch_module` says.

    Raises:
      CheckpointError: if the file is damaged, hostile, absent or of another format.
      ValueError: if `format` is none of these.
    """
    if format is not None and format not in _READERS:
        raise ValueError(f"unknown format {format!r}; known are {', '.join(map(repr, _READERS))}")
    source = "weight file"
    if not isinstance(data, bytes):
        # Nothing in an ONNX file's own bytes says what it is.
        format = format or ("onnx" if Path(data).suffix.lower() == ".onnx" else None)
        source, data = f"weight file {os.fspath(data)}", _read(Path(data))
    chosen = _recognise(data, source) if format is None else format
    try:
        result = _READERS[chosen](data)
    except (CheckpointError, ZipError) as error:
        what = printable(str(error))
        raise CheckpointError(f"cannot read the {source} as {chosen}: {what}") from error
    except Exception as error:
        # Damaged bytes provoke errors of a dozen types in the parsers; all of them say one thing.
        what = describe(error)
        raise CheckpointError(f"the {source} is damaged or no {chosen} file ({what})") from error
    if not isinstance(result, dict):
        raise CheckpointError(f"the {source} holds a {type(result).__name__}, expected a dict")
    return result


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the weight file {path}: {error.strerror}") from error


def _recognise(data: bytes, source: str) -> str:
    if data.startswith(LEGACY_START):
        return "torch-legacy"
    if data.startswith(b"PK"):
        return "npz" if _holds_arrays(data) else "torch-zip"
    if data[8:9] == b"{":
        return "safetensors"
    raise CheckpointError(
        f"the {source} starts with {data[:8]!r}, which is none of {', '.join(_READERS)}; "
        "save the weights in one of these formats"
    )


def _holds_arrays(data: bytes) -> bool:
    try:
        with open_zip(data) as archive:
            return any(name.endswith(".npy") for name in archive.entries)
    except ZipError:
        return False  # Damaged: the reader of torch files says how.


def _read_npz(data: bytes) -> dict[str, np.ndarray]:
    """Arrays of an npz file; may be compressed, but not 16-fold as only bombs are."""
    limit = _MAX_NPZ_RATIO * len(data) + _SPARE_BYTES
    with open_zip(data) as archive:
        if sum(info.file_size for info in archive.entries.values()) > limit:
            raise CheckpointError(f"its entries claim more than {limit:,} bytes when decompressed")
        arrays = {
            name.removesuffix(".npy"): _read_npy(archive.read(name, max_bytes=limit))
            for name in archive.entries
        }
        if len(arrays) != len(archive.entries):
            raise CheckpointError("two of its arrays have the same name")
        return arrays


def _read_npy(raw: bytes) -> np.ndarray:
    file = io.BytesIO(raw)
    version = np.lib.format.read_magic(file)
    if version not in _NPY_HEADERS:
        raise CheckpointError(f"its array format has the unknown version {version}")
    shape, fortran, dtype = _NPY_HEADERS[version](file)
    if dtype.hasobject:
        raise CheckpointError("it holds Python objects, which could run code; save plain arrays")
    if dtype.itemsize == 0 or dtype.names is not None or dtype.subdtype is not None:
        raise CheckpointError(f"it holds records of the type {shorten(str(dtype))}, no numbers")
    body = memoryview(raw)[file.tell() :]
    if len(body) != math.prod(shape) * dtype.itemsize or min(shape, default=0) < 0:
        raise CheckpointError(
            f"an array of shape {shorten(str(shape))} and type {dtype} has {len(body)} bytes"
        )
    return np.ndarray(shape, dtype, buffer=body, order="F" if fortran else "C")


_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

_SAFETENSORS_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
    "C64": "<c8",
}


def _read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    # The format allows headers of 100 MB, which are gigabytes once they are objects.
    header = int.from_bytes(data[:8], "little")
    if header > _MAX_HEADER_BYTES:
        raise CheckpointError(
            f"its header claims {header:,} bytes, at most {_MAX_HEADER_BYTES:,} are read"
        )
    return {name: _as_array(name, **facts) for name, facts in safetensors.deserialize(data)}


def _as_array(name: str, *, shape: list[int], dtype: str, data: bytes | bytearray) -> np.ndarray:
    if dtype not in _SAFETENSORS_DTYPES:
        raise CheckpointError(
            f"its tensor {shorten(name)} has the type {dtype}, which cannot be read"
        )
    values = np.frombuffer(data, _SAFETENSORS_DTYPES[dtype])
    values = bfloat16_to_float32(values) if dtype == "BF16" else values
    return values.reshape(shape)


_READERS: Mapping[str, Callable[[bytes], Any]] = {
    "torch-zip": read_torch_zip,
    "torch-legacy": read_torch_legacy,
    "torch-module": read_torch_module,
    "npz": _read_npz,
    "safetensors": _read_safetensors,
    "onnx": read_onnx,
}
