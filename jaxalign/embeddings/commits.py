"""Which chunks of a store can be trusted: one small file a chunk, so that writers never collide.

`commits/START.json` holds the SHA-256 of the chunk that begins at row START. It is put after the
data are in place. Once every chunk has one, all of them move into the manifest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from jaxalign.embeddings.location import Location

COMMITS = "commits"

_NAME = re.compile(rf"{COMMITS}/(\d+)\.json")


def read_commits(location: Location) -> dict[int, str]:
    """First row → SHA-256 of every chunk that has a file of its own."""
    names = [name for name in location.names(COMMITS) if _NAME.fullmatch(name)]
    found = {}
    for name, content in zip(names, location.read_all(names), strict=True):
        digest = _parse(content)
        if digest:
            found[int(_NAME.fullmatch(name)[1])] = digest
    return found


def write_commits(location: Location, commits: Mapping[int, str]) -> None:
    """Commits chunks whose data are in place.

    Raises:
      StorageError: the place cannot be written.
    """
    for start, digest in commits.items():
        location.write(_name(start), json.dumps({"sha256": digest}).encode())


def remove_commits(location: Location, starts: Iterable[int]) -> None:
    """Removes the files of some chunks.

    Raises:
      StorageError: the place cannot be written.
    """
    location.remove([_name(start) for start in starts])


def clear_commits(location: Location) -> None:
    """Removes the files of all chunks.

    Raises:
      StorageError: the place cannot be written.
    """
    location.remove(location.names(COMMITS))


def _name(start: int) -> str:
    return f"{COMMITS}/{start}.json"


def _parse(content: bytes | None) -> str | None:
    """The digest; a file that vanished or cannot be read commits nothing."""
    try:
        digest = json.loads(content or b"null")["sha256"]
    except (ValueError, TypeError, KeyError):
        return None
    return digest if isinstance(digest, str) else None
