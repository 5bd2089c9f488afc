"""Records of SDF files, read by RDKit: 3-D coordinates, SMILES and data fields."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
from rdkit import Chem, rdBase

from jaxalign.structures.records import (
    Record,
    Source,
    StructureError,
    attempt,
    find_field,
    numeric_labels,
)
from jaxalign.structures.smiles_files import GROUP_FIELDS, read_text
from jaxalign.structures.structure import Structure

_END = "$$$$"


def sdf_records(source: Source) -> Iterator[Record]:
    """Records of an SDF file, cut at the `$$$$` lines so that a bad one cannot hide the next.

    Yields:
      One record a molecule. Atoms and positions are given for 3-D coordinates only (a 2-D drawing
      is no geometry); explicit hydrogens are kept and none are added; the SMILES is RDKit's
      canonical one without explicit hydrogens, with the stereochemistry of the coordinates.
    """
    block: list[str] = []
    number, start = 0, 1
    for index, line in enumerate([*read_text(source).splitlines(), _END]):
        if line.rstrip() != _END:
            block.append(line)
            continue
        if any(text.strip() for text in block):
            text = "\n".join(block) + f"\n{_END}\n"
            build = functools.partial(_sdf_structure, text, source, number)
            yield attempt(build, number=number, text=block[0].strip() or None, line=start)
            number += 1
        block, start = [], index + 2


def _sdf_structure(text: str, source: Source, number: int) -> Structure:
    molecule = _parse(text)
    fields = molecule.GetPropsAsDict(autoConvertStrings=False)
    title = molecule.GetProp("_Name") if molecule.HasProp("_Name") else None
    if source.id_field is not None and source.id_field not in fields:
        raise StructureError(f"there is no data field {source.id_field!r}: {sorted(fields)}")
    own = title if source.id_field is None else fields[source.id_field]
    group = find_field(fields, wanted=source.group_field, known=GROUP_FIELDS)
    numbers, positions = _geometry(molecule)
    return Structure(
        id=source.identify(own, number),
        atomic_numbers=numbers,
        positions=positions,
        smiles=Chem.MolToSmiles(Chem.RemoveHs(molecule)),
        labels=numeric_labels(fields, exclude=(source.id_field, group)),
        group=None if group is None else str(fields[group]),
    )


def _parse(text: str) -> Chem.Mol:
    with rdBase.BlockLogs():
        molecule = _supply(text, sanitize=True)
        if molecule is None:
            raw = _supply(text, sanitize=False)
            if raw is None:
                raise StructureError("RDKit cannot parse the connection table")
            problems = [problem.Message() for problem in Chem.DetectChemistryProblems(raw)]
            raise StructureError(
                f"RDKit refuses it ({'; '.join(problems) or 'sanitization failed'})"
            )
    if not molecule.GetNumAtoms():
        raise StructureError("the molecule has no atoms")
    return molecule


def _supply(text: str, *, sanitize: bool) -> Chem.Mol | None:
    supplier = Chem.SDMolSupplier()
    supplier.SetData(text, sanitize=sanitize, removeHs=False)
    return supplier[0]


def _geometry(molecule: Chem.Mol) -> tuple[np.ndarray | None, np.ndarray | None]:
    if not molecule.GetNumConformers() or not molecule.GetConformer().Is3D():
        return None, None
    positions = np.array(molecule.GetConformer().GetPositions(), dtype=np.float64)
    if not np.isfinite(positions).all():
        raise StructureError("coordinates are not finite")
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], dtype=np.int32)
    return numbers, positions
