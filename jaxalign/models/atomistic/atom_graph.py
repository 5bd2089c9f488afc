"""Structures → pairs of atoms within a cutoff, periodic images included."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from ase.data import chemical_symbols
from jaxtyping import Float, Int
from vesin import NeighborList

from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure

CLOSEST = 0.05  # Å; atoms nearer than this are one atom given twice
_SEARCHED = 1.0  # Å; radius of the search for such atoms
_LISTED = 20  # elements named in a message
_FLAT = 1e-3  # volume of a periodic cell relative to a box of its edges; less is no cell


class Pairs(NamedTuple):
    """Pairs of atoms, sorted by center, neighbor and shift.

    Attributes:
      centers: atom i of each pair.
      neighbors: atom j.
      shifts: lattice vectors S that lead from atom j in the given cell to the image that is meant.
      vectors: r_j + S · cell − r_i, Å.
    """

    centers: Int[np.ndarray, " pairs"]
    neighbors: Int[np.ndarray, " pairs"]
    shifts: Int[np.ndarray, "pairs 3"]
    vectors: Float[np.ndarray, "pairs 3"]

    def lengths(self) -> Float[np.ndarray, " pairs"]:
        """Distances, Å."""
        return np.sqrt(np.einsum("ek,ek->e", self.vectors, self.vectors))


def neighbor_pairs(structure: Structure, *, cutoff: float, half: bool = False) -> Pairs:
    """All pairs of atoms not farther apart than the cutoff.

    Atoms may lie outside the cell, the cell may be smaller than the cutoff (an atom then meets its
    own images), skewed or left-handed, and any of its directions may be open.

    Args:
      structure: one that `check_atoms` accepts.
      cutoff: Å.
      half: every pair once, in one of its two directions.

    Returns:
      The pairs.
    """
    cell = np.zeros((3, 3)) if structure.cell is None else np.asarray(structure.cell, np.float64)
    # One thread: graphs of many structures are made at once.
    search = NeighborList(cutoff=cutoff, full_list=not half, n_threads=1)
    positions = np.ascontiguousarray(structure.positions, np.float64)
    i, j, shifts, vectors = search.compute(positions, cell, list(structure.pbc), "ijSD", copy=True)
    order = np.lexsort((*shifts.T[::-1], j, i))
    centers, neighbors = i[order].astype(np.int32), j[order].astype(np.int32)
    return Pairs(centers, neighbors, shifts[order].astype(np.int32), vectors[order])


def check_atoms(
    structure: Structure, *, known: Collection[int], family: str, periodic: bool = True
) -> None:
    """Makes sure that a network for atoms in space can represent a structure.

    Args:
      structure: a sample.
      known: atomic numbers that the network was trained on.
      family: name of the network, for messages.
      periodic: whether it takes periodic structures.

    Raises:
      UnsupportedStructureError: as `require_atoms`, or if atoms are coincident.
    """
    require_atoms(structure, known=known, family=family, periodic=periodic)
    _check_distances(structure)


def require_atoms(
    structure: Structure, *, known: Collection[int], family: str, periodic: bool = True
) -> None:
    """`check_atoms` without a search for coincident atoms.

    Args:
      structure: a sample.
      known: atomic numbers that the network was trained on.
      family: name of the network, for messages.
      periodic: whether it takes periodic structures.

    Raises:
      UnsupportedStructureError: if there are no atoms, or they are of a foreign element, not
        finite, or periodic where that cannot be, or the periodic cell is flat.
    """
    numbers, positions = structure.atomic_numbers, structure.positions
    if numbers is None or positions is None or not len(numbers):
        raise UnsupportedStructureError(
            "3-D encoders need atoms with positions, and this structure has none; "
            "read the data from a source with coordinates"
        )
    if foreign := sorted(set(numbers.tolist()).difference(known)):
        listed = (
            ", ".join(map(_symbol, known)) if len(known) <= _LISTED else f"{len(known)} elements"
        )
        raise UnsupportedStructureError(
            f"{family} knows {listed} only, and the structure holds "
            f"{', '.join(map(_symbol, foreign))}; leave it out (on_error='skip') or take an "
            "encoder for these elements"
        )
    if not np.isfinite(positions).all():
        raise UnsupportedStructureError("positions hold NaN or infinity; mend the source")
    _check_cell(structure, family=family, periodic=periodic)


def _check_cell(structure: Structure, *, family: str, periodic: bool) -> None:
    if not any(structure.pbc):
        return
    if not periodic:
        raise UnsupportedStructureError(
            f"{family} takes molecules, and this structure is periodic; take an encoder for "
            "materials, or set pbc to False if the cell is only a box around a molecule"
        )
    cell = structure.cell
    if cell is None or not np.isfinite(cell).all():
        raise UnsupportedStructureError(
            "the structure is periodic and has no finite cell; give the lattice vectors in Å, "
            "or set pbc to False"
        )
    own = np.asarray(cell, np.float64)[list(structure.pbc)]
    lengths = np.linalg.norm(own, axis=1)
    # Volume (area, length) spanned by the periodic vectors alone.
    spanned = np.sqrt(max(np.linalg.det(own @ own.T), 0.0))
    if lengths.min() < CLOSEST or spanned < _FLAT * np.prod(lengths):
        raise UnsupportedStructureError(
            f"the periodic cell vectors (lengths {', '.join(f'{x:.3g}' for x in lengths)} Å) span "
            "no volume; correct the cell, or set pbc to False along directions that do not repeat"
        )


def _check_distances(structure: Structure) -> None:
    # The search divides the cell into boxes as wide as its cutoff: 0.05 Å would cost 100-fold.
    pairs = neighbor_pairs(structure, cutoff=_SEARCHED, half=True)
    lengths = pairs.lengths()
    if len(lengths) and lengths.min() <= CLOSEST:
        first = int(lengths.argmin())
        raise UnsupportedStructureError(
            f"atoms {pairs.centers[first]} and {pairs.neighbors[first]} are {lengths[first]:.3g} Å "
            "apart, periodic images included; remove the duplicate atom, and check that positions "
            "and cell are in Å"
        )


def _symbol(number: int) -> str:
    return chemical_symbols[number] if 0 < number < len(chemical_symbols) else f"element {number}"
