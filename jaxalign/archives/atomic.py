"""Files that are either the old or the new ones, never half-written, whenever the process dies."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from jaxalign.types import JaxalignError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StorageError(JaxalignError):
    """A file or folder cannot be written: read-only, no permission, disk full."""


def _storage_error(path: Path, error: OSError) -> StorageError:
    mend = "free some space" if error.errno in _FULL else "choose a place that can be written"
    return StorageError(f"cannot write {path}: {error.strerror or error}; {mend}")


def _open_beside(path: Path, mode: str, encoding: str | None) -> tuple[Path, IO[Any]]:
    """Opens a new hidden file in the folder of `path`; unlike `tempfile`, it obeys the umask."""
    beside = path.parent / f".{path.name[:100]}.{secrets.token_hex(6)}.tmp"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    newline = None if "b" in mode else "\n"
    return beside, open(descriptor, mode, encoding=encoding, newline=newline)


def _sync_folder(folder: Path) -> None:
    # The rename itself must reach the disk; file systems that cannot sync a folder may decline.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def atomic_write(
    path: str | os.PathLike[str], *, mode: str = "wb", encoding: str = "utf-8"
) -> Iterator[IO[Any]]:
    """Opens a file for writing that appears under its name whole, or not at all.

    The content goes to a temporary file in the same folder, is synced to disk and renamed when
    the block ends; if the block raises, the temporary file is removed and an older file stays.
    Missing parent folders are created; a symbolic link stays one and its target is replaced.

    Args:
      path: the file to write.
      mode: `"wb"` for bytes or `"w"` for text.
      encoding: of text; lines end with a line feed on every platform.

    Yields:
      The open file object; it can seek, and need not be closed.

    Raises:
      StorageError: if the place cannot be written or the disk is full.
      ValueError: for another mode.
    """
    if mode not in ("wb", "w"):
        raise ValueError(f"atomic_write writes whole files: mode must be 'wb' or 'w', got {mode!r}")
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        beside, file = _open_beside(target, mode, None if mode == "wb" else encoding)
    except OSError as error:
        raise _storage_error(target, error) from error
    try:
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            # Only a full disk is this file's affair: other errors of the block are the caller's.
            if error.errno not in _FULL:
                raise
            raise _storage_error(target, error) from error
        try:
            os.replace(beside, target)
        except OSError as error:
            raise _storage_error(target, error) from error
    finally:
        beside.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"cannot write a {type(value).__name__} as JSON; convert it to plain values")


def write_json(path: str | os.PathLike[str], obj: Any) -> None:
    """Writes `obj` as indented JSON, atomically.

    NumPy scalars, arrays and paths become plain values; NaN and infinities are written as Python's
    `json` reads them back (`NaN`, `Infinity`).

    Args:
      path: the file to write.
      obj: nested dicts, lists and plain values.

    Raises:
      StorageError: if the place cannot be written or the disk is full.
      TypeError: for a value that JSON cannot hold; nothing is written then.
    """
    text = json.dumps(obj, indent=2, ensure_ascii=False, default=_plain)
    with atomic_write(path, mode="w") as file:
        file.write(text + "\n")


def require_writable(folder: str | os.PathLike[str]) -> None:
    """Creates a folder and proves that files can be written there, before any work is spent.

    Args:
      folder: the folder.

    Raises:
      StorageError: if it cannot be created or written.
    """
    probe = Path(folder) / f".probe.{secrets.token_hex(6)}.tmp"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _storage_error(Path(folder), error) from error
