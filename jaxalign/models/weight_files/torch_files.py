"""Reads what `torch.save` writes, in both of its layouts, without torch.

Zip layout (since torch 1.6): `NAME/data.pkl` is a pickle whose persistent ids name storages, and
`NAME/data/KEY` holds the bytes of a storage. Legacy layout: five pickles in a row (magic number,
protocol version, machine facts, the object, the storage keys), then every storage as an int64
number of elements and its bytes.
"""

from __future__ import annotations

import functools
import io
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxalign.archives.zip_files import open_zip, shorten
from jaxalign.models.weight_files.pickle_machine import Constructors, run_pickle
from jaxalign.models.weight_files.plain_values import MAX_NAME, CheckpointError, Opaque
from jaxalign.models.weight_files.torch_tensors import constructors, read_storage, storage_bytes

# The pickled magic number with which every legacy file begins.
LEGACY_START = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_LEGACY_PROTOCOL = 1001
_STORAGE_MODULES = ("torch", "torch.storage")

# storage class, key, number of elements → 1-D array
_LoadStorage = Callable[[str, str, int], np.ndarray]


def read_torch_zip(data: bytes, *, make_table: Callable[..., Constructors] = constructors) -> Any:
    """Reads the zip layout.

    Args:
      data: the whole file.
      make_table: gives the calls that are carried out; see `torch_tensors.constructors`.

    Returns:
      The saved object: read-only arrays, plain values and `Opaque` names.

    Raises:
      CheckpointError: if the file is inconsistent.
      Exception: damaged bytes make the standard library raise errors of many types.
    """
    with open_zip(data) as archive:
        _check_stored(archive.entries, len(data))
        pickles = [name for name in archive.entries if name.split("/", 1)[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise CheckpointError(f"it holds {len(pickles)} entries data.pkl, one was expected")
        root = pickles[0].removesuffix("data.pkl")
        read = functools.partial(archive.read, max_bytes=len(data))
        if f"{root}byteorder" in archive.entries and read(f"{root}byteorder") != b"little":
            raise CheckpointError("its numbers are not little-endian")

        def load_storage(kind: str, key: str, numel: int) -> np.ndarray:
            if f"{root}data/{key}" not in archive.entries:
                raise CheckpointError(f"its storage {shorten(key)} is missing")
            return read_storage(read(f"{root}data/{key}"), kind, numel)

        return run_pickle(
            io.BytesIO(read(pickles[0])),
            constructors=make_table(file_bytes=len(data)),
            load_persistent=_load_once(load_storage),
        )


def _check_stored(entries: Mapping[str, zipfile.ZipInfo], file_bytes: int) -> None:
    """Torch never compresses, so all entries together cannot be larger than the file."""
    if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
        raise CheckpointError(
            "its zip entries are compressed, which torch never does; save it anew"
        )
    total = sum(info.file_size for info in entries.values())
    if total > file_bytes:
        raise CheckpointError(f"its zip entries claim {total:,} bytes in {file_bytes:,}")


def read_torch_legacy(data: bytes) -> Any:
    """Reads the legacy layout.

    The object precedes the storages it needs. So its pickle is run twice: once for the persistent
    ids alone, which tell the sizes of the storages, and once more when these have been read.

    Args:
      data: the whole file.

    Returns:
      The saved object: read-only arrays, plain values and `Opaque` names.

    Raises:
      CheckpointError: if the file is inconsistent.
      Exception: damaged bytes make the standard library raise errors of many types.
    """
    file = io.BytesIO(data)
    _, protocol, machine = (_run_plain(file) for _ in range(3))
    # Foreign values are never quoted: one that holds itself a million times over has no end.
    if type(protocol) is not int or protocol != _LEGACY_PROTOCOL:
        raise CheckpointError(f"its legacy protocol is not {_LEGACY_PROTOCOL}, the only one known")
    if not (isinstance(machine, dict) and machine.get("little_endian") is True):
        raise CheckpointError("its numbers are not little-endian")
    start = file.tell()
    declared: dict[str, tuple[str, int]] = {}

    def declare(kind: str, key: str, numel: int) -> np.ndarray:
        declared[key] = kind, numel
        return np.empty(0, np.uint8)

    run_pickle(file, constructors={}, load_persistent=_load_once(declare))
    storages = _read_storages(data, file, declared)
    file.seek(start)
    return run_pickle(
        file,
        constructors=constructors(file_bytes=len(data)),
        load_persistent=_load_once(lambda kind, key, numel: storages[key]),
    )


def _run_plain(file: io.BytesIO) -> Any:
    def refuse(_: Any) -> None:
        raise CheckpointError("it has persistent ids where none belong")

    return run_pickle(file, constructors={}, load_persistent=refuse)


def _read_storages(
    data: bytes, file: io.BytesIO, declared: Mapping[str, tuple[str, int]]
) -> dict[str, np.ndarray]:
    keys = _run_plain(file)
    texts = type(keys) is list and all(type(key) is str for key in keys)
    if not texts or len(keys) != len(declared) or set(keys) != set(declared):
        raise CheckpointError("its list of storages does not match the storages that are used")
    position = file.tell()
    storages = {}
    for key in keys:
        kind, numel = declared[key]
        written = int.from_bytes(data[position : position + 8], "little", signed=True)
        if written != numel:
            raise CheckpointError(
                f"its storage {shorten(key)} has {written} elements, expected {numel}"
            )
        start, position = position + 8, position + 8 + storage_bytes(kind, numel)
        storages[key] = read_storage(data[start:position], kind, numel)
    return storages


def _load_once(load_storage: _LoadStorage) -> Callable[[Any], np.ndarray | Opaque]:
    """Persistent id → storage; each storage is loaded once and always under the same facts."""
    loaded: dict[str, tuple[str, int, np.ndarray]] = {}

    def load(identifier: Any) -> np.ndarray | Opaque:
        if (name := _module_class(identifier)) is not None:
            return name
        kind, key, numel = _storage_facts(identifier)
        if key not in loaded:
            loaded[key] = kind, numel, load_storage(kind, key, numel)
        if loaded[key][:2] != (kind, numel):
            raise CheckpointError(
                f"its storage {shorten(key)} is used with different types or sizes"
            )
        return loaded[key][2]

    return load


def _module_class(identifier: Any) -> Opaque | None:
    """The class in a persistent id ("module", class, source file, source text), else None."""
    if type(identifier) is not tuple or len(identifier) != 4:
        return None
    tag, kind = identifier[:2]
    return kind if type(tag) is str and tag == "module" and type(kind) is Opaque else None


def _storage_facts(identifier: Any) -> tuple[str, str, int]:
    """Takes a persistent id apart: ("storage", class, key, device, elements[, view])."""
    if type(identifier) is not tuple or len(identifier) not in (5, 6):
        raise CheckpointError("it has a persistent id of unknown form")
    tag, kind, key, _, numel = identifier[:5]
    # The type comes first: comparing an array or endless text is work that a file could repeat.
    known = type(tag) is str and tag == "storage" and type(kind) is Opaque
    known = known and kind.module in _STORAGE_MODULES and type(key) is str
    if not known or len(key) > MAX_NAME or type(numel) is not int or not 0 <= numel < 2**62:
        raise CheckpointError("it has a persistent id of unknown form")
    if any(view is not None for view in identifier[5:]):
        raise CheckpointError("it has storages that are views of others; save it with newer torch")
    return kind.name, key, numel
