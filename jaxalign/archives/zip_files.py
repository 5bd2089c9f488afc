"""Zip files that strangers wrote: every claim in them is checked before memory is spent on it.

Refused are what no wheel and no weight file needs and what attacks are made of: names that lead out
of a folder, two entries of one name, links and devices, encryption, decompressors that allocate
what the file tells them to, and directories so long that listing them is the attack.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from jaxalign.types import JaxalignError

# The standard library makes an object of 600 bytes out of 47 bytes of the directory.
MAX_DIRECTORY_BYTES = 8 * 2**20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x41  # flag bits: ordinary and strong encryption
_SHOWN = 200


class ZipError(JaxalignError):
    """A zip file is damaged, hostile or of a kind that no wheel and no weight file is."""


class ZipArchive:
    """An open zip file whose directory has been checked.

    Attributes:
      entries: name → what the directory says about the entry, in the directory's order.
    """

    def __init__(self, archive: zipfile.ZipFile, size: int):
        self._archive = archive
        self._size = size
        self.entries: Mapping[str, zipfile.ZipInfo] = _checked_entries(archive.infolist())

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Decompresses one entry; never makes more bytes than the directory declares.

        Args:
          name: a key of `entries`.
          max_bytes: largest size that may be declared.

        Returns:
          The bytes; their checksum has been checked.

        Raises:
          ZipError: if the entry is damaged, encrypted, too large or compressed by another method
            than deflate.
        """
        info = self.entries[name]
        _check_entry(info, max_bytes, self._size)
        try:
            with self._archive.open(info) as entry:
                data = entry.read(info.file_size + 1)  # bounds what is decompressed at a time
        except Exception as error:
            # Damaged bytes provoke errors of a dozen types; all of them say one thing.
            raise ZipError(f"the entry {shorten(name)} is damaged: {describe(error)}") from error
        if len(data) != info.file_size:
            raise ZipError(
                f"the entry {shorten(name)} declares {info.file_size:,} bytes but holds "
                f"{len(data):,}: it is damaged"
            )
        return data


@contextlib.contextmanager
def open_zip(source: bytes | str | os.PathLike[str]) -> Iterator[ZipArchive]:
    """Opens a zip file and checks its directory.

    Args:
      source: the file's bytes, or its path.

    Yields:
      The archive, closed afterwards.

    Raises:
      ZipError: if it is no zip file, or its directory has what no honest one has.
      OSError: if the path cannot be opened.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        bounded = _BoundedFile(file)
        try:
            archive = zipfile.ZipFile(bounded)
        except ZipError:
            raise
        except Exception as error:
            raise ZipError(f"it is no sound zip file: {describe(error)}") from error
        bounded.limit = None
        yield ZipArchive(archive, file.seek(0, os.SEEK_END))


def shorten(text: object) -> str:
    """The representation of a text from a file, cut to a length that fits into a message."""
    shown = repr(text[:_SHOWN]) if isinstance(text, str | bytes) else repr(text)
    return shown if len(shown) <= 2 * _SHOWN else f"{shown[: 2 * _SHOWN]}…"


def describe(error: BaseException) -> str:
    """Type and message of a foreign error in one line; a hostile file may be quoted in it."""
    return f"{type(error).__name__}: {printable(str(error))}".removesuffix(": ")


def printable(text: str) -> str:
    """The text in one line, cut; a terminal would obey control characters out of a file."""
    cut = text if len(text) <= 2 * _SHOWN else f"{text[: 2 * _SHOWN]}…"
    return " ".join("".join(c if c.isprintable() else " " for c in cut).split())


class _BoundedFile:
    """A binary file that refuses to read much at once, for as long as `limit` is a number."""

    def __init__(self, file: io.BufferedIOBase):
        self._file = file
        self.limit: int | None = MAX_DIRECTORY_BYTES
        self.seek, self.tell, self.close = file.seek, file.tell, file.close
        self.seekable = file.seekable

    def read(self, count: int = -1) -> bytes:
        if self.limit is not None and count > self.limit:
            raise ZipError(f"its directory claims {count:,} bytes, at most {self.limit:,} are read")
        return self._file.read(count)


def _checked_entries(infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename
        if name in entries:
            raise ZipError(f"two of its zip entries have the same name, {shorten(name)}")
        if _leads_out(name):
            raise ZipError(f"the name of its entry {shorten(name)} leads out of any folder")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ZipError(f"its entry {shorten(name)} is a link or a device, not a file")
        entries[name] = info
    return entries


def _leads_out(name: str) -> bool:
    # On Windows a backslash separates folders, and "C:" is a drive.
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return not parts or parts[0] == "/" or ".." in parts or re.match("[A-Za-z]:", name) is not None


def _check_entry(info: zipfile.ZipInfo, max_bytes: int, archive_bytes: int) -> None:
    name = shorten(info.filename)
    if info.flag_bits & _ENCRYPTED:
        raise ZipError(f"the entry {name} is encrypted; save the file without a password")
    if info.compress_type not in _METHODS:
        raise ZipError(
            f"the entry {name} is compressed by method {info.compress_type}; "
            "only stored and deflated entries are read"
        )
    if info.file_size > max_bytes:
        raise ZipError(f"the entry {name} has {info.file_size:,} bytes, at most {max_bytes:,}")
    if info.compress_size > archive_bytes:
        raise ZipError(f"the entry {name} claims more bytes than the archive has: it is damaged")
