"""Atoms, bonds and angles between bonds as flat arrays: the inputs of networks with a line graph.

A bond is an unordered pair of atoms (periodic images count as atoms) within `atom_cutoff`; it has
two directions. An angle is an ordered pair of different directed bonds that leave the same atom,
both of bonds shorter than `bond_cutoff`, so an atom with c directed short bonds has c (c − 1)
angles. A bond from an atom to its own image leaves that atom in both directions: these enclose an
angle of 180°, between the bond and itself.

Angles join short bonds only, and these are few (one in nine in inorganic crystals, with 6 Å and
3 Å). So short bonds have an axis of their own, and what angles change is kept there.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxalign.models.atomistic.atom_graph import Pairs, neighbor_pairs
from jaxalign.models.encoder import Example
from jaxalign.models.graph_packing import Field, GraphPacking
from jaxalign.structures.structure import Structure

# Keeps the derivative of arccos finite at 0° and 180°; the networks were trained with it.
_SHRINK = 1.0 - 1e-6


class Angles(NamedTuple):
    """Angles between directed bonds, sorted by their atom.

    Attributes:
      atoms: where each angle has its vertex.
      first: number of its first bond in the list of short bonds.
      second: number of its second bond.
      radians: between 0 and π.
    """

    atoms: Int[np.ndarray, " angles"]
    first: Int[np.ndarray, " angles"]
    second: Int[np.ndarray, " angles"]
    radians: Float[np.ndarray, " angles"]


def bond_angles(
    centers: Int[np.ndarray, " short"],
    neighbors: Int[np.ndarray, " short"],
    vectors: Float[np.ndarray, "short 3"],
    *,
    atoms: int,
) -> Angles:
    """All angles between bonds at a common atom.

    Args:
      centers: one atom of each bond.
      neighbors: its other atom.
      vectors: from the first to the (image of the) second, Å.
      atoms: number of atoms.

    Returns:
      Both orders of each pair of directed bonds.
    """
    units = vectors / np.sqrt(np.einsum("nk,nk->n", vectors, vectors))[:, None]
    vertex = np.concatenate([centers, neighbors])
    order = np.argsort(vertex, kind="stable")
    vertex, units = vertex[order], np.concatenate([units, -units])[order]
    bonds = order % max(len(centers), 1)
    degrees = np.bincount(vertex, minlength=atoms)
    partners = degrees[vertex]  # of each directed bond, itself included
    first = np.repeat(np.arange(len(vertex)), partners)
    starts = np.cumsum(degrees) - degrees
    within = np.arange(len(first)) - np.repeat(np.cumsum(partners) - partners, partners)
    second = starts[vertex[first]] + within
    first, second = first[first != second], second[first != second]
    cosines = np.einsum("nk,nk->n", units[first], units[second]) * _SHRINK
    radians = np.arccos(np.clip(cosines, -1.0, 1.0))
    atom_of, bond_of = vertex.astype(np.int32), bonds.astype(np.int32)
    return Angles(atom_of[first], bond_of[first], bond_of[second], radians)


def featurize_bonds(structure: Structure, *, atom_cutoff: float, bond_cutoff: float) -> Example:
    """Bonds and angles of one structure; atoms without a bond are kept.

    Args:
      structure: one that `check_atoms` accepts.
      atom_cutoff: largest length of a bond, Å.
      bond_cutoff: bonds must be shorter than this to enclose angles, Å.

    Returns:
      The fields of `bond_packing`. `short_numbers` says which short bond a bond is; of long bonds
      it says nothing, and `short_bonds` does not point back to them.
    """
    pairs = neighbor_pairs(structure, cutoff=atom_cutoff, half=True)
    lengths = pairs.lengths()
    short = np.flatnonzero(lengths < bond_cutoff)
    short_numbers = np.zeros(len(lengths), np.int32)
    short_numbers[short] = np.arange(len(short))
    angles = _angles_of(pairs, short, atoms=len(structure.atomic_numbers))
    return {
        "species": structure.atomic_numbers - np.int32(1),
        "centers": pairs.centers,
        "neighbors": pairs.neighbors,
        "lengths": lengths,
        "short_numbers": short_numbers,
        "short_bonds": short.astype(np.int32),
        "angle_atoms": angles.atoms,
        "first": angles.first,
        "second": angles.second,
        "radians": angles.radians,
        "has_angles": np.float32(len(angles.radians) > 0),
    }


def _angles_of(pairs: Pairs, short: Int[np.ndarray, " short"], *, atoms: int) -> Angles:
    centers, neighbors = pairs.centers[short], pairs.neighbors[short]
    return bond_angles(centers, neighbors, pairs.vectors[short], atoms=atoms)


@functools.cache
def bond_packing(atom_cutoff: float) -> GraphPacking:
    """How graphs of `featurize_bonds` are packed.

    Bonds of the padding are longer than the cutoff, so that messages along them vanish.

    Args:
      atom_cutoff: largest length of a bond, Å.

    Returns:
      Layout and budget of a batch.
    """
    layout = {
        "species": Field("atoms", dtype=np.int32),
        "centers": Field("bonds", points_to="atoms", dtype=np.int32),
        "neighbors": Field("bonds", points_to="atoms", dtype=np.int32),
        "lengths": Field("bonds", fill=2.0 * atom_cutoff),
        "short_numbers": Field("bonds", points_to="short_bonds", dtype=np.int32),
        "short_bonds": Field("short_bonds", points_to="bonds", dtype=np.int32),
        "angle_atoms": Field("angles", points_to="atoms", dtype=np.int32),
        "first": Field("angles", points_to="short_bonds", dtype=np.int32),
        "second": Field("angles", points_to="short_bonds", dtype=np.int32),
        "radians": Field("angles", fill=np.pi / 2),
        "has_angles": Field("graphs"),
    }
    # About 32 crystals of a dozen atoms.
    budget = {"atoms": 400, "bonds": 10240, "short_bonds": 1150, "angles": 16384}
    return GraphPacking(layout=layout, budget=budget)
