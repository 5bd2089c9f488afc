"""Good files of every format that the weight reader knows, and damage to their structure."""

import io
import json
import pickletools
import random
import struct
import zipfile
from collections.abc import Callable

import numpy as np
import safetensors.numpy

from tests.models.weight_files.onnx_tensors_test import model, tensor
from tests.models.weight_files.torch_writer import (
    SIX,
    Raw,
    Tensor,
    emit,
    write_legacy,
    write_zip,
)

_OPCODES = [opcode.code.encode("latin1") for opcode in pickletools.opcodes]
_INTERESTING = (0, 1, 2, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63)
_CENTRAL, _LOCAL, _END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
# Offset and width of the fields of a record that steer its reader.
_FIELDS = {
    _CENTRAL: (6, 2, 8, 2, 10, 2, 16, 4, 20, 4, 24, 4, 28, 2, 30, 2, 38, 4, 42, 4),
    _LOCAL: (4, 2, 6, 2, 8, 2, 14, 4, 18, 4, 22, 4, 26, 2, 28, 2),
    _END: (4, 2, 8, 2, 10, 2, 12, 4, 16, 4, 20, 2),
}


def good_files() -> dict[str, bytes]:
    """One sound file a format, small, with all that the format offers."""
    parameter = Raw(b"ctorch._utils\n_rebuild_parameter\n" + emit((Tensor(), True, None)) + b"R")
    value = {
        "a": Tensor(),
        "b": (1, 2.5, {"c": Tensor(offset=1, size=(2,), stride=(2,))}),
        "evil": Raw(b"cos\nsystem\nX\x04\x00\x00\x00true\x85R"),
        "deep": {"x": {"y": (1, 2.5, "text", None, True)}},
        "half": Tensor(key="1", kind="BFloat16Storage", numel=12, size=(12,), stride=(1,)),
        "set": Raw(b"c__builtin__\nset\n](K\x01K\x02e\x85R"),
    }
    storages = {"0": SIX.tobytes(), "1": SIX.tobytes()}
    state = {"_parameters": {"w": parameter}, "_buffers": {}, "_modules": {}, "cutoff": 4.5}
    inner = Raw(b"cnet\nNet\n)\x81" + emit(state) + b"b")
    module = Raw(b"cnet\nNet\n)\x81" + emit({**state, "_modules": {"0": inner}}) + b"b")
    arrays = {
        "a/b": np.arange(12, dtype=np.float32).reshape(3, 4),
        "half": np.arange(5, dtype=np.float16),
        "ints": np.zeros((2, 0, 3), np.int64),
        "flags": np.array([True, False]),
        "scalar": np.array(2.5),
    }
    packed = [io.BytesIO(), io.BytesIO()]
    np.savez(packed[0], **arrays)
    np.savez_compressed(packed[1], **arrays)
    return {
        "torch-zip": write_zip(value, storages, extra={"byteorder": b"little"}),
        "torch-legacy": _legacy(value, storages),
        "torch-module": write_zip(module, storages),
        "safetensors": safetensors.numpy.save(arrays, {"format": "np"}),
        "onnx": model(*(tensor(name, array) for name, array in arrays.items())),
        "npz": packed[0].getvalue(),
        "npz-deflated": packed[1].getvalue(),
        "wheel": _wheel(),
    }


def _legacy(value, storages) -> bytes:
    """A legacy file whose second storage has two bytes an element."""
    data = write_legacy(value, storages)
    tail = struct.pack("<q", 6) + storages["1"]
    return data[: -len(tail)] + struct.pack("<q", 12) + storages["1"]


def _wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pkg/", "")
        archive.writestr("pkg/weights.bin", bytes(range(256)) * 8)
        archive.writestr("pkg/other.txt", b"text", zipfile.ZIP_STORED)
    return buffer.getvalue()


def damage(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """One to three random changes, each of them blind or made where it hurts.

    Args:
      data: a file of any format.
      chance: source of all choices.
      others: files that pieces may be taken from.

    Returns:
      The changed file, never empty.
    """
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        change = chance.choice(_BLIND + _KNOWING.get(data[:2], _KNOWING[b""]))
        data = change(data, chance, others) or b"\x80"
    return data


def _flip(data: bytes, chance: random.Random, _) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        value = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        changed[chance.randrange(len(data))] = value
    return bytes(changed)


def _truncate(data: bytes, chance: random.Random, _) -> bytes:
    return data[: chance.randrange(len(data))]


def _splice(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    other = chance.choice([data, *others])
    start, where = chance.randrange(len(other)), chance.randrange(len(data))
    piece = other[start : start + chance.choice((1, 4, 16, 64, 256))]
    return data[:where] + piece + data[where + chance.choice((0, len(piece))) :]


def _edit_length(data: bytes, chance: random.Random, _) -> bytes:
    """A number that may be a length, an offset or a count becomes an extreme one."""
    width = chance.choice((1, 2, 4, 8))
    where = chance.randrange(max(len(data) - width, 1))
    return _put(data, where, width, chance)


def _put(data: bytes, where: int, width: int, chance: random.Random) -> bytes:
    present = int.from_bytes(data[where : where + width], "little")
    choices = (*_INTERESTING, present + 1, present - 1, present * 2, len(data), len(data) + 1)
    value = chance.choice(choices) % 2 ** (8 * width)
    return data[:where] + value.to_bytes(width, "little") + data[where + width :]


def _edit_opcodes(data: bytes, chance: random.Random, _) -> bytes:
    """Opcodes are inserted, repeated, replaced or taken out; the memo and marks go astray."""
    where = chance.randrange(len(data))
    if chance.random() < 0.3:
        piece = data[where : where + chance.randint(1, 12)] * chance.choice((2, 50, 2000))
        return data[:where] + piece + data[where:]
    inserted = b"".join(chance.choice(_OPCODES) for _ in range(chance.randint(0, 3)))
    return data[:where] + inserted + data[where + chance.randint(0, 3) :]


def _edit_record(data: bytes, chance: random.Random, _) -> bytes:
    """A field of a zip record: flags, method, sizes, offsets, attributes, counts."""
    signature = chance.choice(tuple(_FIELDS))
    places = [i for i in range(len(data)) if data.startswith(signature, i)]
    if not places:
        return data
    field = 2 * chance.randrange(len(_FIELDS[signature]) // 2)
    offset, width = _FIELDS[signature][field : field + 2]
    return _put(data, chance.choice(places) + offset, width, chance)


def _edit_inside(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """Damage inside an entry, packed anew: checksums and lengths of the zip file stay right."""
    entries = _unpack(data)
    if not entries:
        return data
    index = chance.randrange(len(entries))
    name, content, method = entries[index]
    inner = (_flip, _edit_length, _truncate, _splice, _edit_opcodes, _edit_text)
    entries[index] = name, chance.choice(inner)(content or b"\x80", chance, others), method
    return _pack(entries)


def _edit_entries(data: bytes, chance: random.Random, _) -> bytes:
    """Names and number of entries, and how they are compressed."""
    entries = _unpack(data)
    if not entries:
        return data
    index = chance.randrange(len(entries))
    name, content, method = entries[index]
    names = (
        f"../{name}",
        f"/{name}",
        f"C:{name}",
        f"{name}x",
        f"x/{name}",
        name.swapcase(),
        "a.npy",
    )
    kind = chance.randrange(4)
    if kind == 0:
        entries[index] = chance.choice(names), content, method
    elif kind == 1:
        entries.pop(index)
    elif kind == 2:
        entries.insert(index, (chance.choice((name, "new")), content, method))
    else:
        methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
        zeros = bytes(chance.choice((0, 10**4, 10**6))) if chance.random() < 0.05 else b""
        entries[index] = name, content + zeros, chance.choice(methods)
    return _pack(entries)


def _unpack(data: bytes) -> list[tuple[str, bytes, int]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [
                (info.filename, archive.read(info), info.compress_type)
                for info in archive.infolist()
                if info.file_size < 10**6 and info.filename
            ]
    except Exception:
        return []  # damaged already


def _pack(entries: list[tuple[str, bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content, method in entries:
            archive.writestr(name, content, method)
    return buffer.getvalue()


_NUMBERS = ("0", "-1", "3", "4294967296", "4611686018427387904", "1e9", "9" * 30, "null", "[]")


def _edit_text(data: bytes, chance: random.Random, _) -> bytes:
    """A number in readable text (headers of arrays and of safetensors) becomes another."""
    digits = [i for i in range(min(len(data), 2000)) if data[i : i + 1].isdigit()]
    if not digits:
        return data
    where = chance.choice(digits)
    return data[:where] + chance.choice(_NUMBERS).encode() + data[where + 1 :]


def _edit_header(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """The header of a safetensors file, with its length put right or deliberately wrong."""
    size = int.from_bytes(data[:8], "little")
    if not 2 <= size <= len(data) - 8:
        return data
    header, body = data[8 : 8 + size], data[8 + size :]
    if chance.random() < 0.3:
        header = _edit_facts(header, chance)
    else:
        header = chance.choice((_edit_text, _flip, _splice))(header, chance, others)
    return struct.pack("<Q", len(header) + chance.choice((0, 0, 0, 0, 1, -1))) + header + body


def _edit_facts(header: bytes, chance: random.Random) -> bytes:
    try:
        facts = json.loads(header)
        tensor = facts[chance.choice(list(facts))]
        name = chance.choice(list(tensor))
        values = ([], {}, None, "BF16", "F8_E4M3", [2**32] * 3, [0, 2**63], [[]], -1, [0] * 999)
        tensor[name] = chance.choice(values)
        return json.dumps(facts).encode()
    except (ValueError, LookupError, TypeError):
        return header


_Change = Callable[[bytes, random.Random, list[bytes]], bytes]
_BLIND: tuple[_Change, ...] = (_flip, _truncate, _splice, _edit_length)
_KNOWING: dict[bytes, tuple[_Change, ...]] = {
    b"PK": (_edit_record, _edit_record, _edit_inside, _edit_inside, _edit_inside, _edit_entries),
    b"\x80\x02": (_edit_opcodes,) * 4,
    b"\x08\x08": (_edit_length, _edit_opcodes, _edit_opcodes, _splice),
    b"": (_edit_header,) * 4,
}
