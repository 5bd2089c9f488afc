"""SMILES → molecular graph of fixed shape: atom and bond features, directed bonds.

The features are those of chemprop 2 ("V2"). An atom is five one-hot blocks with a place of their
own for values that are not listed, then two numbers:

    atomic number 38 | neighbors, hydrogens included 7 | formal charge 6 | chiral tag 5
    | hydrogens 6 | hybridization 8 | aromatic 1 | mass / 100 u                     = 72

and a bond is

    absent 1 (always 0 here) | type 4 (none set if not listed) | conjugated 1 | in a ring 1
    | double-bond stereo 7                                                          = 14

Every bond stands for two directed edges: bond b, from its begin to its end atom, is edge 2b, and
back is edge 2b + 1. So the reverse of edge e is e XOR 1, and needs no index of its own.

References:
  Heid et al., "Chemprop: a machine learning package for chemical property prediction",
  J. Chem. Inf. Model. 64, 9 (2024), doi:10.1021/acs.jcim.3c01250, and its documentation of the
  multi-hot featurizers; Yang et al., J. Chem. Inf. Model. 59, 3370 (2019).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from rdkit import Chem, rdBase

from jaxalign.models.encoder import Batch, Example, UnsupportedStructureError
from jaxalign.structures.structure import Structure

ATOM_FEATURES = 72
BOND_FEATURES = 14
# Directed edges a bucket has room for, per atom. Trees have just under 2, drug-like molecules up to
# 2.4, the small cages of QM9 up to 3; graphs denser than this move to the next bucket.
EDGES_PER_ATOM = 2.5

_HYBRIDIZATION = Chem.HybridizationType


def _places(values: Sequence[Hashable]) -> Mapping[Hashable, int]:
    return {value: place for place, value in enumerate(values)}


# Listed values of each one-hot block, in order; the place after the last is for all others.
_ATOM_BLOCKS = (
    _places([*range(1, 37), 53]),  # atomic number: four rows of the periodic table, and iodine
    _places(range(6)),  # neighbors, implicit hydrogens included
    _places([-1, -2, 1, 2, 0]),  # formal charge
    _places(range(4)),  # RDKit's number of the chiral tag
    _places(range(5)),  # hydrogens
    _places(
        [
            _HYBRIDIZATION.S,
            _HYBRIDIZATION.SP,
            _HYBRIDIZATION.SP2,
            _HYBRIDIZATION.SP2D,
            _HYBRIDIZATION.SP3,
            _HYBRIDIZATION.SP3D,
            _HYBRIDIZATION.SP3D2,
        ]
    ),
)
_ATOM_STARTS = tuple(np.cumsum([0, *(len(block) + 1 for block in _ATOM_BLOCKS)]).tolist())
_BOND_TYPES = {
    Chem.BondType.SINGLE: 1,
    Chem.BondType.DOUBLE: 2,
    Chem.BondType.TRIPLE: 3,
    Chem.BondType.AROMATIC: 4,
}
_CONJUGATED, _IN_RING, _STEREO, _STEREO_OTHER = 5, 6, 7, 6


def parse_smiles(smiles: str) -> Chem.Mol:
    """A sanitized molecule without explicit hydrogens; RDKit's own messages are silenced.

    Args:
      smiles: SMILES string.

    Returns:
      The molecule, with at least one atom.

    Raises:
      UnsupportedStructureError: if RDKit cannot read the string, or it holds no atom.
    """
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise UnsupportedStructureError(
            f"RDKit cannot read a molecule from the SMILES {smiles!r}; "
            "mend it or leave the structure out (on_error='skip')"
        )
    return molecule


def atom_features(molecule: Chem.Mol) -> Float[np.ndarray, "atoms 72"]:
    """Features of all atoms, as the module's docstring lists them.

    Args:
      molecule: a sanitized molecule.

    Returns:
      `[atoms, 72]` float32.
    """
    features = np.zeros((molecule.GetNumAtoms(), ATOM_FEATURES), np.float32)
    for row, atom in zip(features, molecule.GetAtoms(), strict=True):
        values = (
            atom.GetAtomicNum(),
            atom.GetTotalDegree(),
            atom.GetFormalCharge(),
            int(atom.GetChiralTag()),
            atom.GetTotalNumHs(),
            atom.GetHybridization(),
        )
        for start, block, value in zip(_ATOM_STARTS, _ATOM_BLOCKS, values, strict=False):
            row[start + block.get(value, len(block))] = 1
        row[-2] = atom.GetIsAromatic()
        row[-1] = 0.01 * atom.GetMass()  # of the isotope if one is given
    return features


def bond_features(molecule: Chem.Mol) -> Float[np.ndarray, "bonds 14"]:
    """Features of all bonds, as the module's docstring lists them.

    Args:
      molecule: a sanitized molecule.

    Returns:
      `[bonds, 14]` float32.
    """
    features = np.zeros((molecule.GetNumBonds(), BOND_FEATURES), np.float32)
    for row, bond in zip(features, molecule.GetBonds(), strict=True):
        kind = _BOND_TYPES.get(bond.GetBondType())
        if kind is not None:
            row[kind] = 1
        row[_CONJUGATED] = bond.GetIsConjugated()
        row[_IN_RING] = bond.IsInRing()
        row[_STEREO + min(int(bond.GetStereo()), _STEREO_OTHER)] = 1
    return features


def _bond_ends(molecule: Chem.Mol) -> Int[np.ndarray, "bonds 2"]:
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    return np.array(ends, np.int32).reshape(-1, 2)


def featurize_graph(structure: Structure) -> Example:
    """Molecular graph of a structure's SMILES string.

    Args:
      structure: a sample with a SMILES string; several molecules (`.`) are one graph.

    Returns:
      `atoms` `[atoms, 72]` float32, `bonds` `[edges, 14]` float32, `senders` and `receivers`
      `[edges]` int32, where the edges 2b and 2b + 1 are the two directions of bond b.

    Raises:
      UnsupportedStructureError: if there is no SMILES string, or it cannot be read.
    """
    if structure.smiles is None:
        raise UnsupportedStructureError(
            "2-D graph encoders need a SMILES string (bonds), and this structure has none; "
            "read the data from a source with SMILES"
        )
    molecule = parse_smiles(structure.smiles)
    ends = _bond_ends(molecule)
    return {
        "atoms": atom_features(molecule),
        "bonds": np.repeat(bond_features(molecule), 2, axis=0),
        "senders": ends.reshape(-1),
        "receivers": ends[:, ::-1].reshape(-1),
    }


def edge_slots(bucket: int) -> int:
    """Directed edges that a bucket of this many atoms has room for; even."""
    return 2 * int(EDGES_PER_ATOM * bucket / 2)


def graph_size(example: Example) -> int:
    """The smallest bucket that has room for all atoms and all directed edges of one graph."""
    atoms, edges = len(example["atoms"]), len(example["senders"])
    size = max(atoms, int(edges / EDGES_PER_ATOM))
    while edge_slots(size) < edges:
        size += 1
    return size


def collate_graphs(examples: Sequence[Example], bucket: int, batch_size: int) -> Batch:
    """Pads molecular graphs to one shape.

    Args:
      examples: at most `batch_size` graphs whose `graph_size` is at most `bucket`.
      bucket: atoms a row; it has room for `edge_slots(bucket)` directed edges.
      batch_size: rows.

    Returns:
      `atoms` `[batch_size, bucket, 72]`, `bonds` `[batch_size, edge_slots, 14]`, `senders` and
      `receivers` `[batch_size, edge_slots]` (−1 where there is no edge), `mask`
      `[batch_size, bucket]`.
    """
    slots = edge_slots(bucket)
    batch = {
        "atoms": np.zeros((batch_size, bucket, ATOM_FEATURES), np.float32),
        "bonds": np.zeros((batch_size, slots, BOND_FEATURES), np.float32),
        "senders": np.full((batch_size, slots), -1, np.int32),
        "receivers": np.full((batch_size, slots), -1, np.int32),
        "mask": np.zeros((batch_size, bucket), bool),
    }
    for row, example in enumerate(examples):
        atoms, edges = len(example["atoms"]), len(example["senders"])
        batch["atoms"][row, :atoms] = example["atoms"]
        batch["mask"][row, :atoms] = True
        for name in ("bonds", "senders", "receivers"):
            batch[name][row, :edges] = example[name]
    return batch
