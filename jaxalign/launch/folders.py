"""Folders that flags name: all processes of a run must see the same."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

import jax

from jaxalign.archives.atomic import require_writable
from jaxalign.embeddings.location import Location
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.multihost import (
    from_primary,
    is_primary_process,
    require_agreement,
)

_PATIENCE = 15.0  # seconds until a file that another machine wrote must be seen


def folder(path: str, *, remote: bool = False, flag: str = "workdir") -> Path:
    """A folder from a flag, which all processes of a run must see.

    Args:
      path: the flag; an empty one (an unset shell variable) is refused.
      remote: whether a URL is taken too; it becomes a path that stores understand.
      flag: its name, for messages.

    Raises:
      ValueError: the flag is empty or names no place for results, or processes see other folders.
    """
    if not path:
        raise ValueError(f"--{flag} is empty: name a folder")
    if Location(path).remote:
        if not remote:
            raise ValueError(
                f"--{flag}={path} must be a folder that all processes mount: stores of embeddings "
                "may lie in a bucket (`jaxalign embed`, `jaxalign align --embeddings`), but not "
                "results"
            )
    elif jax.process_count() > 1:
        _require_shared(Path(path))
    return Path(path)


def _require_shared(path: Path) -> None:
    """Process 0 leaves a mark, and the others look for it: it takes a network disk some seconds."""
    mark = path / f".{from_primary(secrets.token_hex(8))}.seen"
    try:
        with stop_together():
            if is_primary_process():
                require_writable(path)
                mark.touch()
        with stop_together():
            limit = time.monotonic() + _PATIENCE
            # Listing a folder asks the server; looking for one name may be answered from a cache.
            while mark.name not in os.listdir(path) if path.is_dir() else True:
                if time.monotonic() > limit:
                    raise ValueError(
                        f"process {jax.process_index()} does not see what process 0 writes into "
                        f"{path}: the workdir must be one folder that all machines mount"
                    )
                time.sleep(0.2)
    finally:
        if is_primary_process():
            mark.unlink(missing_ok=True)


def require_same_files(paths: Sequence[str]) -> None:
    """Names of embedding files that processes are about to read together.

    Raises:
      DisagreementError: they see others than each other.
    """
    if jax.process_count() > 1:
        with stop_together():
            names = [_names(Location(path)) for path in paths]
        require_agreement(**{"files of --embeddings": str(names)})


def _names(place: Location) -> list[str]:
    names = [name for name in place.entries() if not name.startswith(".")]
    return names or [place.name]
