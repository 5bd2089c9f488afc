"""Finished work, addressed by the hash of its inputs: graphs of models, terms of pairs."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from jaxalign.archives.atomic import atomic_write, write_json
from jaxalign.pairwise.edges import GraphStatistics

# Part of every key: raise it when the arithmetic of graphs or terms changes.
_FORMAT = 1


def content_key(**parts: Any) -> str:
    """SHA-256 of named parts; equal keys mean equal results."""
    text = json.dumps({"format": _FORMAT} | parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class GraphCache:
    """Neighbor graphs with their diagnostics; in `folder`, or in memory without one."""

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._memory: dict[str, tuple[GraphStatistics, dict]] = {}

    def get(self, key: str, *, k: int) -> tuple[GraphStatistics, dict] | None:
        """A stored graph of at least k neighbors and its diagnostics, or None."""
        if key not in self._memory and self._folder is not None:
            self._read(key)
        found = self._memory.get(key)
        if found is None or found[0].ids.shape[-1] < k:
            return None
        return found[0].first(k), found[1]

    def put(self, key: str, graph: GraphStatistics, diagnostics: dict) -> None:
        """Stores a graph; the file appears whole or not at all."""
        self._memory[key] = (graph, diagnostics)
        if self._folder is not None:
            with atomic_write(self._folder / f"{key}.npz") as file:
                np.savez(file, diagnostics=json.dumps(diagnostics), **graph._asdict())

    def _read(self, key: str) -> None:
        try:
            # Opened here: np.load leaves its own file open when the archive is damaged.
            with (
                open(self._folder / f"{key}.npz", "rb") as file,
                np.load(file, allow_pickle=False) as data,
            ):
                graph = GraphStatistics(*(data[name] for name in GraphStatistics._fields))
                self._memory[key] = (graph, json.loads(str(data["diagnostics"])))
        except (FileNotFoundError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
            # Absent, or not what was written (disk fault, foreign file): computed again.
            return


class TermCache:
    """Terms Γ of pairs by key; one JSON file, replaced whole at each `save`."""

    def __init__(self, path: Path | None):
        self._path = path
        self._terms: dict[str, float] = {}
        if path is not None and path.exists():
            try:
                self._terms = {k: float(v) for k, v in json.loads(path.read_text()).items()}
            except (ValueError, AttributeError, TypeError):
                self._terms = {}

    def get(self, key: str) -> float | None:
        """Stored term, or None."""
        return self._terms.get(key)

    def update(self, terms: dict[str, float]) -> None:
        """Adds finished terms and saves."""
        if terms:
            self._terms.update(terms)
            if self._path is not None:
                write_json(self._path, self._terms)
