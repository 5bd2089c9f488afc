"""The arrays of an ONNX file, out of its bytes alone: no graph is built and nothing is run.

An ONNX file is a protocol-buffer message. Only the path model → graph → initializer is walked; all
else, the graph's nodes among it, is stepped over by its length. So nesting cannot grow deep, and
arrays are views of the file's bytes: what a length or a dimension claims is compared with what is
there before anything is made of it.

References:
  Protocol Buffers documentation, "Encoding"; onnx.proto3 of the ONNX specification, for the numbers
  of the fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from jaxalign.models.weight_files.plain_values import CheckpointError
from jaxalign.models.weight_files.torch_tensors import bfloat16_to_float32

MAX_FIELDS = 2_000_000
MAX_TENSORS = 100_000
_MAX_NAME_BYTES = 4096
_MAX_DIMENSIONS = 32

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
# Numbers of fields.
_GRAPH, _INITIALIZER, _SPARSE_INITIALIZER = 7, 5, 15
_DIMS, _DTYPE, _SEGMENT, _FLOATS, _NAME, _RAW, _DOUBLES = 1, 2, 3, 4, 8, 9, 10
_EXTERNAL, _LOCATION = 13, 14
_OTHER_LISTS = {5: "int32_data", 6: "string_data", 7: "int64_data", 11: "uint64_data"}

_BFLOAT16 = 16
_DTYPES: Mapping[int, str] = {
    1: "<f4",
    2: "u1",
    3: "i1",
    4: "<u2",
    5: "<i2",
    6: "<i4",
    7: "<i8",
    9: "?",
    10: "<f2",
    11: "<f8",
    12: "<u4",
    13: "<u8",
    _BFLOAT16: "<u2",
}
_Value = int | memoryview


def read_onnx(data: bytes) -> dict[str, np.ndarray]:
    """Initializers of an ONNX file by name: the weights of a network.

    Values must be in the file (`raw_data`, `float_data` or `double_data`), not beside it.

    Args:
      data: the file.

    Returns:
      Name → array; read-only views of `data`, but for bfloat16, which becomes float32.

    Raises:
      CheckpointError: if the file is damaged, hostile or of a kind that is not read.
    """
    wire = _Wire()
    graphs = [value for field, value in wire.fields(memoryview(data)) if field == _GRAPH]
    if len(graphs) != 1:
        raise CheckpointError(f"it holds {len(graphs)} graphs, expected one")
    arrays: dict[str, np.ndarray] = {}
    for field, value in wire.fields(_as_bytes(graphs[0], "graph")):
        if field == _SPARSE_INITIALIZER:
            raise CheckpointError("it holds sparse tensors, which are not read; save dense ones")
        if field != _INITIALIZER:
            continue
        name, array = _read_tensor(wire, _as_bytes(value, "tensor"))
        if name in arrays:
            raise CheckpointError(f"two of its tensors are called {name!r}")
        if len(arrays) == MAX_TENSORS:
            raise CheckpointError(f"it holds more than {MAX_TENSORS:,} tensors")
        arrays[name] = array
    return arrays


class _Wire:
    """Walks messages, and counts the fields of all of them."""

    def __init__(self):
        self._left = MAX_FIELDS

    def fields(self, message: memoryview) -> Iterator[tuple[int, _Value]]:
        """Number and value of each field: an integer, or the bytes of anything else."""
        place = 0
        while place < len(message):
            self._left -= 1
            if self._left < 0:
                raise CheckpointError(f"it holds more than {MAX_FIELDS:,} fields")
            key, place = _varint(message, place)
            if not key >> 3:
                raise CheckpointError("a field has the number 0")
            kind, value = key & 7, None
            if kind == _VARINT:
                value, place = _varint(message, place)
            else:
                size, place = self._size(message, place, kind)
                if size > len(message) - place:
                    raise CheckpointError(
                        f"a field claims {size:,} bytes where {len(message) - place:,} are left"
                    )
                value, place = message[place : place + size], place + size
            yield key >> 3, value

    @staticmethod
    def _size(message: memoryview, place: int, kind: int) -> tuple[int, int]:
        if kind == _BYTES:
            return _varint(message, place)
        if kind in _FIXED:
            return _FIXED[kind], place
        raise CheckpointError(f"a field has the unknown wire type {kind}")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """An unsigned integer of at most 64 bits, seven to a byte, and the place behind it."""
    result = 0
    for count in range(10):
        if place + count >= len(message):
            raise CheckpointError("it ends inside a number")
        byte = message[place + count]
        result |= (byte & 127) << (7 * count)
        if byte < 128:
            if result >> 64:
                break
            return result, place + count + 1
    raise CheckpointError("a number has more than 64 bits")


def _as_bytes(value: _Value, what: str) -> memoryview:
    if isinstance(value, int):
        raise CheckpointError(f"it holds a number where a {what} belongs")
    return value


def _read_tensor(wire: _Wire, message: memoryview) -> tuple[str, np.ndarray]:
    """Name and values of one tensor."""
    dims: list[int] = []
    facts: dict[int, _Value] = {}
    for field, value in wire.fields(message):
        if field == _DIMS:
            dims.extend(_dimensions(value))
            if len(dims) > _MAX_DIMENSIONS:
                raise CheckpointError(f"a tensor has more than {_MAX_DIMENSIONS} dimensions")
        elif field in facts:
            raise CheckpointError(f"field {field} of a tensor occurs twice")
        else:
            facts[field] = value
    name = _text(facts.get(_NAME, memoryview(b"")))
    if facts.get(_LOCATION) or _EXTERNAL in facts or _SEGMENT in facts:
        raise CheckpointError(
            f"the values of tensor {name!r} lie in another file; save the model as one file"
        )
    return name, _values(name, dims, facts)


def _dimensions(value: _Value) -> list[int]:
    """One dimension, or several that are packed."""
    if not isinstance(value, int):
        found, place = [], 0
        while place < len(value) and len(found) <= _MAX_DIMENSIONS:
            number, place = _varint(value, place)
            found.extend(_dimensions(number))
        return found
    if value >> 63:
        raise CheckpointError(f"a tensor has the negative dimension {value - 2**64}")
    return [value]


def _text(value: _Value) -> str:
    raw = _as_bytes(value, "name")
    if len(raw) > _MAX_NAME_BYTES:
        raise CheckpointError(f"the name of a tensor has {len(raw):,} bytes")
    return bytes(raw).decode()


def _values(name: str, dims: list[int], facts: Mapping[int, _Value]) -> np.ndarray:
    kind = facts.get(_DTYPE, 0)
    if kind not in _DTYPES:
        raise CheckpointError(f"tensor {name!r} has the element type {kind}, which is not read")
    others = [listed for field, listed in _OTHER_LISTS.items() if field in facts]
    if others:
        raise CheckpointError(f"tensor {name!r} has {others[0]}; save its values as raw_data")
    dtype = np.dtype(_DTYPES[kind])
    holders: Mapping[int, Callable[[], bool]] = {
        _RAW: lambda: True,
        _FLOATS: lambda: dtype == np.float32,
        _DOUBLES: lambda: dtype == np.float64,
    }
    found = [field for field, fits in holders.items() if field in facts and fits()]
    wrong = [field for field in holders if field in facts and field not in found]
    if len(found) > 1 or wrong:
        raise CheckpointError(f"tensor {name!r} has values of several types")
    raw = _as_bytes(facts[found[0]], "list of values") if found else memoryview(b"")
    expected = math.prod(dims) * dtype.itemsize
    if len(raw) != expected:
        raise CheckpointError(
            f"tensor {name!r} of shape {dims} and type {dtype} has {len(raw):,} bytes of values "
            f"instead of {expected:,}"
        )
    values = np.frombuffer(raw, dtype)
    values = bfloat16_to_float32(values) if kind == _BFLOAT16 else values
    return values.reshape(dims)
