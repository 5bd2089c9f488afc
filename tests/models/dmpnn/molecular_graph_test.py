import numpy as np
import pytest
from rdkit import Chem

from jaxalign.models.dmpnn.molecular_graph import (
    ATOM_FEATURES,
    BOND_FEATURES,
    collate_graphs,
    edge_slots,
    featurize_graph,
    graph_size,
)
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure


def graph(smiles):
    return featurize_graph(Structure(id="x", smiles=smiles))


def hot(row):
    return np.flatnonzero(row).tolist()


def test_features_of_a_carbon_counted_by_hand():
    (row,) = graph("C")["atoms"]
    # element 6 at 5; degree 4 at 38 + 4; charge 0 last of 5 at 45 + 4; tag 0 at 51; 4 hydrogens at
    # 56 + 4; sp3 fifth at 62 + 4; not aromatic; mass last.
    assert hot(row) == [5, 42, 49, 51, 60, 66, 71]
    assert row[71] == np.float32(0.12011)
    assert len(row) == ATOM_FEATURES


def test_features_of_foreign_values_have_their_own_place():
    (row,) = graph("[U+6]")["atoms"]
    assert hot(row)[:3] == [37, 38, 50]  # other element, degree 0, other charge
    ammonium = graph("[NH4+]")["atoms"][0]
    assert hot(ammonium)[2] == 45 + 2  # charge +1 is third
    heavy = graph("[2H]O[2H]")["atoms"]
    assert heavy[0, 71] == pytest.approx(0.02014, abs=1e-5)  # the isotope's mass


def test_bonds_counted_by_hand():
    benzene = graph("c1ccccc1")["bonds"]
    assert benzene.shape == (12, BOND_FEATURES)
    assert {tuple(hot(row)) for row in benzene} == {(4, 5, 6, 7)}
    assert hot(graph("CC")["bonds"][0]) == [1, 7]
    assert hot(graph("C#N")["bonds"][0]) == [3, 7]
    # trans is stereo value 3 and cis 2 for stereo read from SMILES (E, Z)
    trans, cis = graph("C/C=C/C")["bonds"][2], graph("C/C=C\\C")["bonds"][2]
    assert hot(trans) == [2, 7 + int(Chem.BondStereo.STEREOE)]
    assert hot(cis) == [2, 7 + int(Chem.BondStereo.STEREOZ)]
    assert hot(graph("N->[Pt]")["bonds"][0]) == [7]  # a dative bond has no type


@pytest.mark.parametrize("smiles", ["C", "CCO", "[Na+].[Cl-]", "C1CC2(C1)OC21CC1", "CC.OC"])
def test_edges_come_in_pairs_of_opposite_directions(smiles):
    example = graph(smiles)
    senders, receivers = example["senders"], example["receivers"]
    reverse = np.arange(len(senders)) ^ 1
    np.testing.assert_array_equal(senders[reverse], receivers)
    np.testing.assert_array_equal(example["bonds"][reverse], example["bonds"])
    molecule = Chem.MolFromSmiles(smiles)
    adjacency = np.zeros((molecule.GetNumAtoms(),) * 2, int)
    adjacency[senders, receivers] += 1
    np.testing.assert_array_equal(adjacency, Chem.GetAdjacencyMatrix(molecule))


@pytest.mark.parametrize("smiles", ["C", "CCO", "C12C3C4C1C5C2C3C45", "C1CC2(C1)OC21CC1", "C" * 40])
def test_size_has_room_for_atoms_and_edges_and_is_the_smallest(smiles):
    example = graph(smiles)
    size = graph_size(example)
    atoms, edges = len(example["atoms"]), len(example["senders"])
    assert size >= atoms
    assert edge_slots(size) >= edges
    assert edge_slots(size) % 2 == 0
    assert size == atoms or edge_slots(size - 1) < edges


def test_collate_pads_and_marks():
    examples = [graph("C"), graph("CCO")]
    batch = collate_graphs(examples, 4, 3)
    assert batch["atoms"].shape == (3, 4, ATOM_FEATURES)
    assert batch["bonds"].shape == (3, edge_slots(4), BOND_FEATURES)
    np.testing.assert_array_equal(batch["mask"].sum(axis=1), [1, 3, 0])
    np.testing.assert_array_equal((batch["senders"] >= 0).sum(axis=1), [0, 4, 0])
    np.testing.assert_array_equal(batch["atoms"][1, :3], examples[1]["atoms"])
    assert not batch["atoms"][2].any()


@pytest.mark.parametrize("smiles", ["", "C1CC", "not a molecule", "C(C)(C)(C)(C)(C)C"])
def test_unreadable_smiles_are_named_without_noise(smiles, capfd):
    with pytest.raises(UnsupportedStructureError, match="SMILES"):
        graph(smiles)
    captured = capfd.readouterr()
    assert captured.err == captured.out == ""


def test_structure_without_smiles_says_what_is_wanted():
    atoms = Structure(id="x", atomic_numbers=np.array([6], np.int32), positions=np.zeros((1, 3)))
    with pytest.raises(UnsupportedStructureError, match="need a SMILES"):
        featurize_graph(atoms)
