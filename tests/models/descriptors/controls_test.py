"""Controls without weights: exact values, and rows that depend on their structure alone."""

import ase.build
import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem, rdBase

from jaxalign.models.descriptors.controls import ENTRIES, composition, gaussian_noise
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure

ENCODERS = {entry.card.id: entry.build(entry) for entry in ENTRIES}
ETHANOL = Structure(id="ethanol", smiles="CCO")
MOLECULES = [
    Structure(id=str(i), smiles=s)
    for i, s in enumerate(["C", "CCO", "c1ccccc1", "C[C@H](N)C(=O)O", "OCC", "[Na+].[Cl-]"])
]


def test_composition_of_ethanol_from_both_views():
    wanted = np.zeros(100)
    wanted[[0, 5, 7]] = 6 / 9, 2 / 9, 1 / 9
    np.testing.assert_allclose(composition(ETHANOL), wanted, rtol=1e-12)
    atoms = Structure(
        id="atoms",
        atomic_numbers=np.array([6, 6, 8, 1, 1, 1, 1, 1, 1], np.int32),
        positions=np.zeros((9, 3)),
    )
    np.testing.assert_allclose(composition(atoms), wanted, rtol=1e-12)


@pytest.mark.parametrize("number", [0, 101])
def test_composition_refuses_foreign_elements(number):
    alien = Structure(id="alien", atomic_numbers=np.array([6, number], np.int32))
    with pytest.raises(UnsupportedStructureError, match=rf"'alien' .*\[{number}\].*1 to 100"):
        composition(alien)


def test_crystals_are_counted_by_their_cell_and_composed_by_their_formula():
    cell = ase.build.bulk("NaCl", "rocksalt", a=5.64)
    rows = {}
    for copies in (1, 2):
        atoms = cell.repeat((copies, 1, 1))
        crystal = Structure(
            id="salt",
            atomic_numbers=atoms.numbers.astype(np.int32),
            positions=atoms.positions,
            cell=np.array(atoms.cell),
            pbc=(True, True, True),
        )
        rows[copies] = [
            ENCODERS[name].embed([crystal])[0] for name in ("composition", "atom-count")
        ]
    assert np.flatnonzero(rows[1][0]).tolist() == [10, 16]
    np.testing.assert_array_equal(rows[1][0], rows[2][0])
    np.testing.assert_array_equal([rows[1][1], rows[2][1]], [[2, 1], [4, 1]])


def test_atom_count():
    values = ENCODERS["atom-count"].embed(MOLECULES[:3])
    np.testing.assert_array_equal(values, [[5, 1], [9, 1], [12, 1]])


def test_ecfp4_equals_the_older_rdkit_interface():
    values = ENCODERS["ecfp4"].embed(MOLECULES)
    for row, structure in zip(values, MOLECULES, strict=True):
        with rdBase.BlockLogs():
            molecule = Chem.MolFromSmiles(structure.smiles)
            bits = AllChem.GetMorganFingerprintAsBitVect(molecule, 2, nBits=2048)
        assert set(np.flatnonzero(row)) == set(bits.GetOnBits())
    np.testing.assert_array_equal(values[1], values[4])


def test_noise_is_normal_and_keyed_by_id_and_seed():
    structures = [Structure(id=f"s{i}") for i in range(2000)]
    values = ENCODERS["gaussian-noise"].embed(structures)
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
    np.testing.assert_array_equal(gaussian_noise(structures[0]), gaussian_noise(Structure(id="s0")))
    assert abs(np.corrcoef(values[0], values[1])[0, 1]) < 0.4
    assert not np.array_equal(gaussian_noise(structures[0], seed=1), gaussian_noise(structures[0]))


@pytest.mark.parametrize("name", ENCODERS)
def test_rows_do_not_depend_on_batch_or_order(name, rng):
    encoder = ENCODERS[name]
    values = encoder.embed(MOLECULES)
    assert values.shape == (len(MOLECULES), encoder.card.width)
    assert values.dtype == np.float32
    order = rng.permutation(len(MOLECULES))
    np.testing.assert_array_equal(encoder.embed([MOLECULES[i] for i in order]), values[order])
    np.testing.assert_array_equal(encoder.embed(MOLECULES[2:3]), values[2:3])


@pytest.mark.parametrize("name", ["composition", "atom-count", "ecfp4"])
def test_refusals_name_the_structure(name):
    for bad in (Structure(id="bad"), Structure(id="bad", smiles="C1CC")):
        with pytest.raises(UnsupportedStructureError, match="'bad'"):
            ENCODERS[name].embed([ETHANOL, bad])


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.card.id)
def test_cards(entry):
    assert (entry.card.modality, entry.card.verified) == ("control", "none")
    assert not entry.card.pretrained
    assert entry.archives == ()
