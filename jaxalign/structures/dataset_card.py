"""What every data set tells about itself, and what its reader supplies to `datasets`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxalign.archives.cache import cache_root
from jaxalign.archives.fetch import Archive
from jaxalign.structures.columns import Columns
from jaxalign.structures.structure import Structure

FOLDER = "datasets"
"""Folder of the cache that holds converted data sets."""


@dataclasses.dataclass(frozen=True)
class DatasetCard:
    """Facts about a data set.

    Attributes:
      name: what `load_dataset` takes.
      description: one line.
      size: number of structures.
      views: which views its structures have: `"atoms"`, `"smiles"`, `"sequence"`, `"backbone"`.
      labels: names of the labels, with units.
      source: registry package and version.
      licence: SPDX id, as the source states it for the data.
      citation: where the data were published.
      file: name of the shipped file; None for a data set that is fetched.
      archive_sha256: SHA-256 of the archive that a fetched data set is read from.
      periodic: whether the structures are crystals, repeated along their cell vectors.
    """

    name: str
    description: str
    size: int
    views: tuple[str, ...]
    labels: tuple[str, ...]
    source: str
    licence: str
    citation: str
    file: str | None = None
    archive_sha256: str | None = None
    periodic: bool = False

    @property
    def shipped(self) -> bool:
        """Whether the data are inside this package."""
        return self.file is not None

    @property
    def fetched(self) -> bool:
        """Whether the data can be loaded without a download."""
        return self.shipped or self.cached_file.exists()

    @property
    def cached_file(self) -> Path:
        """Where the converted copy of a fetched data set lies, converted or not."""
        # Named after the archive's hash: another version of the source is another file.
        return cache_root() / FOLDER / f"{self.name}-{str(self.archive_sha256)[:16]}.npz"

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary of all fields, with `shipped` and `fetched`."""
        return {**dataclasses.asdict(self), "shipped": self.shipped, "fetched": self.fetched}


@dataclasses.dataclass(frozen=True)
class DatasetReader:
    """One row of the table of data sets: a card, and how its columns become structures.

    Attributes:
      card: facts.
      structures: `(columns, rows)` → the structures of these rows, in that order.
      rows_within: `(columns, atomic numbers)` → ascending rows made of these elements alone; None
        where no elements are known.
      counted: a column with one entry a structure.
      archive: archive of a fetched data set.
      convert: `(path of the archive, advance=…)` → columns, of a fetched data set; `advance` is
        called with the number of records read since its last call.
      records: number of records that `convert` reads, if it leaves some out; None for the size.
      unit: what the progress line counts.
      larger: name of a data set that holds more of the same, for the message when too many are
        asked for.
    """

    card: DatasetCard
    structures: Callable[[Columns, np.ndarray], Iterator[Structure]]
    rows_within: Callable[[Columns, np.ndarray], np.ndarray] | None
    counted: str = "n_atoms"
    archive: Archive | None = None
    convert: Callable[..., Columns] | None = None
    records: int | None = None
    unit: str = "molecules"
    larger: str | None = None
