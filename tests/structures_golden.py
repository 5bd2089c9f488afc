"""Structures of golden files, and molecules of ASE's collection."""

import dataclasses

import ase.build
import numpy as np

from jaxalign.structures.structure import Structure


def golden_structures(golden):
    """The structures that the proofs of the potentials store beside their activations."""
    ends = np.cumsum(golden["atoms"])[:-1]
    numbers = np.split(golden["atomic_numbers"].astype(np.int32), ends)
    positions = np.split(golden["positions_1e4A"] * 1e-4, ends)
    names = golden["ids"] if "ids" in golden else golden["names"]
    found = [
        Structure(id=str(name), atomic_numbers=n, positions=p)
        for name, n, p in zip(names, numbers, positions, strict=True)
    ]
    if "pbc" not in golden:
        return found
    cells, pbc = golden["cells_1e4A"] * 1e-4, golden["pbc"].tolist()
    return [
        dataclasses.replace(s, cell=cells[i] if any(pbc[i]) else None, pbc=tuple(pbc[i]))
        for i, s in enumerate(found)
    ]


def molecule(name, **changes):
    """A molecule of ASE's G2 collection."""
    atoms = ase.build.molecule(name)
    structure = Structure(
        id=name, atomic_numbers=atoms.numbers.astype(np.int32), positions=atoms.positions
    )
    return dataclasses.replace(structure, **changes)
