"""The data sets `qm9` (10,000 molecules, shipped) and `qm9-full` (130,831, fetched).

Both keep coordinates rounded to 1e-4 Å, so that a molecule is the same, bit for bit, whichever of
the two it comes from.

References:
  Ramakrishnan et al., Quantum chemistry structures and properties of 134 kilo molecules,
  Sci. Data 1, 140022 (2014).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ase.data
import numpy as np

from jaxalign.archives.entries import read_entry
from jaxalign.archives.pinned import ARCHIVES
from jaxalign.structures.columns import Columns, join_atoms, rows_within, starts
from jaxalign.structures.dataset_card import DatasetCard, DatasetReader
from jaxalign.structures.structure import Structure
from jaxalign.types import JaxalignError

ROWS = 130_831
ENTRIES = tuple(f"qm9pack/data/qm9_part{part}.csv" for part in (1, 2, 3))

_PER_ANGSTROM = 10_000  # coordinates are stored as integers
_GAP_DECIMALS = 4  # the source gives orbital energies to 1e-4 hartree; float32 storage adds noise
_MAX_BYTES = 100 * 2**20
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)
_SYMBOL = re.compile(r"[A-Z][a-z]?")
_REPORT_EVERY = 2_000


def read_qm9pack(wheel: Path, *, advance: Callable[[int], None] = lambda count: None) -> Columns:
    """Reads all molecules out of the qm9pack wheel.

    Args:
      wheel: the wheel; opened, never imported.
      advance: called with the number of molecules read since the last call.

    Returns:
      `n_atoms [n]`, flat `atomic_numbers [atoms]` and `positions_1e4A [atoms, 3]` (integers, in
      1e-4 Å), `smiles [n]`, `row [n]` (0-based row of the concatenated csv files), `u0_hartree [n]`
      and `gap_hartree [n]`.

    Raises:
      JaxalignError: if a row is not what this reader knows.
    """
    numbers, positions, smiles, u0, gap = [], [], [], [], []
    for row, record in enumerate(_records(wheel)):
        atoms, xyz = _geometry(record, row)
        numbers.append(atoms)
        positions.append(xyz)
        smiles.append(record["SMILES"])
        u0.append(float(record["InternalEnergy_0K_au"]))
        gap.append(float(record["HOMO_LUMO_gap_au"]))
        if (row + 1) % _REPORT_EVERY == 0:
            advance(_REPORT_EVERY)
    advance(len(smiles) % _REPORT_EVERY)
    if len(smiles) != ROWS:
        raise JaxalignError(f"{wheel}: expected {ROWS:,} molecules, found {len(smiles):,}")
    return {
        **join_atoms(numbers),
        "positions_1e4A": np.concatenate(positions),
        "smiles": np.array(smiles),
        "row": np.arange(ROWS, dtype=np.int32),
        "u0_hartree": np.array(u0, dtype=np.float64),
        "gap_hartree": np.array(gap, dtype=np.float32),
    }


def take_rows(columns: Columns, rows: np.ndarray) -> Columns:
    """The molecules `rows`, in that order.

    Args:
      columns: as `read_qm9pack` returns them.
      rows: positions in `columns`.

    Returns:
      Columns of the same names.
    """
    first = starts(columns)
    flat = np.concatenate([np.arange(first[row], first[row + 1]) for row in rows])
    per_atom = ("atomic_numbers", "positions_1e4A")
    taken = {key: value[flat if key in per_atom else rows] for key, value in columns.items()}
    # Strings become no wider than the widest that is left.
    return {**taken, "smiles": np.array(taken["smiles"].tolist())}


def structures(columns: Columns, rows: np.ndarray) -> Iterator[Structure]:
    """The molecules `rows` as records, with ids `qm9/{row of the source}`.

    Args:
      columns: as `read_qm9pack` returns them.
      rows: positions in `columns`.

    Yields:
      Structures with atoms, positions in Å, SMILES, and labels in hartree.
    """
    first = starts(columns)
    for row in rows.tolist():
        atoms = slice(first[row], first[row + 1])
        yield Structure(
            id=f"qm9/{columns['row'][row]}",
            atomic_numbers=columns["atomic_numbers"][atoms].astype(np.int32),
            positions=columns["positions_1e4A"][atoms] / _PER_ANGSTROM,
            smiles=str(columns["smiles"][row]),
            labels={
                "u0_hartree": float(columns["u0_hartree"][row]),
                "gap_hartree": round(float(columns["gap_hartree"][row]), _GAP_DECIMALS),
            },
        )


def _records(wheel: Path) -> Iterator[dict[str, str]]:
    for entry in ENTRIES:
        text = read_entry(wheel, entry, max_bytes=_MAX_BYTES).decode()
        yield from csv.DictReader(io.StringIO(text, newline=""))


def _geometry(record: Mapping[str, str], row: int) -> tuple[np.ndarray, np.ndarray]:
    symbols = _SYMBOL.findall(record["Elements"])
    # Not always valid JSON ("1." is common), and exponents may be spelled *^.
    values = [float(text) for text in _NUMBER.findall(record["XYZ_Ang"].replace("*^", "e"))]
    if not symbols or len(values) != 3 * len(symbols) or len(symbols) != int(record["N_atoms"]):
        raise JaxalignError(
            f"qm9pack row {row} ({record['XYZ_file']}): {record['N_atoms']} atoms announced, "
            f"{len(symbols)} symbols and {len(values)} coordinates found"
        )
    numbers = np.array([ase.data.atomic_numbers[symbol] for symbol in symbols])
    xyz = np.rint(np.array(values).reshape(-1, 3) * _PER_ANGSTROM).astype(np.int32)
    return numbers, xyz


def _reader(name: str, **facts: Any) -> DatasetReader:
    fetched = name == "qm9-full"
    archive = ARCHIVES["qm9pack"]
    return DatasetReader(
        card=DatasetCard(
            name=name,
            views=("atoms", "smiles"),
            labels=("u0_hartree", "gap_hartree"),
            source=archive.requirement,
            licence=archive.licence,
            citation="Ramakrishnan et al., Sci. Data 1, 140022 (2014)",
            archive_sha256=archive.sha256 if fetched else None,
            **facts,
        ),
        structures=structures,
        rows_within=rows_within,
        archive=archive if fetched else None,
        convert=read_qm9pack if fetched else None,
        larger=None if fetched else "qm9-full",
    )


DATASETS = (
    _reader(
        "qm9",
        description="10,000 random molecules of QM9 (up to 9 C, N, O, F atoms), DFT geometries",
        size=10_000,
        file="qm9_10k.npz",
    ),
    _reader(
        "qm9-full",
        description="all 130,831 converged molecules of QM9, DFT geometries",
        size=ROWS,
    ),
)
