"""SMILES → inputs of MiniMol: atoms in canonical order, kinds of bonds, positions in the graph.

An example holds the number of each bond's kind, and what the network makes of the features of a
kind it makes once for all bonds. Enantiomers and isotopologues have equal inputs but for the order
of their atoms. Hydrogens are removed where RDKit can (not `[2H]`, not `[H][H]`).

Messages arrive at an atom along its bonds. The first `SLOTS` bonds of an atom have places of their
own, `neighbor_0` … with `kinds`, which turns the sum over bonds into gathers; the bonds beyond, of
atoms like the sulfur in SF₆, form a short list of directed `extra` bonds.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from rdkit import Chem, rdBase

from jaxalign.models.encoder import Example, UnsupportedStructureError
from jaxalign.models.graph_packing import Field, GraphPacking
from jaxalign.models.minimol.graph_positions import (
    MODES,
    STEPS,
    adjacency,
    fragments,
    laplacian_modes,
    walk_returns,
)
from jaxalign.models.minimol.molecule_features import (
    ATOM_FEATURES,
    KINDS,
    atom_features,
    bonds_of,
)
from jaxalign.structures.structure import Structure

ABSENT = KINDS  # the kind of a bond that is not there
SLOTS = 4


def read_molecule(structure: Structure) -> Chem.Mol:
    """The molecule of a structure's SMILES string, sanitized.

    Args:
      structure: a sample with a SMILES string.

    Returns:
      The molecule as RDKit numbers it, with at least one atom.

    Raises:
      UnsupportedStructureError: if there is no SMILES string, RDKit cannot read it (it cannot be
        kekulized, for one), or it holds no atom.
    """
    if structure.smiles is None:
        raise UnsupportedStructureError(
            "2-D graph encoders need a SMILES string (bonds), and this structure has none; "
            "read the data from a source with SMILES"
        )
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(structure.smiles)
    if molecule is None or not molecule.GetNumAtoms():
        raise UnsupportedStructureError(
            f"RDKit cannot read a molecule from the SMILES {structure.smiles!r}; "
            "mend it or leave the structure out (on_error='skip')"
        )
    return molecule


def check_molecule(structure: Structure) -> None:
    """Raises whatever `featurize_molecule` would, at a fraction of its time.

    Args:
      structure: a sample.

    Raises:
      UnsupportedStructureError: as `read_molecule` does.
    """
    read_molecule(structure)


def canonical_order(molecule: Chem.Mol) -> Chem.Mol:
    """The molecule with its atoms in RDKit's canonical order, without explicit hydrogens.

    The order matters: eigenvectors of the Laplacian depend on it.
    """
    ranks = Chem.CanonicalRankAtoms(
        molecule, breakTies=True, includeChirality=True, includeIsotopes=True
    )
    renumbered = Chem.RenumberAtoms(molecule, np.argsort(np.array(ranks)).tolist())
    with rdBase.BlockLogs():
        return Chem.RemoveHs(renumbered)


def _places(
    atoms: int, pairs: Sequence[tuple[int, int]], kinds: Sequence[int]
) -> tuple[Int[np.ndarray, "atoms 4"], Int[np.ndarray, "atoms 4"], Int[np.ndarray, "extra 3"]]:
    """Deals directed bonds to the places of their receivers; those beyond go to a list."""
    neighbors = [[] for _ in range(atoms)]
    extra = []
    for (first, second), kind in zip(pairs, kinds, strict=True):
        for receiver, sender in ((first, second), (second, first)):
            if len(neighbors[receiver]) < SLOTS:
                neighbors[receiver].append((sender, kind))
            else:
                extra.append((receiver, sender, kind))
    # An absent bond comes from the atom itself: any atom of the molecule would do.
    full = [own + [(atom, ABSENT)] * (SLOTS - len(own)) for atom, own in enumerate(neighbors)]
    table = np.array(full, np.int32)
    return table[..., 0], table[..., 1], np.array(extra, np.int32).reshape(-1, 3)


def featurize_molecule(structure: Structure) -> Example:
    """Inputs of MiniMol for a structure's SMILES string.

    Args:
      structure: a sample with a SMILES string; several molecules (`.`) are one graph.

    Returns:
      The fields of `molecule_packing`.

    Raises:
      UnsupportedStructureError: as `read_molecule` does.
    """
    molecule = canonical_order(read_molecule(structure))
    pairs, kinds = bonds_of(molecule)
    atoms = molecule.GetNumAtoms()
    matrix = adjacency(atoms, pairs)
    values, vectors = laplacian_modes(matrix, fragments(atoms, pairs))
    neighbors, slot_kinds, extra = _places(atoms, pairs, kinds)
    return {
        "atoms": atom_features(molecule),
        "eigenvalues": values,
        "eigenvectors": vectors,
        "walks": walk_returns(matrix),
        **{f"neighbor_{slot}": neighbors[:, slot] for slot in range(SLOTS)},
        "kinds": slot_kinds,
        "extra_receivers": extra[:, 0],
        "extra_senders": extra[:, 1],
        "extra_kinds": extra[:, 2],
    }


@functools.cache
def molecule_packing() -> GraphPacking:
    """How inputs of `featurize_molecule` are packed into batches."""

    def zeros(width: int) -> Field:
        return Field("atoms", fill=(0.0,) * width)

    def pointer(axis: str) -> Field:
        return Field(axis, points_to="atoms", dtype=np.int32)

    layout = {
        "atoms": zeros(ATOM_FEATURES),
        "eigenvalues": zeros(MODES),
        "eigenvectors": zeros(MODES),
        "walks": zeros(STEPS),
        **{f"neighbor_{slot}": pointer("atoms") for slot in range(SLOTS)},
        "kinds": Field("atoms", fill=(float(ABSENT),) * SLOTS, dtype=np.int32),
        "extra_receivers": pointer("extra"),
        "extra_senders": pointer("extra"),
        "extra_kinds": Field("extra", fill=float(ABSENT), dtype=np.int32),
    }
    # Hardly any molecule has extra bonds: their axis is not what fills a batch.
    return GraphPacking(layout=layout, budget={"atoms": 768, "extra": 1024})
