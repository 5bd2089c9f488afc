"""Neighbor graphs of models, in memory or on disk, written by one process or by several.

    graphs/KEY.json                  k, number of rows, diagnostics, check sums of the parts
    graphs/KEY/k25.rows0.ids.npy     one file a field and part; every process writes its rows

The JSON file is written last, by process 0, when all parts are on disk: without it no part is
trusted. Arrays are plain .npy: rows of them can be read without the rest.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import weakref
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from jaxalign.archives.atomic import atomic_write, write_json
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.parallel.multihost import (
    all_true,
    exchange_objects,
    is_primary_process,
    merge,
    my_share,
    wait_for_all,
)


@dataclasses.dataclass(frozen=True, eq=False)
class NeighborIds:
    """Neighbor ids of a stored graph, read by rows: a whole graph is never held.

    Attributes:
      parts: mapped arrays `[rows, stored k]`, one after the other.
      k: neighbors that are read.
    """

    parts: tuple[Int32[np.ndarray, "_ _"], ...]
    k: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and neighbors."""
        return sum(len(part) for part in self.parts), self.k

    def read(self, start: int, stop: int) -> Int32[np.ndarray, "rows k"]:
        """Ids of rows `start:stop`."""
        found, first = [], 0
        for part in self.parts:
            low, high = max(start - first, 0), min(stop - first, len(part))
            if low < high:
                found.append(np.array(part[low:high, : self.k]))
            first += len(part)
        return np.concatenate(found) if found else np.empty((0, self.k), np.int32)


class GraphCache:
    """Graphs with their diagnostics by key: files in a folder, or in memory without one.

    All processes must ask and store in the same order.

    Args:
      folder: where the files are, seen by all processes; None keeps graphs in memory.
      temporary: without a folder, each process uses a temporary one of its own that lives as long
        as this cache.
      beneath: folder of another run: graphs that are not here are read there; nothing is written
        there.
    """

    def __init__(
        self, folder: Path | None, *, temporary: bool = False, beneath: Path | None = None
    ):
        self._folder, self._shared = folder, folder is not None
        self._beneath = None if beneath is None else GraphCache(beneath)
        if folder is None and temporary:
            self._folder = Path(tempfile.mkdtemp(prefix="jaxalign-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._memory: dict[str, tuple[GraphStatistics, dict]] = {}

    def get(self, key: str, *, k: int) -> tuple[GraphStatistics, dict] | None:
        """A stored graph of at least k neighbors and its diagnostics, or None.

        None on every process if any of them cannot read it.
        """
        if self._folder is None:
            found = self._memory.get(key)
        else:
            found = self._read(key, k)
            found = found if all_true(found is not None) else None
        if found is None or found[0].ids.shape[-1] < k:
            return None if self._beneath is None else self._beneath.get(key, k=k)
        return found[0].first(k), found[1]

    def ids(self, key: str, *, k: int) -> Int32[np.ndarray, "n k"] | NeighborIds:
        """Neighbor ids alone of a graph that `get` has found: an array in memory, or on disk."""
        if self._folder is None and key in self._memory:
            return self._memory[key][0].ids[:, :k]
        record = None if self._folder is None else self._record(key)
        if self._beneath is not None and (record is None or record["k"] < k):
            return self._beneath.ids(key, k=k)
        return NeighborIds(self._parts(key, record, "ids", mapped=True), k)

    def put(self, key: str, graph: GraphStatistics, diagnostics: dict[str, Any]) -> None:
        """Stores a graph that every process has whole."""
        if self._folder is None:
            self._memory[key] = (graph, diagnostics)
            return
        n = len(graph.ids)
        if not self._shared:
            self._commit(key, graph, self._write(key, graph, range(n)), diagnostics)
            return
        sums = exchange_objects(self._write(key, graph, my_share(range(n))))
        if is_primary_process():
            self._commit(key, graph, merge(sums), diagnostics)
        wait_for_all(f"graph {key}")

    def _write(self, key: str, graph: GraphStatistics, rows: range) -> dict[str, int]:
        """Writes some rows; returns the check sum of each file."""
        sums = {}
        for field, values in graph._asdict().items() if len(rows) else ():
            name = _name(graph.ids.shape[1], rows.start, field)
            part = np.ascontiguousarray(values[rows.start : rows.stop])
            sums[name] = zlib.crc32(part)
            with atomic_write(self._folder / key / name) as file:
                np.save(file, part)
        return sums

    def _commit(self, key: str, graph: GraphStatistics, sums: dict[str, int], diagnostics) -> None:
        earlier, (n, k) = self._record(key), graph.ids.shape
        record = {"k": k, "n": n, "files": sums, "diagnostics": diagnostics}
        write_json(self._folder / f"{key}.json", record)
        for name in set(earlier["files"] if earlier else ()) - set(sums):
            (self._folder / key / name).unlink(missing_ok=True)

    def _record(self, key: str) -> dict | None:
        try:
            return json.loads((self._folder / f"{key}.json").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _read(self, key: str, k: int) -> tuple[GraphStatistics, dict] | None:
        record = self._record(key)
        try:
            if record is None or record["k"] < k:
                return None
            graph = GraphStatistics(
                *(np.concatenate(self._parts(key, record, f)) for f in GraphStatistics._fields)
            )
            whole = graph.ids.shape == (record["n"], record["k"])
            return (graph, record["diagnostics"]) if whole else None
        except (OSError, ValueError, KeyError, EOFError, TypeError):
            # Absent, or not what was written (disk fault, foreign file): computed again.
            return None

    def _parts(self, key: str, record: dict, field: str, *, mapped: bool = False) -> tuple:
        starts = sorted({int(name.split(".")[1].removeprefix("rows")) for name in record["files"]})
        parts = []
        for name in (_name(record["k"], start, field) for start in starts):
            mode = "r" if mapped else None
            part = np.load(self._folder / key / name, mmap_mode=mode, allow_pickle=False)
            if not mapped and zlib.crc32(part) != record["files"][name]:
                raise ValueError(f"{name} is not what was written")
            parts.append(part)
        return tuple(parts)


def _name(k: int, start: int, field: str) -> str:
    return f"k{k}.rows{start}.{field}.npy"
