"""Inputs of Orb: each atom's nearest neighbors within 6 Å, at most as many as the variant says.

In crystals many neighbors are equally far, and a limit cuts through such shells. Which of them are
kept then hangs on the last digit of the distances: a limited graph follows neither rotations nor
the choice of the cell exactly. To keep the same ones as the original, its steps are repeated in its
precision: positions wrapped into the cell in float64, images of the cell in float32, a k-d tree of
SciPy with the same leaves over them. The vectors are then computed in float64. Images are looked
for where the original does, which misses a few of the farthest neighbors in skewed cells. Above
5000 atoms the original searches half of the images, which may keep others of the equally far ones.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from jaxalign.models.atomistic.atom_graph import check_atoms
from jaxalign.models.encoder import Example, UnsupportedStructureError
from jaxalign.models.graph_packing import Field, GraphPacking
from jaxalign.models.orb.orb import CUTOFF
from jaxalign.structures.structure import Structure

_IMAGES = 4  # cells along each lattice vector that are looked at; the original's limit
_SLACK, _TREE_SLACK = 1e-4, 1e-8  # Å
_LEAF = 100

PACKING = GraphPacking(
    layout={
        "species": Field("atoms", dtype=np.int32),
        "senders": Field("edges", points_to="atoms", dtype=np.int32),
        "receivers": Field("edges", points_to="atoms", dtype=np.int32),
        # The padding lies beyond the cutoff.
        "vectors": Field("edges", fill=(2 * CUTOFF, 0.0, 0.0)),
    },
    # Hidden features of 1024 channels take 4 kB an edge.
    budget={"atoms": 512, "edges": 4096},
)


def featurize_orb(
    structure: Structure, *, neighbors: int, known: Collection[int], dtype: Any = np.float32
) -> Example:
    """Inputs of one structure.

    Args:
      structure: a molecule or crystal.
      neighbors: largest number of neighbors that an atom sends to.
      known: atomic numbers that the network was trained on.
      dtype: precision that decides which of equally far neighbors are kept.

    Returns:
      `species` `[atoms]` (atomic numbers), `senders` (ascending) and `receivers` `[edges]`,
      `vectors` `[edges, 3]` from the sender to the receiver, Å.

    Raises:
      UnsupportedStructureError: if the network cannot represent the structure.
    """
    check_orb(structure, known=known)
    positions, cell = np.asarray(structure.positions, np.float64), np.zeros((3, 3))
    offsets = np.zeros((1, 3))
    if any(structure.pbc):
        cell = np.asarray(structure.cell, np.float64)
        # Modulo 1 as the original does: a coordinate of −1e-17 becomes 1, not 0.
        positions = (np.linalg.solve(cell.T, positions.T).T % 1.0) @ cell
        offsets = _images(cell.astype(dtype))
    senders, receivers, images = _nearest(
        positions.astype(dtype), offsets.astype(dtype) @ cell.astype(dtype), neighbors
    )
    vectors = positions[receivers] - positions[senders] + offsets[images] @ cell
    return {
        "species": np.asarray(structure.atomic_numbers, np.int32),
        "senders": senders.astype(np.int32),
        "receivers": receivers.astype(np.int32),
        "vectors": vectors,
    }


def check_orb(structure: Structure, *, known: Collection[int]) -> None:
    """Makes sure that an Orb can represent a structure.

    Args:
      structure: a sample.
      known: atomic numbers that the network was trained on.

    Raises:
      UnsupportedStructureError: as `check_atoms`, or if the structure is periodic along some of
        its lattice vectors only, which the original refuses.
    """
    check_atoms(structure, known=known, family="this Orb")
    if any(structure.pbc) and not all(structure.pbc):
        raise UnsupportedStructureError(
            f"Orb takes structures that are periodic along all lattice vectors or none, this one "
            f"has pbc {structure.pbc}; put more than {CUTOFF:g} Å of vacuum along the open "
            "directions and set pbc to True for all"
        )


@functools.cache
def _lattice(size: int) -> Float[np.ndarray, "points 3"]:
    """All integer vectors with components up to `size`, ascending."""
    steps = np.arange(-size, size + 1)
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3) * 1.0


def _images(cell: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "images 3"]:
    """Cells that may hold neighbors: those with a corner near the origin's, and all around them."""
    lattice = _lattice(_IMAGES)
    near = np.linalg.norm(lattice.astype(cell.dtype) @ cell, axis=1) <= CUTOFF + _SLACK
    size = 2 * _IMAGES + 3
    marked = np.zeros((size,) * 3, bool)
    around = (lattice[near][:, None] + _lattice(1) + _IMAGES + 1).astype(np.int64).reshape(-1, 3)
    marked[tuple(around.T)] = True
    return _lattice(_IMAGES + 1)[marked.reshape(-1)]


def _nearest(
    positions: Float[np.ndarray, "atoms 3"],
    translations: Float[np.ndarray, "images 3"],
    neighbors: int,
) -> tuple[Int[np.ndarray, " edges"], Int[np.ndarray, " edges"], Int[np.ndarray, " edges"]]:
    """Sender, receiver and image of each edge, sender by sender."""
    atoms = len(positions)
    # Image by image, so that a number tells both the image and the atom.
    points = (positions[None] + translations[:, None]).reshape(-1, 3)
    count = min(neighbors + 1, len(points))
    tree = KDTree(points, leafsize=_LEAF)
    _, found = tree.query(
        positions, k=[*range(1, count + 1)], distance_upper_bound=CUTOFF + _TREE_SLACK
    )
    # The nearest is the atom itself; missing ones have the number of points.
    found = found[:, 1:]
    senders, columns = np.nonzero(found < len(points))
    images, receivers = np.divmod(found[senders, columns], atoms)
    return senders, receivers, images
