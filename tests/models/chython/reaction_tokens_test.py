import numpy as np
import pytest
from rdkit import Chem

from jaxalign.models.chython.reaction_tokens import (
    check_reaction,
    collate_reactions,
    featurize_reaction,
    token_count,
)
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure


def example(smiles):
    return featurize_reaction(Structure(id="x", smiles=smiles))


def test_tokens_of_a_molecule():
    tokens = example("CC=O")
    assert tokens["elements"].tolist() == [1, 8, 8, 10]
    assert tokens["neighbors"].tolist() == [0, 6, 5, 3]
    assert tokens["roles"].tolist() == [1, 2, 2, 2]
    expected = [[1, 1, 1, 1], [1, 2, 3, 4], [1, 3, 2, 3], [1, 4, 3, 2]]
    assert tokens["distances"].tolist() == expected


def test_tokens_of_a_reaction_leave_out_agents():
    tokens = example("C.[Na+]>O.Cl>CO")
    assert tokens["elements"].tolist() == [1, 8, 1, 13, 1, 8, 10]
    assert tokens["roles"].tolist() == [1, 2, 0, 2, 0, 3, 3]
    blocks = np.zeros((7, 7))
    blocks[:2, :2] = blocks[2:4, 2:4] = blocks[4:, 4:] = 1
    np.testing.assert_array_equal(tokens["distances"] > 0, blocks)


def test_parts_of_one_molecule_see_each_other_without_a_path():
    distances = example("CC.O")["distances"]
    assert distances[1, 3] == distances[3, 1] == 1
    assert distances[1, 2] == 3


def test_codes_end_where_the_tables_do():
    tokens = example("C" * 30 + ".[Og]")
    assert tokens["distances"].max() == 12
    assert tokens["elements"].max() == 120
    crowded = "[Fe](" + ")(".join("C" * 15) + ")C"
    assert example(crowded)["neighbors"].max() == 16


def test_written_hydrogens_are_atoms():
    assert example("[H]C([H])([H])[H]")["elements"].tolist() == [1, 3, 8, 3, 3, 3]
    assert example("[H]C([H])([H])[H]")["neighbors"].tolist() == [0, 3, 6, 3, 3, 3]
    assert example("C")["neighbors"].tolist() == [0, 6]


def test_distances_are_shortest_paths(rng):
    """Against powers of the adjacency matrix."""
    molecule = Chem.MolFromSmiles("C1CC2(C1)OC21CC1c1ccccc1")
    order = rng.permutation(molecule.GetNumAtoms()).tolist()
    smiles = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False)
    bonds = Chem.GetAdjacencyMatrix(Chem.MolFromSmiles(smiles))
    step = bonds + np.eye(len(bonds), dtype=int)
    reached, expected = np.eye(len(bonds), dtype=int), np.zeros_like(bonds)
    for _ in range(len(bonds)):
        expected += reached == 0
        reached = np.minimum(reached @ step, 1)
    np.testing.assert_array_equal(
        example(smiles)["distances"][1:, 1:], np.minimum(expected, 10) + 2
    )


@pytest.mark.parametrize(
    "smiles", [None, "", "c1cccc1", "C1CC", ">>", "C>C", "C>>C>C", "C>>xyz", "C..C>>C"]
)
def test_what_cannot_be_read_is_refused_by_the_check_too(smiles):
    structure = Structure(id="x", smiles=smiles)
    for function in (check_reaction, featurize_reaction):
        with pytest.raises(UnsupportedStructureError, match=r"SMILES|reaction"):
            function(structure)


def test_a_dative_bond_is_no_reaction():
    assert token_count(example("O->[Fe]")) == 3


def test_padding_attends_to_something():
    batch = collate_reactions([example("CO"), example("C>>O")], 6, 3)
    assert {name: array.shape for name, array in batch.items()} == {
        **dict.fromkeys(("elements", "neighbors", "roles"), (3, 6)),
        "distances": (3, 6, 6),
    }
    assert (batch["distances"].max(axis=2) > 0).all()
    assert (batch["roles"][:, 0] == 1).all()
    assert (batch["distances"][0, :3, 3:] == 0).all()
