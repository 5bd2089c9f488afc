"""What the proofs of interatomic potentials on random weights share: structures, differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ase
import numpy as np

from jaxalign.structures.structure import Structure

States = Sequence[Mapping[str, np.ndarray]]  # of every structure: layer → values


def as_structure(name: str, atoms: ase.Atoms) -> Structure:
    """Atoms with coordinates of four digits, as the golden files store them."""
    periodic = bool(atoms.pbc.any())
    return Structure(
        id=name,
        atomic_numbers=atoms.numbers.astype(np.int32),
        positions=np.round(atoms.positions, 4),
        cell=np.round(np.array(atoms.cell), 4) if periodic else None,
        pbc=tuple(map(bool, atoms.pbc)),
    )


def compare(theirs: States, ours: States, structures: Sequence[Structure]) -> dict[str, float]:
    """Largest differences: of layers relative and absolute, of `energies` in eV an atom."""
    worst = {"relative": 0.0, "absolute": 0.0, "energy": 0.0}
    for name in theirs[0]:
        pairs = [(a[name], b[name]) for a, b in zip(theirs, ours, strict=True)]
        if name == "energies":
            counts = [len(s.atomic_numbers) for s in structures]
            off = [np.abs(a - b).max() / n for (a, b), n in zip(pairs, counts, strict=True)]
            worst["energy"] = float(max(off))
            continue
        off = max(float(np.abs(a - b).max()) for a, b in pairs)
        largest = max(float(np.abs(a).max()) for a, _ in pairs)
        worst["absolute"] = max(worst["absolute"], off)
        worst["relative"] = max(worst["relative"], off / largest)
    return worst
