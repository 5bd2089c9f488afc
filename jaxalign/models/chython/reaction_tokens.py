"""SMILES of molecules and reactions → tokens of chython's graph transformer.

A molecule is one token for itself and one for each atom, which knows its element, its number of
neighbors (hydrogens included) and how many bonds it is away from each other atom. Bond orders,
aromaticity, charges, stereo and isotopes are not inputs. Codes, as the network was trained:

    elements    1 molecule, else atomic number + 2;  0 padding
    neighbors   0 molecule and padding, else min(bonds + hydrogens, 14) + 2
    distances   min(bonds, 10) + 2 between atoms of a molecule; 1 where no path joins them, and
                between the molecule's token and all its others; 0 between molecules: not attended
    roles       1 the reaction, 2 atom of a reactant, 3 atom of a product;  0 others

Molecules of a reaction follow one another, reactants first; agents are left out. A molecule of
several parts (`.`) that is no reaction is one molecule, here a reactant without a product.

The original puts one more token in front, for the reaction. As long as molecules are looked at it
attends to itself alone, and nothing attends to it; then its state is replaced, like those of the
molecules' tokens, of which nothing is used from there on. So slot 0 serves here first as the token
of the first molecule and then as that of the reaction.

References:
  Nugmanov et al., "Bidirectional Graphormer for reactivity understanding: neural network trained to
  reaction atom-to-atom mapping task", J. Chem. Inf. Model. 62, 3307 (2022); the documentation of
  chython for the codes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rdkit import Chem, rdBase

from jaxalign.models.encoder import Batch, Example, UnsupportedStructureError
from jaxalign.structures.structure import Structure

MOLECULE_TOKEN, SHIFT = 1, 2
MAX_NEIGHBORS, MAX_DISTANCE = 14, 10
NO_PATH = 1
REACTION, REACTANT, PRODUCT = 1, 2, 3
ELEMENTS, NEIGHBORS, DISTANCES, ROLES = 121, 17, 13, 4  # numbers of codes
_UNREACHED = 1e6  # RDKit's distance between parts is 10⁸

_Parts = list[tuple[Chem.Mol, int]]


def _read(smiles: str, whole: str) -> Chem.Mol:
    # Hydrogens that are written as atoms stay atoms, as in the original.
    settings = Chem.SmilesParserParams()
    settings.removeHs = False
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles, settings)
    if molecule is None or not molecule.GetNumAtoms():
        raise UnsupportedStructureError(
            f"RDKit cannot read a molecule from the SMILES {smiles!r}"
            f"{'' if smiles == whole else f' of the reaction {whole!r}'}; "
            "mend it or leave the structure out (on_error='skip')"
        )
    return molecule


def read_parts(structure: Structure) -> _Parts:
    """Molecules of a structure's SMILES, each with the role of its atoms.

    Args:
      structure: a sample with the SMILES of a molecule, or of a reaction
        (`reactants>agents>products`).

    Returns:
      Reactants, then products; agents are left out. A molecule is a reactant.

    Raises:
      UnsupportedStructureError: if there is no SMILES string, or RDKit cannot read it.
    """
    smiles = structure.smiles
    if smiles is None:
        raise UnsupportedStructureError(
            "2-D graph encoders need a SMILES string (bonds), and this structure has none; "
            "read the data from a source with SMILES"
        )
    if ">" not in smiles.replace("->", ""):
        return [(_read(smiles, smiles), REACTANT)]
    sides = smiles.split(">")
    if len(sides) != 3:
        raise UnsupportedStructureError(
            f"a reaction is written reactants>agents>products, with two '>': got {smiles!r}"
        )
    reactants, _, products = (side.split(".") if side else [] for side in sides)
    parts = [(_read(one, smiles), REACTANT) for one in reactants]
    parts += [(_read(one, smiles), PRODUCT) for one in products]
    if not parts:
        raise UnsupportedStructureError(
            f"the reaction {smiles!r} has neither reactants nor products; leave it out"
        )
    return parts


def check_reaction(structure: Structure) -> None:
    """Raises whatever `featurize_reaction` would.

    Args:
      structure: a sample.

    Raises:
      UnsupportedStructureError: as `read_parts` does.
    """
    read_parts(structure)


def featurize_reaction(structure: Structure) -> Example:
    """Tokens of a structure's SMILES, which may be a molecule or a reaction.

    Args:
      structure: a sample with a SMILES string.

    Returns:
      `elements`, `neighbors` and `roles` `[tokens]`, `distances` `[tokens, tokens]`, all int32.

    Raises:
      UnsupportedStructureError: as `read_parts` does.
    """
    parts = read_parts(structure)
    tokens = sum(1 + molecule.GetNumAtoms() for molecule, _ in parts)
    example = {name: np.zeros(tokens, np.int32) for name in ("elements", "neighbors", "roles")}
    distances = np.zeros((tokens, tokens), np.int32)
    start = 0
    for molecule, role in parts:
        first, stop = start + 1, start + 1 + molecule.GetNumAtoms()
        numbers = [(a.GetAtomicNum(), a.GetTotalDegree()) for a in molecule.GetAtoms()]
        elements, neighbors = np.array(numbers, np.int32).T
        example["elements"][start] = MOLECULE_TOKEN
        example["elements"][first:stop] = elements + SHIFT
        example["neighbors"][first:stop] = np.minimum(neighbors, MAX_NEIGHBORS) + SHIFT
        example["roles"][first:stop] = role
        bonds = Chem.GetDistanceMatrix(molecule)
        codes = np.where(bonds > _UNREACHED, NO_PATH, np.minimum(bonds, MAX_DISTANCE) + SHIFT)
        distances[start:stop, start:stop] = NO_PATH
        distances[first:stop, first:stop] = codes
        start = stop
    example["roles"][0] = REACTION
    return {**example, "distances": distances}


def token_count(example: Example) -> int:
    """Number of tokens of one example."""
    return len(example["elements"])


def collate_reactions(examples: Sequence[Example], bucket: int, batch_size: int) -> Batch:
    """Pads examples to one shape.

    Args:
      examples: at most `batch_size`, of at most `bucket` tokens.
      bucket: tokens a row.
      batch_size: rows.

    Returns:
      `elements`, `neighbors` and `roles` `[batch_size, bucket]`, `distances`
      `[batch_size, bucket, bucket]`. Tokens of the padding attend to themselves, or to slot 0: a
      token that attends to nothing would be NaN.
    """
    shape = (batch_size, bucket)
    batch = {name: np.zeros(shape, np.int32) for name in ("elements", "neighbors", "roles")}
    distances = np.zeros((*shape, bucket), np.int32)
    own = np.arange(bucket)
    distances[:, own, own] = NO_PATH
    batch["roles"][:, 0] = REACTION
    for row, example in enumerate(examples):
        count = token_count(example)
        for name, array in batch.items():
            array[row, :count] = example[name]
        distances[row, :count, :count] = example["distances"]
    return {**batch, "distances": distances}
