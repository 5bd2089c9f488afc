"""SOAP, Coulomb and sine matrices as DScribe computes them (dscribe 2.1.2, which needs ase < 3.26).

DScribe has no pseudo-elements: it computes the partial power spectra of all pairs of elements of a
structure, and their weights contract these to the rows of `jaxalign.models.descriptors.soap`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ase
import numpy as np
from ase.data import chemical_symbols
from dscribe.descriptors import SOAP, CoulombMatrix, SineMatrix

from jaxalign.models.descriptors import coulomb, soap
from jaxalign.structures.structure import Structure


def load(model_id: str) -> Callable[[Sequence[Structure]], np.ndarray]:
    """The original: structures → rows.

    Args:
      model_id: `"soap"`, `"coulomb-matrix"` or `"sine-matrix"`.

    Returns:
      A function that embeds structures.

    Raises:
      ValueError: for any other model.
    """
    if model_id not in ROWS:
        raise ValueError(f"DScribe has no model {model_id!r}; pass one of {', '.join(ROWS)}")
    row = ROWS[model_id]
    return lambda structures: np.stack([row(s) for s in structures]).astype(np.float32)


def as_atoms(structure: Structure) -> ase.Atoms:
    """With all atoms inside the cell: DScribe misses images of those that are not."""
    atoms = ase.Atoms(
        numbers=structure.atomic_numbers,
        positions=structure.positions,
        cell=structure.cell,
        pbc=structure.pbc,
    )
    atoms.wrap()
    return atoms


def original_soap(structure: Structure) -> np.ndarray:
    """Row of `soap.soap` from DScribe's partial spectra p[Z, Z'], summed over pairs of elements."""
    species = sorted(set(structure.atomic_numbers.tolist()))
    descriptor = SOAP(
        r_cut=soap.CUTOFF,
        n_max=soap.RADIAL,
        l_max=soap.DEGREE,
        sigma=soap.SIGMA,
        rbf="gto",
        average="outer",
        species=species,
        periodic=any(structure.pbc),
    )
    values = descriptor.create(as_atoms(structure))
    weights = soap.pseudo_elements(np.array(species))
    n, degrees = soap.RADIAL, soap.DEGREE + 1
    total = np.zeros((degrees, soap.CHANNELS, n, soap.CHANNELS, n))
    for i, one in enumerate(species):
        for j in range(i, len(species)):
            pair = (chemical_symbols[one], chemical_symbols[species[j]])
            part = values[descriptor.get_location(pair)]
            block = _symmetric(part, n) if i == j else part.reshape(degrees, n, n)
            total += np.einsum("k,q,lab->lkaqb", weights[i], weights[j], block)
            if i != j:
                total += np.einsum("k,q,lba->lkaqb", weights[j], weights[i], block)
    side = soap.CHANNELS * n
    rows, columns = np.triu_indices(side)
    upper = total.reshape(degrees, side, side)[:, rows, columns]
    return (upper * np.where(rows == columns, 1, np.sqrt(2))).ravel()


def _symmetric(part: np.ndarray, n: int) -> np.ndarray:
    upper = part.reshape(soap.DEGREE + 1, -1)
    rows, columns = np.triu_indices(n)
    block = np.zeros((len(upper), n, n))
    block[:, rows, columns] = block[:, columns, rows] = upper
    return block


def original_spectrum(structure: Structure, kind: type) -> np.ndarray:
    """Eigenvalues, largest magnitude first, then zeros."""
    descriptor = kind(n_atoms_max=coulomb.WIDTH, permutation="eigenspectrum")
    return descriptor.create(as_atoms(structure))


ROWS = {
    "soap": original_soap,
    "coulomb-matrix": lambda structure: original_spectrum(structure, CoulombMatrix),
    "sine-matrix": lambda structure: original_spectrum(structure, SineMatrix),
}
