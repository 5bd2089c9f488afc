"""Torch files made opcode by opcode and without torch: right ones, and any lie one can think of."""

import dataclasses
import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from jaxalign.models.weight_files.checkpoints import CheckpointError, read_checkpoint

MAGIC = 0x1950A86A20F9469CFC6C


MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}


KINDS = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
    "ComplexFloatStorage": np.complex64,
    "ComplexDoubleStorage": np.complex128,
}


LAYOUTS = ("torch-zip", "torch-legacy")


SIX = np.arange(6, dtype="<f4")


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What a file says about a tensor; nothing here needs to be true."""

    key: object = "0"
    kind: str = "FloatStorage"
    numel: object = 6
    offset: object = 0
    size: object = (2, 3)
    stride: object = (3, 1)
    function: str = "_rebuild_tensor_v2"
    extra: tuple = ()  # further items of the persistent id


@dataclasses.dataclass(frozen=True)
class Raw:
    code: bytes


def emit(value) -> bytes:
    """Pickle opcodes of protocol 2, as torch writes them."""
    if isinstance(value, Raw):
        return value.code
    if isinstance(value, Tensor):
        identifier = ("storage", Raw(b"ctorch\n" + value.kind.encode() + b"\n"), value.key, "cpu")
        storage = Raw(emit((*identifier, value.numel, *value.extra)) + b"Q")
        hooks = Raw(b"ccollections\nOrderedDict\n)R")
        arguments = (storage, value.offset, value.size, value.stride, False, hooks)
        return b"ctorch._utils\n" + value.function.encode() + b"\n" + emit(arguments) + b"R"
    if isinstance(value, dict):
        items = b"".join(emit(key) + emit(item) for key, item in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(emit, value)) + b"t"
    return pickle.dumps(value, 2)[2:-1]


def write_zip(
    value, storages, *, root="archive", extra=(), compression=zipfile.ZIP_STORED
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", b"\x80\x02" + emit(value) + b".")
        for key, content in storages.items():
            archive.writestr(f"{root}/data/{key}", content)
        for name, content in dict(extra).items():
            archive.writestr(f"{root}/{name}", content)
    return buffer.getvalue()


def write_legacy(value, storages, *, itemsizes=4, machine=MACHINE, protocol=1001) -> bytes:
    parts = [pickle.dumps(part, 2) for part in (MAGIC, protocol, machine)]
    parts += [b"\x80\x02" + emit(value) + b".", pickle.dumps(list(storages), 2)]
    for content in storages.values():
        parts += [struct.pack("<q", len(content) // itemsizes), content]
    return b"".join(parts)


def write(layout, value, storages, *, itemsize=4) -> bytes:
    if layout == "torch-zip":
        return write_zip(value, storages)
    return write_legacy(value, storages, itemsizes=itemsize)


def typed(dtype: bytes, storage: Tensor) -> Raw:
    """A tensor of the types without a storage class, which name their type themselves."""
    code = emit(storage)
    assert code.endswith(b"tR")
    return Raw(code.replace(b"_tensor_v2", b"_tensor_v3")[:-2] + b"ctorch\n" + dtype + b"\ntR")


def refused(data: bytes, match: str | None = None):
    with pytest.raises(CheckpointError, match=match) as raised:
        read_checkpoint(data)
    # The annotations are checked under pytest alone: they must not be what refuses a file.
    assert not isinstance(raised.value.__cause__, TypeCheckError)
