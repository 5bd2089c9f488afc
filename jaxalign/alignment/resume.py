"""Finished work, addressed by the hash of its inputs: graphs of models, terms of pairs."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import weakref
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxalign.archives.atomic import atomic_write, write_json
from jaxalign.pairwise.edges import GraphStatistics

# Part of every key: raise it when the arithmetic of graphs or terms changes.
_FORMAT = 2
_SAVE_EVERY = 10.0  # seconds between writes of a growing file


def content_key(**parts: Any) -> str:
    """SHA-256 of named parts; equal keys mean equal results."""
    text = json.dumps({"format": _FORMAT} | parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class GraphCache:
    """Neighbor graphs with their diagnostics: files in `folder`, or in memory without one.

    Args:
      folder: where the files are; None keeps graphs in memory.
      temporary: without a folder, use a temporary one that lives as long as this cache.
    """

    def __init__(self, folder: Path | None, *, temporary: bool = False):
        self._folder = folder
        if folder is None and temporary:
            self._folder = Path(tempfile.mkdtemp(prefix="jaxalign-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._memory: dict[str, tuple[GraphStatistics, dict]] = {}

    def get(self, key: str, *, k: int) -> tuple[GraphStatistics, dict] | None:
        """A stored graph of at least k neighbors and its diagnostics, or None."""
        found = self._memory.get(key) if self._folder is None else self._read(key)
        if found is None or found[0].ids.shape[-1] < k:
            return None
        return found[0].first(k), found[1]

    def put(self, key: str, graph: GraphStatistics, diagnostics: dict) -> None:
        """Stores a graph; the file appears whole or not at all."""
        if self._folder is None:
            self._memory[key] = (graph, diagnostics)
            return
        with atomic_write(self._folder / f"{key}.npz") as file:
            np.savez(file, diagnostics=json.dumps(diagnostics), **graph._asdict())

    def _read(self, key: str) -> tuple[GraphStatistics, dict] | None:
        try:
            # Opened here: np.load leaves its own file open when the archive is damaged.
            with (
                open(self._folder / f"{key}.npz", "rb") as file,
                np.load(file, allow_pickle=False) as data,
            ):
                graph = GraphStatistics(*(data[name] for name in GraphStatistics._fields))
                return graph, json.loads(str(data["diagnostics"]))
        except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
            # Absent, or not what was written (disk fault, foreign file): computed again.
            return None


class ValueCache:
    """Small finished values (terms of pairs, facts of models) by key: one JSON file a kind.

    Args:
      folder: where the files are; None keeps the values in memory.
    """

    def __init__(self, folder: Path | None):
        self._folder = folder
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
            write_json(self._folder / f"{_file_name(kind)}.json", known)
            self._saved[kind] = now
            self._unsaved.discard(kind)

    def _of(self, kind: str) -> dict[str, Any]:
        if kind not in self._values:
            self._values[kind] = {} if self._folder is None else self._read(kind)
        return self._values[kind]

    def _read(self, kind: str) -> dict[str, Any]:
        try:
            found = json.loads((self._folder / f"{_file_name(kind)}.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _file_name(kind: str) -> str:
    return kind.replace(":", "-")
