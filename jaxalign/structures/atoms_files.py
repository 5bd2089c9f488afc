"""Records of atomistic files, read by ASE: (ext)xyz, CIF, POSCAR, traj and ASE databases."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping
from typing import Any

import ase
import ase.db
import ase.io
import ase.io.cif
import numpy as np

from jaxalign.structures.records import (
    Record,
    Source,
    StructureError,
    attempt,
    find_field,
    numeric_labels,
)
from jaxalign.structures.smiles_files import (
    GROUP_FIELDS,
    ID_FIELDS,
    SMILES_FIELDS,
    check_smiles,
    read_text,
)
from jaxalign.structures.structure import Structure

_FULL = 1 - 1e-6  # occupancies below this are partial


def structure_from_atoms(
    atoms: ase.Atoms, *, source: Source, number: int, fields: Mapping[str, Any], own: Any = None
) -> Structure:
    """One structure from ASE atoms, with cell and periodicity kept.

    Args:
      atoms: positions and cell in Å.
      source: which fields hold id, SMILES and group.
      number: 0-based record number, for ids of records without one.
      fields: named values of the record (`atoms.info`, or columns of a database).
      own: id that the format itself gives, used when no field holds one.

    Returns:
      The structure; finite scalars of `fields` and of the attached results (energy in eV) become
      labels.

    Raises:
      StructureError: for no atoms, non-finite coordinates, a degenerate periodic cell, partial
        occupancies, a field that was asked for and is not there.
    """
    _check_atoms(atoms)
    keys = [
        find_field(fields, wanted=source.id_field, known=ID_FIELDS, required=True),
        find_field(fields, wanted=source.smiles_field, known=SMILES_FIELDS, required=True),
        find_field(fields, wanted=source.group_field, known=GROUP_FIELDS, required=True),
    ]
    identifier, smiles, group = (None if key is None else fields[key] for key in keys)
    results = {} if atoms.calc is None else atoms.calc.results
    return Structure(
        id=source.identify(own if identifier is None else identifier, number),
        atomic_numbers=np.array(atoms.numbers, dtype=np.int32),
        positions=np.array(atoms.positions, dtype=np.float64),
        cell=np.array(atoms.cell.array, dtype=np.float64) if atoms.cell.array.any() else None,
        pbc=tuple(bool(axis) for axis in atoms.pbc),
        smiles=None if smiles is None else check_smiles(str(smiles)),
        labels=numeric_labels({**results, **fields}, exclude=keys),
        group=None if group is None else str(group),
    )


def xyz_records(source: Source) -> Iterator[Record]:
    """Frames of an xyz or extended xyz file.

    Each frame is cut out by its atom count and parsed by ASE on its own, so that one bad frame
    does not hide the next. After a line that should be a count and is not, nothing can be located
    any more: the whole file is refused.

    Yields:
      One record a frame.

    Raises:
      StructureError: for a bad count line.
    """
    lines = read_text(source).splitlines()
    start = number = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        count = _atom_count(source, lines[start], start)
        frame = lines[start : start + count + 2]
        build = functools.partial(_xyz_structure, frame, count, source, number)
        yield attempt(build, number=number, line=start + 1)
        start += count + 2
        number += 1


def cif_records(source: Source) -> Iterator[Record]:
    """Structures of a CIF file, one a data block; blocks without a structure are no records."""
    text = read_text(source)
    try:
        blocks = list(ase.io.cif.parse_cif(io.StringIO(text)))
    except Exception as error:
        raise _unreadable(source, "CIF file", error) from error
    crystals = (block for block in blocks if block.has_structure())
    for number, block in enumerate(crystals):
        build = functools.partial(_cif_structure, block, source, number)
        yield attempt(build, number=number, text=f"data_{block.name}")


def vasp_records(source: Source) -> Iterator[Record]:
    """The one structure of a POSCAR or CONTCAR file."""
    text = read_text(source)

    def build() -> Structure:
        atoms = ase.io.read(io.StringIO(text), format="vasp")
        return structure_from_atoms(atoms, source=source, number=0, fields=atoms.info)

    yield attempt(build, number=0)


def trajectory_records(source: Source) -> Iterator[Record]:
    """Frames of an ASE `.traj` file."""
    try:
        trajectory = ase.io.Trajectory(source.path)
    except Exception as error:
        raise _unreadable(source, "ASE trajectory", error) from error
    with trajectory:
        for number in range(len(trajectory)):
            build = functools.partial(_frame_structure, trajectory, source, number)
            yield attempt(build, number=number)


def database_records(source: Source) -> Iterator[Record]:
    """Rows of an ASE SQLite database; ids are ASE's unique ids unless a key-value pair is named."""
    try:
        rows = list(ase.db.connect(source.path, type="db").select())
    except Exception as error:
        raise _unreadable(source, "ASE database", error) from error
    for number, row in enumerate(rows):
        build = functools.partial(_row_structure, row, source, number)
        yield attempt(build, number=number, text=f"row {row.id}")


def _atom_count(source: Source, line: str, index: int) -> int:
    text = line.strip()
    if text.isdecimal():
        return int(text)
    raise StructureError(
        f"{source.path}: line {index + 1}: expected the number of atoms of a frame, got "
        f"{text[:80]!r}; the frames after it cannot be located: repair the file"
    )


def _xyz_structure(frame: list[str], count: int, source: Source, number: int) -> Structure:
    if len(frame) < count + 2:
        raise StructureError(f"the file ends after {len(frame) - 2} of {count} atoms")
    atoms = ase.io.read(io.StringIO("\n".join(frame) + "\n"), format="extxyz")
    return structure_from_atoms(atoms, source=source, number=number, fields=atoms.info)


def _cif_structure(block: ase.io.cif.CIFBlock, source: Source, number: int) -> Structure:
    atoms = block.get_atoms()
    for site in atoms.info.pop("occupancy", {}).values():
        if len(site) != 1 or min(site.values()) < _FULL:
            raise StructureError(f"partial occupancy {site}: order the crystal first")
    return structure_from_atoms(atoms, source=source, number=number, fields={})


def _frame_structure(trajectory: Any, source: Source, number: int) -> Structure:
    atoms = trajectory[number]
    return structure_from_atoms(atoms, source=source, number=number, fields=atoms.info)


def _row_structure(row: Any, source: Source, number: int) -> Structure:
    return structure_from_atoms(
        row.toatoms(), source=source, number=number, fields=row.key_value_pairs, own=row.unique_id
    )


def _check_atoms(atoms: ase.Atoms) -> None:
    if not len(atoms):
        raise StructureError("there are no atoms")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise StructureError("positions or cell are not finite")
    vectors = atoms.cell.array[atoms.pbc]
    if len(vectors) and np.linalg.matrix_rank(vectors) < len(vectors):
        raise StructureError(
            f"periodic along {len(vectors)} axes, but these cell vectors are zero or dependent"
        )


def _unreadable(source: Source, kind: str, error: Exception) -> StructureError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return StructureError(
        f"{source.path}: not a readable {kind} ({reason}); check the file, or name its format "
        "with format="
    )
