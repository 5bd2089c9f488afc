"""Inputs of networks whose messages are linear in a neighbor's features: pairs and their images.

In a crystal an atom i meets an atom j many times, in many periodic images. All these edges carry
features of the same j, so whatever depends on the distance and direction alone may be summed over
the images first: `edges` belong to `pairs` of atoms i ≤ j. Each pair and each edge is there once,
since its reverse has the same length and the opposite direction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxalign.models.atomistic.atom_graph import check_atoms, neighbor_pairs
from jaxalign.models.encoder import Example
from jaxalign.models.graph_packing import Field, GraphPacking
from jaxalign.structures.structure import Structure

PACKING = GraphPacking(
    layout={
        "species": Field("atoms", dtype=np.int32),
        "first": Field("pairs", points_to="atoms", dtype=np.int32),
        "second": Field("pairs", points_to="atoms", dtype=np.int32),
        "vectors": Field("edges", fill=(0.0, 0.0, 0.0)),
        "pair": Field("edges", points_to="pairs", dtype=np.int32),
    },
    # About 25 crystals of the Materials Project: intermediate arrays stay below 32 MB, which the
    # system's allocator keeps for the next batch.
    budget={"atoms": 384, "pairs": 2048, "edges": 4096},
)


def featurize_pairs(structure: Structure, *, elements: Sequence[int], cutoff: float) -> Example:
    """Inputs of one structure.

    Args:
      structure: a molecule or crystal of known elements.
      elements: atomic numbers in the order of the network's species.
      cutoff: Å.

    Returns:
      `species` `[atoms]`; `first` ≤ `second` `[pairs]`: atoms of each pair, ascending; `vectors`
      `[edges, 3]` from the first atom to the second, Å; `pair` `[edges]`: of each edge, ascending.

    Raises:
      UnsupportedStructureError: if there are no atoms, or they are of other elements, not finite,
        coincident, or in a flat cell.
    """
    check_atoms(structure, known=elements, family="SevenNet")
    pairs = neighbor_pairs(structure, cutoff=cutoff, half=True)
    turned = pairs.centers > pairs.neighbors
    first = np.where(turned, pairs.neighbors, pairs.centers)
    second = np.where(turned, pairs.centers, pairs.neighbors)
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    vectors = np.where(turned[:, None], -pairs.vectors, pairs.vectors)[order]
    is_new = np.ones(len(order), bool)
    is_new[1:] = (np.diff(first) != 0) | (np.diff(second) != 0)
    table = np.zeros(max(elements) + 1, np.int32)
    table[list(elements)] = np.arange(len(elements))
    return {
        "species": table[structure.atomic_numbers],
        "first": first[is_new],
        "second": second[is_new],
        "vectors": vectors,
        "pair": np.cumsum(is_new, dtype=np.int32) - 1,
    }
