import numpy as np
import pytest
from rdkit import Chem

from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.minimol.molecule_features import (
    ATOM_FEATURES,
    KINDS,
    group_and_period,
    kind_features,
)
from jaxalign.models.minimol.molecule_inputs import (
    ABSENT,
    SLOTS,
    check_molecule,
    featurize_molecule,
    molecule_packing,
)
from jaxalign.structures.structure import Structure


def example(smiles):
    return featurize_molecule(Structure(id="x", smiles=smiles))


def bonds(inputs):
    """(sender, receiver, kind) of every directed bond."""
    found = []
    for atom, kinds in enumerate(inputs["kinds"]):
        for slot, kind in enumerate(kinds):
            if kind != ABSENT:
                found.append((int(inputs[f"neighbor_{slot}"][atom]), atom, int(kind)))
    extra = (inputs[f"extra_{name}"].tolist() for name in ("senders", "receivers", "kinds"))
    return sorted(found + list(zip(*extra, strict=True)))


PLACES = {"H": (1, 1), "He": (18, 1), "Be": (2, 2), "B": (13, 2), "Cl": (17, 3), "Ca": (2, 4)}
PLACES |= {"Sc": (3, 4), "Fe": (8, 4), "Br": (17, 4), "Xe": (18, 5), "La": (3, 6), "Ce": (19, 6)}
PLACES |= {"Lu": (19, 6), "Hf": (4, 6), "Pb": (14, 6), "Ac": (3, 7), "Th": (19, 7), "Rf": (4, 7)}


@pytest.mark.parametrize("symbol", PLACES)
def test_place_in_the_periodic_table(symbol):
    number = Chem.GetPeriodicTable().GetAtomicNumber(symbol)
    assert group_and_period(number) == PLACES[symbol]


def test_a_dummy_atom_counts_as_the_last_element():
    assert group_and_period(0) == (18, 7)


def test_features_of_an_atom():
    """The nitrogen of methylammonium: four neighbors, charge +1; then N, group 15, period 2, V."""
    (row,) = (row for row in example("C[NH3+]")["atoms"] if row[1])
    expected = np.zeros(ATOM_FEATURES)
    expected[[0, 1]] = 4 - 2, 1
    expected[[5 + 1, 5 + 44 + 14, 5 + 44 + 20 + 1, 5 + 44 + 20 + 8 + 4]] = 1
    np.testing.assert_array_equal(row, expected)


def test_every_block_has_one_entry(rng):
    smiles = "[U+4].[CH3].c1cc[nH]c1.FS(F)(F)(F)(F)F.CC[Hg]C.*C"
    features = example(smiles)["atoms"]
    for start, stop in ((5, 49), (49, 69), (69, 77), (77, 85)):
        np.testing.assert_array_equal(features[:, start:stop].sum(axis=1), 1)


def test_kinds_of_bonds():
    table = kind_features()
    assert len(np.unique(table, axis=0)) == KINDS == len(table)
    single_in_chain = np.zeros(13)
    single_in_chain[[0, 5]] = 1
    np.testing.assert_array_equal(table[0], single_in_chain)
    aromatic = {kind for _, _, kind in bonds(example("c1ccccc1"))}
    (kind,) = aromatic
    np.testing.assert_array_equal(np.flatnonzero(table[kind]), [3, 5, 12])
    kinds = [{k for *_, k in bonds(example(s))} for s in ("C/C=C/C", "C/C=C\\C", "CC=CC")]
    assert kinds[0] != kinds[1] != kinds[2] != kinds[0]


@pytest.mark.parametrize("smiles", ["FS(F)(F)(F)(F)F", "C1CC2(C1)OC21CC1.[Na+]", "C[Fe](C)(C)(C)C"])
def test_bonds_beyond_the_slots_are_not_lost(smiles):
    molecule = Chem.MolFromSmiles(smiles)
    inputs = example(smiles)
    degrees = [0] * molecule.GetNumAtoms()
    pairs = set()
    for sender, receiver, _ in bonds(inputs):
        degrees[receiver] += 1
        pairs.add((sender, receiver))
    assert len(pairs) == 2 * molecule.GetNumBonds()
    assert pairs == {(b, a) for a, b in pairs}
    assert sorted(degrees) == sorted(atom.GetDegree() for atom in molecule.GetAtoms())
    assert len(inputs["extra_kinds"]) == sum(max(0, degree - SLOTS) for degree in degrees)


def test_written_hydrogens_are_removed_but_isotopes_stay():
    plain, written = example("CC"), example("[H]C([H])([H])C")
    assert plain.keys() == written.keys()
    for name in plain:
        np.testing.assert_array_equal(plain[name], written[name])
    assert len(example("[2H]C")["atoms"]) == 2
    assert len(example("[H][H]")["atoms"]) == 2


def test_order_of_a_smiles_does_not_matter(rng):
    smiles = "CC(=O)Oc1ccccc1C(=O)N"
    molecule = Chem.MolFromSmiles(smiles)
    order = rng.permutation(molecule.GetNumAtoms()).tolist()
    shuffled = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False)
    first, second = example(smiles), example(shuffled)
    for name in ("atoms", "eigenvalues", "eigenvectors", "walks"):
        np.testing.assert_array_equal(first[name], second[name])
    assert bonds(first) == bonds(second)


@pytest.mark.parametrize("smiles", [None, "", "c1cccc1", "C1CC", "C(C)(C)(C)(C)C", "no SMILES"])
def test_what_cannot_be_read_is_refused_by_the_check_too(smiles):
    structure = Structure(id="x", smiles=smiles)
    for function in (check_molecule, featurize_molecule):
        with pytest.raises(UnsupportedStructureError, match="SMILES"):
            function(structure)


def test_packing_points_inside_the_batch():
    packing = molecule_packing()
    examples = [example(smiles) for smiles in ("CCO", "[Na+].[Cl-]", "FS(F)(F)(F)(F)F", "C")]
    (plan,) = packing.plan(examples)
    batch = packing.collate(examples, plan.shape)
    starts = np.cumsum([0, *(len(one["atoms"]) for one in examples)])
    for number, one in enumerate(examples):
        rows = slice(starts[number], starts[number + 1])
        for slot in range(SLOTS):
            name = f"neighbor_{slot}"
            np.testing.assert_array_equal(batch[name][rows], one[name] + starts[number])
    assert (batch["kinds"][starts[-1] :] == ABSENT).all()
    count = sum(len(one["extra_kinds"]) for one in examples)
    assert (batch["extra_kinds"][count:] == ABSENT).all()
    assert batch["extra_receivers"][:count].tolist() == [int(batch["extra_receivers"][0])] * 2
