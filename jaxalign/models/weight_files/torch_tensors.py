"""Storages and tensors of torch files: bytes become bounded, read-only NumPy views."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxalign.models.weight_files.pickle_machine import Constructors
from jaxalign.models.weight_files.plain_values import (
    CheckpointError,
    Opaque,
    checked_key,
    checked_set,
)

_MAX_DIMENSIONS = 32
_SPARE_BYTES = 16 * 2**20

# As they lie in the file; `read_storage` turns u1 into bool and u2 into float32 where need be.
_STORAGE_DTYPES: Mapping[str, str] = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "u1",
    "ComplexFloatStorage": "<c8",
    "ComplexDoubleStorage": "<c16",
    "UntypedStorage": "u1",
}
# Types without a storage class of their own: their tensors name the type and lie in untyped bytes.
_TENSOR_DTYPES: Mapping[str, str] = {"uint16": "<u2", "uint32": "<u4", "uint64": "<u8"}


def storage_bytes(kind: str, numel: int) -> int:
    """Bytes that a storage takes in a file.

    Args:
      kind: storage class, e.g. `"FloatStorage"`.
      numel: number of elements.

    Returns:
      Number of bytes.

    Raises:
      CheckpointError: for a class that NumPy has no type for (quantized ones).
    """
    if kind not in _STORAGE_DTYPES:
        raise CheckpointError(f"it has a storage of the type {kind}, which cannot be read")
    return numel * np.dtype(_STORAGE_DTYPES[kind]).itemsize


def read_storage(raw: bytes, kind: str, numel: int) -> np.ndarray:
    """Turns the bytes of a storage into a read-only 1-D array.

    Args:
      raw: exactly the bytes of the storage.
      kind: storage class; bfloat16 becomes float32, which holds it exactly.
      numel: number of elements.

    Returns:
      `[numel]` array.

    Raises:
      CheckpointError: if the number of bytes is another one, or the class is unknown.
    """
    wanted = storage_bytes(kind, numel)
    if len(raw) != wanted:
        raise CheckpointError(f"a storage has {len(raw):,} bytes, expected {wanted:,}: truncated?")
    values = np.frombuffer(raw, _STORAGE_DTYPES[kind])
    if kind == "BFloat16Storage":
        values = bfloat16_to_float32(values)
    elif kind == "BoolStorage":
        values = values != 0
    return _read_only(values)


def _read_only(values: np.ndarray) -> np.ndarray:
    values.flags.writeable = False
    return values


def bfloat16_to_float32(bits: np.ndarray) -> np.ndarray:
    """Widens bfloat16, given as uint16, exactly: it is the upper half of a float32."""
    return (bits.astype("<u4") << np.uint32(16)).view("<f4")


def constructors(*, file_bytes: int) -> Constructors:
    """The calls that are carried out for one torch file.

    Args:
      file_bytes: size of the file. All tensors together may have at most four times as many bytes
        (plus 16 MB): storages may be shared, but a copy of the result must stay affordable even
        if zero strides repeat one number forever.

    Returns:
      (module, name) → function of the pickled arguments.
    """
    budget = _Budget(4 * file_bytes + _SPARE_BYTES)
    table: Constructors = {
        ("collections", "OrderedDict"): _as_dict,
        ("collections", "defaultdict"): lambda factory=None: {},
        ("lightning.fabric.utilities.data", "AttributeDict"): _as_dict,
        ("torch._utils", "_rebuild_tensor"): budget.tensor,
        ("torch._utils", "_rebuild_tensor_v2"): budget.tensor,
        ("torch._utils", "_rebuild_tensor_v3"): budget.typed_tensor,
        ("torch._utils", "_rebuild_parameter"): _parameter,
        ("torch", "Size"): _as_size,
        # Plain instances of foreign classes: what is left is the name of the class.
        ("copyreg", "_reconstructor"): _class_name,
        ("copy_reg", "_reconstructor"): _class_name,
    }
    for module in ("builtins", "__builtin__"):
        table |= {(module, "set"): _as_set, (module, "frozenset"): _as_frozenset}
    return table


class _Budget:
    """Builds tensors as long as their bytes, counted without sharing, stay under a limit."""

    def __init__(self, limit: int):
        self._limit = self._left = limit

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
        """A view of a storage; further arguments (gradients, hooks) do not matter here."""
        _check_layout(storage, offset, size, stride)
        numel = math.prod(size)
        if numel == 0:
            return _read_only(np.empty(size, storage.dtype))
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if last >= storage.size:
            raise CheckpointError(
                f"a tensor of shape {size} reaches element {last} of a storage of {storage.size}"
            )
        self._left -= numel * storage.itemsize
        if self._left < 0:
            raise CheckpointError(f"its tensors take more than {self._limit:,} bytes")
        return np.ndarray(
            size,
            storage.dtype,
            buffer=storage,
            offset=offset * storage.itemsize,
            strides=tuple(step * storage.itemsize for step in stride),
        )

    def typed_tensor(
        self,
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        _: Any,
        __: Any,
        dtype: Any,
        *___: Any,
    ) -> np.ndarray | Opaque:
        """A view of untyped bytes; for types that NumPy lacks (float8, …) the name of the type."""
        if not isinstance(dtype, Opaque) or dtype.module != "torch":
            raise CheckpointError("a tensor does not name its type")
        if dtype.name not in _TENSOR_DTYPES:
            return dtype
        _check_layout(storage, offset, size, stride)
        return self.tensor(storage.view(_TENSOR_DTYPES[dtype.name]), offset, size, stride)


def _check_layout(storage: Any, offset: Any, size: Any, stride: Any) -> None:
    if not isinstance(storage, np.ndarray) or storage.ndim != 1 or not storage.flags.c_contiguous:
        raise CheckpointError("a tensor is not built on a storage")
    if type(size) is not tuple or type(stride) is not tuple or len(size) != len(stride):
        raise CheckpointError("the shape and the strides of a tensor do not match")
    if len(size) > _MAX_DIMENSIONS:
        raise CheckpointError(
            f"a tensor has {len(size)} dimensions, at most {_MAX_DIMENSIONS} are read"
        )
    if any(type(x) is not int or not 0 <= x < 2**62 for x in (offset, *size, *stride)):
        raise CheckpointError("the shape, strides or offset of a tensor are not natural numbers")


def _items(value: Any) -> list[Any] | tuple[Any, ...]:
    # Nothing else is iterated: walking long text or a repeated array would be unbounded work.
    if type(value) not in (list, tuple):
        raise CheckpointError(f"it makes a collection out of a {type(value).__name__}")
    return value


def _as_dict(pairs: Any = ()) -> dict[Any, Any]:
    return {checked_key(key): value for key, value in map(_items, _items(pairs))}


def _as_set(items: Any = ()) -> set[Any]:
    return checked_set(_items(items))


def _as_frozenset(items: Any = ()) -> frozenset[Any]:
    return frozenset(checked_set(_items(items)))


def _as_size(size: Any = ()) -> tuple[Any, ...]:
    return tuple(_items(size))


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _class_name(kind: Any, *_: Any) -> Opaque:
    if not isinstance(kind, Opaque):
        raise CheckpointError("it makes an instance of something that is not a class")
    return kind
