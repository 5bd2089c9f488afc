"""Three-dimensional coordinates for molecules that are known as SMILES only.

Hydrogens are added, coordinates drawn by distance geometry with torsion knowledge (ETKDG version 3)
and relaxed in the MMFF94 force field. They are one low-lying conformer of the force field, not a
DFT geometry: what is computed from them is for molecules far from reference data.

References:
  Wang, Witek, Landrum, Riniker, J. Chem. Inf. Model. 60, 2044 (2020), ETKDG version 3; Halgren,
  J. Comput. Chem. 17, 490 (1996), MMFF94.
"""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from jaxalign.archives.atomic import atomic_write
from jaxalign.progress import Progress
from jaxalign.structures.records import StructureError
from jaxalign.structures.structure import SkippedStructure, Structure, StructureSet

_STEPS = 500  # of the relaxation; drug-like molecules need some two hundred
_KEYS = ("key", "numbers", "positions", "counts", "failed")


def conformers(
    structures: StructureSet,
    *,
    seed: int = 0,
    on_error: str = "raise",
    store: str | Path | None = None,
    progress: bool = False,
) -> StructureSet:
    """Gives atoms and positions to molecules that have a SMILES and no positions.

    A molecule's coordinates depend on its id, its SMILES, the seed and the version of RDKit alone.
    About 50 ms a drug-like molecule.

    Args:
      structures: molecules; those that have positions stay as they are.
      seed: of the coordinates.
      on_error: `"raise"`, or `"skip"` molecules without a conformer (they are listed).
      store: file (npz) that keeps the coordinates; if it holds those of the same molecules, none
        are computed.
      progress: print progress lines.

    Returns:
      The structures in their order, with the same ids.

    Raises:
      StructureError: a molecule without SMILES, or one that cannot be embedded.
    """
    wanted = [s for s in structures if s.positions is None]
    key = _key(wanted, seed)
    found = _read(Path(store), key, len(wanted)) if store is not None else None
    if found is None:
        with Progress("conformers", total=len(wanted), enabled=progress) as bar:
            found = [_attempt(structure, seed, bar) for structure in wanted]
        if store is not None:
            _write(Path(store), key, found)
    return _joined(structures, dict(zip([s.id for s in wanted], found, strict=True)), on_error)


Geometry = tuple[np.ndarray, np.ndarray]  # atomic numbers, positions in Å


def _joined(
    structures: StructureSet, found: dict[str, Geometry | str], on_error: str
) -> StructureSet:
    failed = {name: reason for name, reason in found.items() if isinstance(reason, str)}
    if failed and on_error != "skip":
        name, reason = next(iter(failed.items()))
        raise StructureError(
            f"{len(failed)} of {len(structures)} molecules have no conformer, the first is {name}: "
            f"{reason}; leave them out with on_error='skip'"
        )
    kept = []
    for structure in structures:
        geometry = found.get(structure.id)
        if isinstance(geometry, str):
            continue
        if geometry is not None:
            numbers, positions = geometry
            changed = {"atomic_numbers": numbers, "positions": positions}
            structure = dataclasses.replace(structure, **changed)
        kept.append(structure)
    skipped = [*structures.skipped, *(SkippedStructure(*item) for item in failed.items())]
    return StructureSet(kept, name=structures.name, skipped=skipped)


def _attempt(structure: Structure, seed: int, bar: Progress) -> Geometry | str:
    """A geometry, or why there is none."""
    try:
        with rdBase.BlockLogs():
            return _conformer(structure, seed)
    except StructureError as error:
        return str(error)
    finally:
        bar.advance(1)


def _conformer(structure: Structure, seed: int) -> Geometry:
    molecule = None if structure.smiles is None else Chem.MolFromSmiles(structure.smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise StructureError(f"RDKit reads no molecule from SMILES {structure.smiles!r}")
    molecule = Chem.AddHs(molecule)
    settings = rdDistGeom.ETKDGv3()
    settings.randomSeed = _seed(structure, seed)
    if rdDistGeom.EmbedMolecule(molecule, settings) < 0:
        settings.useRandomCoords = True  # cages and large rings: slower, nearly always enough
        if rdDistGeom.EmbedMolecule(molecule, settings) < 0:
            raise StructureError("distance geometry found no coordinates")
    if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        raise StructureError("MMFF94 lacks parameters for some of its atoms")
    rdForceFieldHelpers.MMFFOptimizeMolecule(molecule, maxIters=_STEPS)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], np.int32)
    return numbers, np.array(molecule.GetConformer().GetPositions(), np.float64)


def _seed(structure: Structure, seed: int) -> int:
    text = f"{seed}\0{structure.id}\0{structure.smiles}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") >> 1


def _key(structures: Sequence[Structure], seed: int) -> str:
    state = hashlib.sha256(f"{rdBase.rdkitVersion}\0{_STEPS}\0{seed}".encode())
    for structure in structures:
        state.update(f"\0{structure.id}\0{structure.smiles}".encode())
    return state.hexdigest()


def _write(path: Path, key: str, found: Sequence[Geometry | str]) -> None:
    known = [item for item in found if not isinstance(item, str)]
    empty = (np.empty(0, np.int32), np.empty((0, 3)))
    with atomic_write(path) as file:
        np.savez_compressed(
            file,
            key=np.array(key),
            numbers=np.concatenate([empty[0], *(numbers for numbers, _ in known)]),
            positions=np.concatenate([empty[1], *(positions for _, positions in known)]),
            counts=np.array([0 if isinstance(f, str) else len(f[0]) for f in found], np.int64),
            failed=np.array([f if isinstance(f, str) else "" for f in found], dtype=np.str_),
        )


def _read(path: Path, key: str, count: int) -> list[Geometry | str] | None:
    """What the file holds, or None if there is none or it is of other molecules or damaged."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            stored = {name: data[name] for name in _KEYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # made again: it is a copy of what can be computed
    if str(stored["key"]) != key or len(stored["counts"]) != count:
        return None
    ends = np.cumsum(stored["counts"])[:-1]
    numbers = np.split(stored["numbers"], ends)
    positions = np.split(stored["positions"], ends)
    return [
        str(reason) or (number, position)
        for number, position, reason in zip(numbers, positions, stored["failed"], strict=True)
    ]
