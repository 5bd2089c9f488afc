"""Reads single files out of a wheel. Nothing is extracted to disk, nothing is imported."""

from __future__ import annotations

import difflib
import hashlib
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from jaxalign.archives.fetch import ArchiveError

_DEFAULT_MAX_BYTES = 512 * 2**20


def list_entries(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Names of all files in the archive, in the archive's order.

    Args:
      path: a wheel or any other zip file.

    Returns:
      Names with forward slashes; folders are left out.

    Raises:
      ArchiveError: if the file cannot be read as a zip file.
    """
    with _open(path) as archive:
        return tuple(info.filename for info in archive.infolist() if not info.is_dir())


def read_entry(
    path: str | os.PathLike[str],
    name: str,
    *,
    max_bytes: int = _DEFAULT_MAX_BYTES,
    sha256: str | None = None,
) -> bytes:
    """Reads one file of the archive into memory.

    Args:
      path: a wheel or any other zip file; check its hash first (`fetch` does).
      name: the entry's full name inside the archive.
      max_bytes: largest decompressed size that is accepted; neither the size that the archive
        declares nor the bytes that really come out may be larger.
      sha256: if given, the SHA-256 that the decompressed bytes must have, hexadecimal.

    Returns:
      The decompressed bytes.

    Raises:
      ArchiveError: if the archive or the entry is damaged, absent, too large or another one.
    """
    with _open(path) as archive:
        try:
            info = archive.getinfo(name)
        except KeyError:
            raise ArchiveError(_absent_message(path, name, archive.namelist())) from None
        if info.file_size > max_bytes:
            raise ArchiveError(_large_message(path, name, f"{info.file_size:,}", max_bytes))
        try:
            with archive.open(info) as entry:
                data = entry.read(max_bytes + 1)
        except _DAMAGE as error:
            raise ArchiveError(f"cannot read {name!r} in {path}: {error}") from error
    if len(data) > max_bytes:
        raise ArchiveError(_large_message(path, name, f"more than {max_bytes:,}", max_bytes))
    if len(data) != info.file_size:
        raise ArchiveError(
            f"{name!r} in {path} declares {info.file_size:,} bytes but holds {len(data):,}: "
            "the archive is damaged; delete it, so that it is fetched again"
        )
    _check_hash(path, name, data, sha256)
    return data


# What zipfile raises on damaged, encrypted or exotically compressed entries.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError)


def _open(path: str | os.PathLike[str]) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise ArchiveError(f"there is no archive {path}; fetch it first") from error
    except (*_DAMAGE, ValueError) as error:
        raise ArchiveError(f"cannot read {path} as a zip archive: {error}") from error


def _absent_message(path: str | os.PathLike[str], name: str, names: Sequence[str]) -> str:
    same_file = [other for other in names if PurePosixPath(other).name == PurePosixPath(name).name]
    close = (same_file or difflib.get_close_matches(name, names, n=3, cutoff=0.5))[:3]
    hint = f"the nearest are {', '.join(close)}" if close else f"it holds {len(names)} others"
    return f"{Path(path).name} has no entry {name!r}; {hint}"


def _large_message(path: str | os.PathLike[str], name: str, size: str, max_bytes: int) -> str:
    return (
        f"{name!r} in {path} has {size} bytes, at most {max_bytes:,} are accepted; "
        "if the archive is trusted, pass a larger max_bytes"
    )


def _check_hash(path: str | os.PathLike[str], name: str, data: bytes, expected: str | None) -> None:
    if expected is None:
        return
    actual = hashlib.sha256(data).hexdigest()
    if actual != expected:
        raise ArchiveError(
            f"{name!r} in {path} has SHA-256 {actual}, expected {expected}: "
            "it is another file than the one this reader was written for"
        )
