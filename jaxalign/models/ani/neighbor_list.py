"""Atoms → inputs of fixed shape for networks that look at the neighbors within a cutoff."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial.distance import cdist

from jaxalign.models.atomistic.atom_graph import CLOSEST, require_atoms
from jaxalign.models.encoder import Batch, Example, UnsupportedStructureError
from jaxalign.structures.structure import Structure


def featurize_atoms(
    structure: Structure,
    *,
    species: Mapping[int, int],
    cutoff: float,
    max_neighbors: int,
    family: str,
) -> Example:
    """Species, positions and neighbors of a molecule.

    Args:
      structure: a sample with atoms and without periodicity.
      species: atomic number → species number, for all elements that the network knows.
      cutoff: radius of the neighbor list, Å.
      max_neighbors: most neighbors that one atom may have.
      family: name of the network, for messages.

    Returns:
      `species` `[atoms]` int32; `positions` `[atoms, 3]` float64, Å, relative to their mean, so
      that float32 later keeps all digits of a molecule far from the origin; `neighbors`
      `[atoms, most]` int32, −1 for empty slots.

    Raises:
      UnsupportedStructureError: if there are no atoms, or they are periodic, of a foreign element,
        not finite, coincident or too crowded.
    """
    positions = _positions(structure, species, family)
    neighbors = neighbor_slots(positions, cutoff=cutoff)
    _check_crowd(neighbors.shape[1], cutoff=cutoff, max_neighbors=max_neighbors)
    return {
        "species": np.array(
            [species[number] for number in structure.atomic_numbers.tolist()], np.int32
        ),
        "positions": positions - positions.mean(axis=0),
        "neighbors": neighbors,
    }


def check_molecule(
    structure: Structure,
    *,
    species: Mapping[int, int],
    cutoff: float,
    max_neighbors: int,
    family: str,
) -> None:
    """Refuses what `featurize_atoms` refuses, without making inputs.

    Args:
      structure: any structure.
      species: atomic number → species number, for all elements that the network knows.
      cutoff: radius of the neighbor list, Å.
      max_neighbors: most neighbors that one atom may have.
      family: name of the network, for messages.

    Raises:
      UnsupportedStructureError: as `featurize_atoms` does.
    """
    positions = _positions(structure, species, family)
    most = int(_near(positions, cutoff).sum(axis=1).max())
    _check_crowd(most, cutoff=cutoff, max_neighbors=max_neighbors)


def _check_crowd(most: int, *, cutoff: float, max_neighbors: int) -> None:
    if most > max_neighbors:
        raise UnsupportedStructureError(
            f"an atom has {most} others within {cutoff} Å, at most {max_neighbors} "
            "are supported; check that the positions are in Å"
        )


def _positions(
    structure: Structure, species: Mapping[int, int], family: str
) -> Float[np.ndarray, "atoms 3"]:
    require_atoms(structure, known=species.keys(), family=family, periodic=False)
    return np.asarray(structure.positions, np.float64)


def neighbor_slots(
    positions: Float[np.ndarray, "atoms 3"], *, cutoff: float
) -> Int[np.ndarray, "atoms most"]:
    """Numbers of all atoms within the cutoff of each atom, ascending, then −1.

    Args:
      positions: Å.
      cutoff: Å.

    Returns:
      `[atoms, most]` int32; `most` is the largest number of neighbors, at least 1.

    Raises:
      UnsupportedStructureError: if two atoms lie on one another.
    """
    rows, columns = np.nonzero(_near(positions, cutoff))
    counts = np.bincount(rows, minlength=len(positions))
    slots = np.full((len(positions), max(1, int(counts.max()))), -1, np.int32)
    # Numbers of the neighbors of an atom follow one another: the first is at the sum of all before.
    slots[rows, np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]] = columns
    return slots


def _near(
    positions: Float[np.ndarray, "atoms 3"], cutoff: float
) -> Bool[np.ndarray, "atoms atoms"]:
    """Which other atoms lie within the cutoff of each atom."""
    distances = cdist(positions, positions)
    np.fill_diagonal(distances, np.inf)
    if distances.min() < CLOSEST:
        i, j = np.unravel_index(distances.argmin(), distances.shape)
        raise UnsupportedStructureError(
            f"atoms {i} and {j} are {distances[i, j]:.3g} Å apart; remove the duplicate atom, "
            "and check that the positions are in Å"
        )
    return distances <= cutoff


def atoms_size(example: Example, *, slots: Callable[[int], int]) -> int:
    """The smallest bucket size that has room for all atoms and all neighbors of one molecule.

    Args:
      example: what `featurize_atoms` gives.
      slots: bucket size → neighbors that an atom may have there; not descending, and somewhere at
        least the `max_neighbors` of `featurize_atoms`.

    Returns:
      Number of atoms, or more for a molecule with a crowded atom.
    """
    size, most = example["neighbors"].shape
    while slots(size) < most:
        size += 1
    return size


def collate_atoms(
    examples: Sequence[Example], bucket: int, batch_size: int, *, slots: int, dtype=np.float32
) -> Batch:
    """Pads molecules to one shape.

    Args:
      examples: at most `batch_size` molecules of at most `bucket` atoms and `slots` neighbors.
      bucket: atoms a row.
      batch_size: rows.
      slots: neighbors an atom.
      dtype: of the positions.

    Returns:
      `species` `[batch_size, bucket]` (−1 for padding), `positions` `[batch_size, bucket, 3]`,
      `neighbors` `[batch_size, bucket, slots]` (−1 where empty), `mask` `[batch_size, bucket]`.
    """
    batch = {
        "species": np.full((batch_size, bucket), -1, np.int32),
        "positions": np.zeros((batch_size, bucket, 3), dtype),
        "neighbors": np.full((batch_size, bucket, slots), -1, np.int32),
        "mask": np.zeros((batch_size, bucket), bool),
    }
    for row, example in enumerate(examples):
        atoms, most = example["neighbors"].shape
        batch["species"][row, :atoms] = example["species"]
        batch["positions"][row, :atoms] = example["positions"]
        batch["neighbors"][row, :atoms, :most] = example["neighbors"]
        batch["mask"][row, :atoms] = True
    return batch
