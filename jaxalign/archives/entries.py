"""Reads single files out of a wheel. Nothing is extracted to disk, nothing is imported."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from jaxalign.archives.fetch import ArchiveError
from jaxalign.archives.zip_files import ZipArchive, ZipError, open_zip

_DEFAULT_MAX_BYTES = 512 * 2**20
_USUAL_NAME, _COMPARED = 200, 5000


def list_entries(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Names of all files in the archive, in the archive's order.

    Args:
      path: a wheel or any other zip file.

    Returns:
      Names with forward slashes; folders are left out.

    Raises:
      ArchiveError: if the file cannot be read as a zip file, or is a hostile one (see `open_zip`).
    """
    with _open(path) as archive:
        return tuple(name for name, info in archive.entries.items() if not info.is_dir())


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
      max_bytes: largest size that the archive may declare; no more than it declares is ever
        decompressed.
      sha256: if given, the SHA-256 that the decompressed bytes must have, hexadecimal.

    Returns:
      The decompressed bytes.

    Raises:
      ArchiveError: if the archive is damaged or hostile, or the entry is damaged, absent, too
        large or another one.
    """
    with _open(path) as archive:
        if name not in archive.entries:
            raise ArchiveError(_absent_message(path, name, list(archive.entries)))
        size = archive.entries[name].file_size
        if size > max_bytes:
            raise ArchiveError(_large_message(path, name, size, max_bytes))
        data = archive.read(name, max_bytes=max_bytes)
    _check_hash(path, name, data, sha256)
    return data


@contextlib.contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[ZipArchive]:
    try:
        with open_zip(path) as archive:
            yield archive
    except FileNotFoundError as error:
        raise ArchiveError(f"there is no archive {path}; fetch it first") from error
    except (ZipError, OSError) as error:
        raise ArchiveError(
            f"cannot read {path} as a zip archive: {error}; delete it, so that it is fetched again"
        ) from error


def _absent_message(path: str | os.PathLike[str], name: str, names: Sequence[str]) -> str:
    # A few names of usual length: comparing all of a hostile archive would take hours.
    usual = [other for other in names if len(other) <= _USUAL_NAME and other.isprintable()][
        :_COMPARED
    ]
    same_file = [other for other in usual if PurePosixPath(other).name == PurePosixPath(name).name]
    close = (same_file or difflib.get_close_matches(name, usual, n=3, cutoff=0.5))[:3]
    hint = f"the nearest are {', '.join(close)}" if close else f"it holds {len(names)} others"
    return f"{Path(path).name} has no entry {name!r}; {hint}"


def _large_message(path: str | os.PathLike[str], name: str, size: int, max_bytes: int) -> str:
    return (
        f"{name!r} in {path} has {size:,} bytes, at most {max_bytes:,} are accepted; "
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
