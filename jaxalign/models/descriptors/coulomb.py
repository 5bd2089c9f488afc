"""Spectra of the Coulomb matrix (molecules) and of the sine matrix (crystals).

Both matrices have ½ Z_i^2.4 on the diagonal, a fit to energies of free atoms. Off it,

    Coulomb:  Z_i Z_j / |r_i − r_j|,
    sine:     Z_i Z_j / |Σ_k sin²(π f_k) a_k|,   f: fractional coordinates of r_i − r_j,

with lengths in Å and lattice vectors a_k: the sine matrix repeats with the lattice, and costs no
more. The descriptor is the eigenvalues, largest magnitude first, then zeros; it does not change if
atoms are renumbered, nor under rotations.

References:
  Rupp et al., Phys. Rev. Lett. 108, 058301 (2012), eq. 1 (Coulomb matrix, spectrum); Faber et al.,
  Int. J. Quantum Chem. 115, 1094 (2015), eq. 24 (sine matrix).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from jaxalign.models.atomistic.atom_graph import check_atoms
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure

WIDTH = 256  # largest number of atoms
_ELEMENTS = range(1, 119)


def coulomb_spectrum(structure: Structure) -> Float[np.ndarray, " width"]:
    """Eigenvalues of the Coulomb matrix of a molecule.

    Args:
      structure: one with at most 256 atoms and without periodicity.

    Returns:
      `[256]` float64.

    Raises:
      UnsupportedStructureError: if it is periodic, too large, or no sound molecule.
    """
    if any(structure.pbc):
        raise UnsupportedStructureError(
            f"structure {structure.id!r} is periodic, and Coulomb sums over a lattice diverge; "
            "take 'sine-matrix' for crystals, or set pbc to False if the cell is only a box"
        )
    _check(structure, family="the Coulomb matrix")
    return _spectrum(structure, cdist(structure.positions, structure.positions))


def sine_spectrum(structure: Structure) -> Float[np.ndarray, " width"]:
    """Eigenvalues of the sine matrix of a crystal.

    Args:
      structure: one with at most 256 atoms in the cell, periodic in all three directions.

    Returns:
      `[256]` float64.

    Raises:
      UnsupportedStructureError: if it is not periodic throughout, too large, or no sound crystal.
    """
    if not all(structure.pbc):
        raise UnsupportedStructureError(
            f"structure {structure.id!r} has pbc {structure.pbc}, and the sine matrix needs three "
            "periodic directions; take 'coulomb-matrix' for molecules"
        )
    _check(structure, family="the sine matrix")
    cell = np.asarray(structure.cell, np.float64)
    fractional = np.linalg.solve(cell.T, np.asarray(structure.positions, np.float64).T).T
    waves = np.sin(np.pi * (fractional[:, None] - fractional)) ** 2
    return _spectrum(structure, np.linalg.norm(waves @ cell, axis=-1))


def _check(structure: Structure, *, family: str) -> None:
    check_atoms(structure, known=_ELEMENTS, family=family)
    if len(structure.positions) > WIDTH:
        raise UnsupportedStructureError(
            f"structure {structure.id!r} has {len(structure.positions)} atoms, and {family} is "
            f"padded to {WIDTH}; leave it out (on_error='skip') or take its primitive cell"
        )


def _spectrum(
    structure: Structure, distances: Float[np.ndarray, "atoms atoms"]
) -> Float[np.ndarray, " width"]:
    charges = np.asarray(structure.atomic_numbers, np.float64)
    np.fill_diagonal(distances, 1.0)
    matrix = np.outer(charges, charges) / distances
    np.fill_diagonal(matrix, 0.5 * charges**2.4)
    values = np.linalg.eigvalsh(matrix)
    padded = np.zeros(WIDTH)
    padded[: len(values)] = values[np.argsort(-np.abs(values), kind="stable")]
    return padded
