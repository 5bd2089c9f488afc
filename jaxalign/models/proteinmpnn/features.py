"""Protein backbone → residues, their nearest neighbors and places in the chain. Host only.

Residues that lack an atom the network needs are left out. The originals keep them, but let them
send no message, so that no other residue depends on them; what does remain of a missing residue is
its place in the chain, which residue numbers hold.

The neighbors of a residue are the k nearest residues by the distance of CA atoms, itself included,
or all residues of a shorter chain. They are found by comparing with all residues, in blocks of
bounded memory; ties for the last place are broken arbitrarily, as in the originals.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxalign.models.encoder import Example, UnsupportedStructureError
from jaxalign.models.graph_packing import Field
from jaxalign.models.proteinmpnn.settings import MpnnSettings
from jaxalign.structures.structure import Structure

# Offsets beyond ±32 are all alike to the network, so longer gaps can be cut to this.
_LONGEST_STEP = 65
_BLOCK_ELEMENTS = 2**21  # distances held at once
_ALPHA = slice(1, 2)


def packing_layout(settings: MpnnSettings) -> dict[str, Field]:
    """What the arrays of `featurize_residues` are, for packing.

    Args:
      settings: of the network.

    Returns:
      Name → field.
    """
    slots = (settings.neighbors,)
    layout = {
        "points": Field("atoms", trailing=(3 if settings.alpha_only else 4, 3)),
        "numbers": Field("atoms", dtype=np.int32),
        "neighbors": Field("atoms", points_to="atoms", trailing=slots, dtype=np.int32),
        "degree": Field("atoms", dtype=np.int32),
    }
    return layout | ({"framed": Field("atoms", dtype=bool)} if settings.alpha_only else {})


def known_residues(structure: Structure, *, alpha_only: bool) -> Bool[np.ndarray, " residues"]:
    """Which residues have all atoms that the network needs.

    Args:
      structure: a protein with a backbone.
      alpha_only: only CA is needed.

    Returns:
      The mask; not all False.

    Raises:
      UnsupportedStructureError: if there is no backbone, none of its residues is complete, or
        residue numbers do not belong to it.
    """
    backbone, numbers = structure.backbone, structure.residue_numbers
    if backbone is None:
        raise UnsupportedStructureError(
            "protein structure encoders need backbone coordinates (N, CA, C, O), and this structure"
            " has none; read a PDB or mmCIF file, or use the data set 'proteins'"
        )
    if numbers is not None and len(numbers) != len(backbone):
        raise UnsupportedStructureError(
            f"the backbone has {len(backbone)} residues, but there are {len(numbers)} residue "
            "numbers; give one number a residue, or none at all"
        )
    needed = backbone[:, _ALPHA] if alpha_only else backbone
    known = np.isfinite(needed).all(axis=(1, 2))
    if not known.any():
        atoms = "a CA atom" if alpha_only else "all of N, CA, C and O"
        raise UnsupportedStructureError(
            f"none of the {len(backbone)} residues has {atoms}; "
            "complete the backbone or leave the structure out (on_error='skip')"
        )
    return known


def chain_places(
    numbers: Int[np.ndarray, " residues"] | None, count: int
) -> Int[np.ndarray, " residues"]:
    """Places of residues along the chain, in which gaps are seen but long ones are cut.

    Args:
      numbers: of the residues, or None.
      count: number of residues.

    Returns:
      Ascending numbers from 0. Residues that share a number (insertion codes) follow each other.
    """
    if numbers is None:
        return np.arange(count, dtype=np.int32)
    steps = np.clip(np.diff(numbers.astype(np.int64)), 1, _LONGEST_STEP)
    return np.concatenate([[0], np.cumsum(steps)]).astype(np.int32)


def nearest_residues(
    points: Float[np.ndarray, "residues 3"], k: int
) -> Int[np.ndarray, "residues neighbors"]:
    """The k residues nearest to each, itself included; all of them if there are fewer.

    Args:
      points: CA coordinates in Å.
      k: at most so many.

    Returns:
      Row numbers, ascending in each row.
    """
    count = len(points)
    if k >= count:
        return np.tile(np.arange(count, dtype=np.int32), (count, 1))
    columns = points.astype(np.float64).T
    found = np.empty((count, k), np.int32)
    step = max(1, _BLOCK_ELEMENTS // count)
    for start in range(0, count, step):
        rows = slice(start, start + step)
        squared = sum((column[rows, None] - column[None]) ** 2 for column in columns)
        found[rows] = np.argpartition(squared, k - 1, axis=1)[:, :k]
    return np.sort(found, axis=1)


def featurize_residues(settings: MpnnSettings, structure: Structure) -> Example:
    """Inputs of a network of this family.

    Args:
      settings: of the network.
      structure: a protein with a backbone.

    Returns:
      For the n residues that have all atoms needed, in their order:
      `points` `[n, 4, 3]` float32 (N, CA, C, O; Å), or `[n, 3, 3]` (CA of the residue before, of
      this, and of the one after) for CA-only networks;
      `numbers` `[n]` int32, places in the chain;
      `neighbors` `[n, k]` int32, of which the first `degree` `[n]` int32 are neighbors;
      and for CA-only networks `framed` `[n]` bool: whether the residue may have a local frame.

    Raises:
      UnsupportedStructureError: as `known_residues` says.
    """
    known = known_residues(structure, alpha_only=settings.alpha_only)
    places = chain_places(structure.residue_numbers, len(known))
    backbone = structure.backbone.astype(np.float32)
    nearest = nearest_residues(backbone[known][:, 1], settings.neighbors)
    # Slots that are not used point to the residue itself: anywhere inside the structure will do.
    neighbors = np.tile(np.arange(len(nearest), dtype=np.int32)[:, None], settings.neighbors)
    neighbors[:, : nearest.shape[1]] = nearest
    example = {
        "numbers": places[known],
        "neighbors": neighbors,
        "degree": np.full(len(nearest), nearest.shape[1], np.int32),
    }
    if not settings.alpha_only:
        return example | {"points": backbone[known]}
    # The original gives no frame to the first residue of the chain and to the last two.
    framed = (places >= 1) & (places <= places[-1] - 2)
    windows = _windows(backbone[:, 1], known, places)
    return example | {"points": windows[known], "framed": framed[known]}


def _windows(
    alpha: Float[np.ndarray, "residues 3"],
    known: Bool[np.ndarray, " residues"],
    places: Int[np.ndarray, " residues"],
) -> Float[np.ndarray, "residues 3 3"]:
    """CA of the residue before, this and after; at the origin, as in the original, if absent."""
    padded = np.zeros((len(alpha) + 2, 3), np.float32)
    padded[1:-1] = np.where(known[:, None], alpha, 0)
    follows = np.concatenate([[False], np.diff(places) == 1, [False]])
    before = np.where(follows[:-1, None], padded[:-2], 0)
    after = np.where(follows[1:, None], padded[2:], 0)
    return np.stack([before, padded[1:-1], after], axis=1)
