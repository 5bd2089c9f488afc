"""The data set `core-mofs`: metal-organic frameworks with all solvent removed, fetched.

One wheel holds them as CIF files in a compressed tar file beside a table of pore sizes; they are
converted once, to one npz file in the cache. Scaled positions are rounded to 1e-6; the files give
five decimals. Of the 12,020 frameworks 828 are left out: the disorder of the experiment is still in
their files, as atoms less than 0.5 Å from each other.

References:
  Chung et al., Advances, updates, and analytics for the computation-ready, experimental
  metal-organic framework database: CoRE MOF 2019, J. Chem. Eng. Data 64, 5985 (2019).
"""

from __future__ import annotations

import csv
import io
import tarfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import vesin

from jaxalign.archives.entries import read_entry
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.structures.cif_p1 import P1Cell, parse_p1
from jaxalign.structures.columns import (
    Columns,
    crystals,
    join_atoms,
    rows_within,
    scaled_to_integers,
)
from jaxalign.structures.dataset_card import DatasetCard, DatasetReader
from jaxalign.structures.structure import Structure
from jaxalign.types import JaxalignError

FILES = 12_020
"""Frameworks in the archive."""
ROWS = 11_192
"""Frameworks without overlapping atoms: what the data set holds."""
CIF_ENTRY = "CoRE_MOF/data/2019-ASR.tar.xz"
TABLE_ENTRY = "CoRE_MOF/data/2019-ASR.csv"

_MAX_BYTES = 64 * 2**20  # of the compressed tar file
_MAX_CIF = 4 * 2**20  # of one CIF file
_OVERLAP = 0.5  # Å; the shortest bond, of H₂, is 0.74
_SEARCH = 2.0  # Å; the neighbor search is slow for cutoffs far below the distance of atoms
_REPORT_EVERY = 50
# label → column of the archive's table
_LABELS = {
    "largest_cavity_diameter_angstrom": "LCD",
    "pore_limiting_diameter_angstrom": "PLD",
    "accessible_area_m2_per_g": "ASA_m2_g",
    "void_fraction": "AV_VF",
}
_ARCHIVE = ARCHIVES["core-mof"]


def read_core_mof(wheel: Path, *, advance: Callable[[int], None] = lambda count: None) -> Columns:
    """Reads all frameworks out of the core-mof wheel.

    Args:
      wheel: the wheel; opened, never imported.
      advance: called with the number of frameworks read since the last call.

    Returns:
      `n_atoms [n]`, flat `atomic_numbers [atoms]` and `scaled_positions_1e6 [atoms, 3]` (integers),
      `cell_A [n, 3, 3]`, `name [n]` and the four labels.

    Raises:
      JaxalignError: if the archive is not what this reader knows.
    """
    table = _table(wheel)
    names: list[str] = []
    cells: list[P1Cell] = []
    for count, (name, text) in enumerate(_cif_files(wheel), start=1):
        if count % _REPORT_EVERY == 0:
            advance(_REPORT_EVERY)
        cell = _cell(name, text)
        if not _has_overlap(cell):
            names.append(name)
            cells.append(cell)
    if count != FILES or len(names) != ROWS:
        raise JaxalignError(
            f"{wheel}: expected {FILES:,} frameworks, {ROWS:,} of them without overlapping atoms; "
            f"found {count:,} and {len(names):,}"
        )
    advance(count % _REPORT_EVERY)
    scaled = np.concatenate([cell.scaled_positions for cell in cells])
    return {
        **join_atoms([cell.atomic_numbers for cell in cells]),
        "scaled_positions_1e6": scaled_to_integers(scaled),
        "cell_A": np.stack([cell.cell for cell in cells]),
        "name": np.array(names),
        **{
            label: np.array([float(table[name][column]) for name in names])
            for label, column in _LABELS.items()
        },
    }


def structures(columns: Columns, rows: np.ndarray) -> Iterator[Structure]:
    """The frameworks `rows` as records, with ids `core-mofs/{name of the file}`."""
    labels = {label: label for label in _LABELS}
    return crystals(columns, rows, prefix="core-mofs", name="name", labels=labels)


def _table(wheel: Path) -> Mapping[str, Mapping[str, str]]:
    text = read_entry(wheel, TABLE_ENTRY, max_bytes=_MAX_BYTES).decode()
    return {row["filename"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}


def _cif_files(wheel: Path) -> Iterator[tuple[str, str]]:
    packed = io.BytesIO(read_entry(wheel, CIF_ENTRY, max_bytes=_MAX_BYTES))
    with tarfile.open(fileobj=packed, mode="r|xz") as files:
        for member in files:
            path = PurePosixPath(member.name)
            if not member.isfile() or path.suffix != ".cif":
                continue
            stream = files.extractfile(member)
            if member.size > _MAX_CIF or stream is None:
                raise JaxalignError(f"{wheel}: {path} has {member.size:,} bytes: not a framework")
            yield path.stem, stream.read().decode()


def _cell(name: str, text: str) -> P1Cell:
    # Eight files have symmetry operations: those go the general, slow way.
    return parse_p1(text) or _cell_with_symmetry(name, text)


def _cell_with_symmetry(name: str, text: str) -> P1Cell:
    import ase.io  # slow to import: only where it is used

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="crystal system")  # it is in lower case
        try:
            atoms = ase.io.read(io.StringIO(text), format="cif")
        except Exception as error:  # the parser raises nearly every exception type
            raise JaxalignError(f"cannot read {name}.cif: {error}") from error
    return P1Cell(
        atomic_numbers=atoms.numbers,
        scaled_positions=atoms.get_scaled_positions(wrap=False),
        cell=atoms.cell.array,
    )


def _has_overlap(cell: P1Cell) -> bool:
    distances = vesin.NeighborList(cutoff=_SEARCH, full_list=False).compute(
        points=cell.scaled_positions @ cell.cell, box=cell.cell, periodic=True, quantities="d"
    )[0]
    return bool(distances.min(initial=_SEARCH) < _OVERLAP)


DATASETS = (
    DatasetReader(
        card=DatasetCard(
            name="core-mofs",
            description="11,192 metal-organic frameworks (CoRE MOF 2019), all solvent removed",
            size=ROWS,
            views=("atoms",),
            labels=tuple(_LABELS),
            source=_ARCHIVE.requirement,
            licence="CC-BY-4.0",
            citation="Chung et al., J. Chem. Eng. Data 64, 5985 (2019)",
            archive_sha256=_ARCHIVE.sha256,
            periodic=True,
        ),
        structures=structures,
        rows_within=rows_within,
        archive=_ARCHIVE,
        convert=read_core_mof,
        records=FILES,
        unit="files",
    ),
)
