"""Coordinates for SMILES: right molecules, chemistry's distances, the same every time, kept."""

import numpy as np
import pytest
from rdkit import Chem

from jaxalign.structures import conformers as module
from jaxalign.structures.conformers import conformers
from jaxalign.structures.datasets import load_dataset
from jaxalign.structures.records import StructureError
from jaxalign.structures.structure import Structure, StructureSet


def _set(*smiles):
    return StructureSet([Structure(id=f"m{i}", smiles=s) for i, s in enumerate(smiles)])


def test_molecules_get_their_atoms_and_bonds_of_the_right_length(rng):
    drawn = load_dataset("moses-scaffolds", n=6, seed=int(rng.integers(2**31)))
    for before, after in zip(drawn, conformers(drawn), strict=True):
        assert (after.id, after.smiles) == (before.id, before.smiles)
        molecule = Chem.AddHs(Chem.MolFromSmiles(before.smiles))
        numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
        np.testing.assert_array_equal(after.atomic_numbers, numbers)
        for bond in molecule.GetBonds():
            ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
            length = np.linalg.norm(after.positions[ends[0]] - after.positions[ends[1]])
            hydrogen = 1 in (numbers[ends[0]], numbers[ends[1]])
            assert 0.9 < length < (1.5 if hydrogen else 2.2)
        apart = after.positions[:, None] - after.positions[None]
        distances = np.sqrt((apart**2).sum(-1)) + 10 * np.eye(len(numbers))
        assert distances.min() > 0.85


def test_coordinates_do_not_depend_on_the_other_molecules_of_a_set():
    both, alone = conformers(_set("CCO", "c1ccccc1O")), conformers(_set("CCO"))
    np.testing.assert_array_equal(both[0].positions, alone[0].positions)
    other = conformers(_set("CCO"), seed=1)
    assert np.abs(other[0].positions - alone[0].positions).max() > 1e-3


def test_stored_coordinates_are_read_back_and_others_are_not(tmp_path, monkeypatch):
    path, drawn = tmp_path / "coordinates.npz", _set("CCO", "C1CC1N")
    first = conformers(drawn, store=path)
    monkeypatch.setattr(module, "_conformer", lambda *_: pytest.fail("computed again"))
    again = conformers(drawn, store=path)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.positions, b.positions)
        np.testing.assert_array_equal(a.atomic_numbers, b.atomic_numbers)
    monkeypatch.undo()
    moved = conformers(drawn, store=path, seed=5)
    assert np.abs(moved[0].positions - first[0].positions).max() > 1e-3
    path.write_bytes(path.read_bytes()[:50])  # damaged: made again, not trusted
    assert conformers(drawn, store=path).content_hash == first.content_hash


def test_positions_that_are_there_stay():
    known = load_dataset("qm9", n=2)
    assert conformers(known).content_hash == known.content_hash


def test_molecules_without_a_conformer_are_named_or_left_out(tmp_path):
    drawn = _set("CCO", "[Pu]", "not a smiles")
    with pytest.raises(StructureError, match=r"2 of 3 molecules .* m1"):
        conformers(drawn)
    for _ in range(2):  # computed, then read back
        kept = conformers(drawn, on_error="skip", store=tmp_path / "c.npz")
        assert kept.ids == ("m0",)
        assert [skipped.where for skipped in kept.skipped] == ["m1", "m2"]
