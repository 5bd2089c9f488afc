"""Where fetched archives live, and the one message a user sees when that place does not work."""

from __future__ import annotations

import os
from pathlib import Path

from jaxalign.archives.atomic import StorageError

CACHE_VARIABLE = "JAXALIGN_CACHE"


def cache_root() -> Path:
    """Path of the cache: `$JAXALIGN_CACHE`, `$XDG_CACHE_HOME/jaxalign` or `~/.cache/jaxalign`.

    Nothing is created: a complete cache may be shared and read-only. `cache_folder` creates.

    Returns:
      An absolute path, which need not exist.

    Raises:
      StorageError: if no variable is set and the home folder is unknown.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    # The XDG specification: a relative path in XDG_CACHE_HOME is invalid and must be ignored.
    if os.path.isabs(base := os.environ.get("XDG_CACHE_HOME", "")):
        return Path(base) / "jaxalign"
    try:
        return Path.home() / ".cache" / "jaxalign"
    except RuntimeError as error:
        raise StorageError(
            f"no cache folder: the home folder is unknown ({error}); "
            f"set {CACHE_VARIABLE} to a folder that can be written"
        ) from error


def cache_folder(name: str) -> Path:
    """Returns the subfolder `name` of the cache, created and open for writing.

    Args:
      name: one folder name, e.g. `"archives"`.

    Returns:
      The absolute path of the existing folder.

    Raises:
      StorageError: if the folder cannot be created or written.
    """
    folder = cache_root() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(folder, os.W_OK | os.X_OK) else "permission denied"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason is not None:
        raise StorageError(
            f"cannot write to the cache folder {folder}: {reason}; "
            f"set {CACHE_VARIABLE} to a folder that can be written"
        )
    return folder
