"""Structures by the elements that they hold."""

from __future__ import annotations

from collections.abc import Collection

import ase.data
from rdkit import Chem

from jaxalign.structures.structure import Structure, StructureSet

_HYDROGEN = 1


def with_elements(
    structures: StructureSet,
    *,
    within: Collection[str] = (),
    containing: Collection[str] = (),
) -> StructureSet:
    """Keeps structures of allowed elements, and of those the ones that hold a wanted element.

    Elements are read from atoms where there are any, else from the SMILES (hydrogen is then taken
    to be there).

    Args:
      structures: with atoms or SMILES.
      within: symbols of all elements allowed; () for any.
      containing: symbols of which at least one must occur; () for no such wish.

    Returns:
      The structures that are left, in their order.

    Raises:
      ValueError: an unknown symbol, a structure without atoms and SMILES, or none that is left.
    """
    allowed, wanted = _numbers(within), _numbers(containing)
    kept = []
    for structure in structures:
        found = elements_of(structure)
        if (not allowed or found <= allowed) and (not wanted or found & wanted):
            kept.append(structure)
    if not kept:
        raise ValueError(
            f"no structure of {structures.name} has elements within {tuple(within) or 'all'} and "
            f"one of {tuple(containing) or 'any'}: allow more elements"
        )
    return StructureSet(kept, name=structures.name, skipped=structures.skipped)


def elements_of(structure: Structure) -> set[int]:
    """Atomic numbers that occur in a structure.

    Raises:
      ValueError: it has neither atoms nor a SMILES that RDKit reads.
    """
    if structure.atomic_numbers is not None:
        return set(structure.atomic_numbers.tolist())
    molecule = None if structure.smiles is None else Chem.MolFromSmiles(structure.smiles)
    if molecule is None:
        raise ValueError(f"{structure.id} has neither atoms nor a SMILES that RDKit reads")
    return {_HYDROGEN, *(atom.GetAtomicNum() for atom in molecule.GetAtoms())}


def _numbers(symbols: Collection[str]) -> set[int]:
    # A bare string would be taken letter by letter: "Cl" as C and an unknown l.
    listed = [symbols] if isinstance(symbols, str) else list(symbols)
    if unknown := sorted(set(listed) - set(ase.data.atomic_numbers)):
        raise ValueError(f"unknown elements {unknown}: write symbols such as 'C' and 'Cl'")
    return {ase.data.atomic_numbers[symbol] for symbol in listed}
