"""Inputs of ANI and of its environment vectors: molecules → padded rows in few shapes."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from jaxalign.models.ani.aev_settings import AevSettings
from jaxalign.models.ani.neighbor_list import (
    atoms_size,
    check_molecule,
    collate_atoms,
    featurize_atoms,
)
from jaxalign.models.batching import RowBuckets
from jaxalign.models.encoder import Batch, Example
from jaxalign.structures.structure import Structure

# Wide steps: blocks of padding are skipped, and a compilation costs as much as 5,000 molecules.
BUCKETS = (8, 32, 48, 64, 96, 128, 192, 256, 512, 1024)
MAX_NEIGHBORS = 64
_ATOMS_PER_BATCH = 4096


def slots_per_atom(bucket: int) -> int:
    """Neighbors within the angular cutoff that an atom may have in a bucket of this many atoms.

    QM9 has at most 24, folded drug-like molecules and adamantanes up to 36; a more crowded molecule
    moves to a larger bucket.
    """
    most = 24 if bucket <= 32 else 36 if bucket <= 128 else MAX_NEIGHBORS
    return max(1, min(bucket - 1, most))


def rows_per_batch(bucket: int) -> int:
    """Molecules a batch; many, so that most blocks hold atoms of one kind."""
    return max(1, _ATOMS_PER_BATCH // bucket)


def featurize_molecule(structure: Structure, *, settings: AevSettings) -> Example:
    """Inputs of one molecule; see `featurize_atoms` for what is refused.

    Args:
      structure: a molecule of the elements of the settings.
      settings: of the environment vectors.

    Returns:
      What `featurize_atoms` gives.

    Raises:
      UnsupportedStructureError: if the network cannot represent the structure.
    """
    return featurize_atoms(
        structure,
        species=settings.species,
        cutoff=settings.angular_cutoff,
        max_neighbors=MAX_NEIGHBORS,
        family="ANI",
    )


def check_structure(structure: Structure, *, settings: AevSettings) -> None:
    """Refuses what `featurize_molecule` refuses, without making inputs.

    Args:
      structure: any structure.
      settings: of the environment vectors.

    Raises:
      UnsupportedStructureError: if the network cannot represent the structure.
    """
    check_molecule(
        structure,
        species=settings.species,
        cutoff=settings.angular_cutoff,
        max_neighbors=MAX_NEIGHBORS,
        family="ANI",
    )


def collate_molecules(examples: Sequence[Example], bucket: int, batch_size: int) -> Batch:
    """Pads molecules to one shape; see `collate_atoms`."""
    return collate_atoms(examples, bucket, batch_size, slots=slots_per_atom(bucket))


MOLECULES = RowBuckets(
    size=functools.partial(atoms_size, slots=slots_per_atom),
    buckets=BUCKETS,
    batch_size=rows_per_batch,
    pad=collate_molecules,
    grows=True,
)
"""How molecules share batches, whatever the elements."""
