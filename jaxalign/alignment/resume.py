"""Finished work, addressed by the hash of its inputs: terms of pairs, facts of models."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxalign.archives.atomic import write_json
from jaxalign.parallel.multihost import from_primary, is_primary_process

# Part of every key: raise it when the arithmetic of graphs or terms changes.
_FORMAT = 3
_SAVE_EVERY = 10.0  # seconds between writes of a growing file


def content_key(**parts: Any) -> str:
    """SHA-256 of named parts; equal keys mean equal results."""
    text = json.dumps({"format": _FORMAT} | parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class ValueCache:
    """Small finished values (terms of pairs, facts of models) by key: one JSON file a kind.

    Process 0 reads and writes the files; the others know what it knows, so all of them find the
    same work finished. All must ask for a kind first in the same order.

    Args:
      folder: where the files are; None keeps the values in memory.
      beneath: folder of another run, whose values are known here too; nothing is written there.
    """

    def __init__(self, folder: Path | None, *, beneath: Path | None = None):
        self._folder = folder
        self._beneath = beneath
        self._values: dict[str, dict[str, Any]] = {}
        self._saved: dict[str, float] = {}
        self._unsaved: set[str] = set()

    def get(self, kind: str, key: str) -> Any:
        """A stored value, or None."""
        return self._of(kind).get(key)

    def update(self, kind: str, values: Mapping[str, Any], *, last: bool = True) -> None:
        """Adds finished values.

        Args:
          kind: file name.
          values: plain JSON values by key.
          last: whether nothing more of this kind follows soon; else the file is written every few
            seconds only.
        """
        known = self._of(kind)
        known.update(values)
        if values:
            self._unsaved.add(kind)
        now = time.monotonic()
        due = last or now - self._saved.get(kind, now - _SAVE_EVERY) >= _SAVE_EVERY
        if due and kind in self._unsaved and self._folder is not None:
            if is_primary_process():
                write_json(self._folder / f"{_file_name(kind)}.json", known)
            self._saved[kind] = now
            self._unsaved.discard(kind)

    def _of(self, kind: str) -> dict[str, Any]:
        if kind not in self._values:
            folders = [folder for folder in (self._beneath, self._folder) if folder is not None]
            found = [from_primary(_read(folder, kind)) for folder in folders]
            self._values[kind] = {key: value for part in found for key, value in part.items()}
        return self._values[kind]


def _read(folder: Path, kind: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / f"{_file_name(kind)}.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _file_name(kind: str) -> str:
    return kind.replace(":", "-")
