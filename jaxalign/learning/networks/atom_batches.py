"""Inputs of the networks on atoms in space: molecules → rows of atoms, padded to few sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxalign.models.atomistic.atom_graph import check_atoms
from jaxalign.models.batching import RowBuckets
from jaxalign.models.encoder import Batch, Example
from jaxalign.structures.structure import Structure

ELEMENTS = range(1, 95)
"""Atomic numbers that have an embedding; it is random for those that no training molecule has."""
# Few: a compilation takes as long as some thousand molecules of QM9, and each of a study's networks
# is compiled anew.
BUCKETS = (8, 20, 32, 48, 64, 96, 128, 192, 256)
_PAIRS_PER_BATCH = 2**16


def featurize_atoms(structure: Structure) -> Example:
    """Inputs of one molecule.

    Args:
      structure: a molecule with positions, of elements up to plutonium, not periodic.

    Returns:
      `numbers` `[atoms]` int32 and `positions` `[atoms, 3]` float32, Å, from their mean.

    Raises:
      UnsupportedStructureError: if it is no such molecule, or atoms are coincident.
    """
    check_atoms(structure, known=ELEMENTS, family="this network", periodic=False)
    positions = np.asarray(structure.positions, np.float64)
    # Centered before rounding: far from the origin float32 would lose digits of the distances.
    centered = (positions - positions.mean(axis=0)).astype(np.float32)
    return {"numbers": np.asarray(structure.atomic_numbers, np.int32), "positions": centered}


def atom_count(example: Example) -> int:
    """Atoms of one molecule."""
    return len(example["numbers"])


def collate_atoms(examples: Sequence[Example], bucket: int, batch_size: int) -> Batch:
    """Pads molecules to one shape.

    Args:
      examples: at most `batch_size` molecules of at most `bucket` atoms.
      bucket: atoms a row.
      batch_size: rows.

    Returns:
      `numbers` `[batch_size, bucket]` int32 (0 is padding), `positions` `[batch_size, bucket, 3]`
      float32 and `mask` `[batch_size, bucket]`.
    """
    numbers = np.zeros((batch_size, bucket), np.int32)
    positions = np.zeros((batch_size, bucket, 3), np.float32)
    for row, example in enumerate(examples):
        count = atom_count(example)
        numbers[row, :count] = example["numbers"]
        positions[row, :count] = example["positions"]
    return {"numbers": numbers, "positions": positions, "mask": numbers > 0}


def rows_per_batch(bucket: int) -> int:
    """Molecules of a batch, so that it holds about the same number of pairs whatever their size."""
    return max(1, _PAIRS_PER_BATCH // bucket**2)


MOLECULES = RowBuckets(
    size=atom_count, buckets=BUCKETS, batch_size=rows_per_batch, pad=collate_atoms, grows=True
)
"""How molecules share batches."""
