"""Copies of structures that mean the same, and one that does not: turned, renumbered, stretched."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxalign.structures.perturb import perturb_structure, transformed
from jaxalign.structures.structure import Structure

_STRETCH = np.diag([1.05, 1.08, 1.12])


def rotated(structures: Sequence[Structure], *, copy: int, seed: int) -> list[Structure]:
    """Each structure under its own random rotation about the origin: positions, cell and backbone.

    Args:
      structures: with atoms or a backbone.
      copy: number of the copy; another one is another draw.
      seed: of all draws.

    Returns:
      Copies with the ids of the structures.
    """
    return [_perturbed(structure, "rotation", copy, seed) for structure in structures]


def renumbered(structures: Sequence[Structure], *, copy: int, seed: int) -> list[Structure]:
    """Each structure with its atoms in a random order.

    Args:
      structures: with atoms and positions.
      copy: number of the copy; another one is another draw.
      seed: of all draws.

    Returns:
      Copies with the ids of the structures.
    """
    return [_perturbed(structure, "permutation", copy, seed) for structure in structures]


def stretched(structures: Sequence[Structure]) -> list[Structure]:
    """Each structure larger, by 5 to 12 % along the axes.

    Nothing that looks at coordinates gives the same for it, neither at distances nor at angles.
    """
    return [transformed(structure, _STRETCH) for structure in structures]


def _perturbed(structure: Structure, kind: str, copy: int, seed: int) -> Structure:
    changed = perturb_structure(structure, kind, amplitude=1, copy=copy, seed=seed)
    return dataclasses.replace(changed, id=structure.id)  # a function may look at it
