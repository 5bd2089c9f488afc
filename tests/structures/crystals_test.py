import ase
import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from jaxalign.structures.datasets import load_dataset


@pytest.fixture(scope="module")
def crystals():
    return load_dataset("crystals")


def test_all_are_periodic_crystals_with_two_labels(crystals):
    assert len(crystals) == len(set(crystals.ids)) == 3_938
    assert crystals[0].id == "crystals/mp-10"
    elements = set()
    for structure in crystals:
        assert structure.pbc == (True, True, True)
        assert 1 <= len(structure.positions) <= 25
        assert structure.positions.shape == (len(structure.atomic_numbers), 3)
        assert structure.smiles is None
        assert structure.group is None
        assert structure.labels.keys() == {
            "formation_energy_ev_per_atom",
            "energy_above_hull_ev_per_atom",
        }
        assert -5 < structure.labels["formation_energy_ev_per_atom"] < 3
        assert 0 <= structure.labels["energy_above_hull_ev_per_atom"] < 4
        elements |= set(structure.atomic_numbers.tolist())
    assert len(elements) == 86


def test_geometries_are_crystals_in_angstrom(crystals, rng):
    volumes = []
    for row in rng.choice(len(crystals), 25, replace=False).tolist():
        found = crystals[row]
        atoms = ase.Atoms(found.atomic_numbers, found.positions, cell=found.cell, pbc=found.pbc)
        shortest = neighbor_list("d", atoms, 6.0).min(initial=9.0)
        assert 0.7 < shortest < 6.0
        volumes.append(atoms.get_volume() / len(atoms))
    assert 8 < np.median(volumes) < 40


def test_arsenic_is_what_the_source_says(crystals):
    arsenic = crystals[0]
    assert arsenic.atomic_numbers.tolist() == [33, 33]
    assert arsenic.labels["energy_above_hull_ev_per_atom"] == pytest.approx(0.107405, abs=1e-6)
    np.testing.assert_allclose(np.linalg.det(arsenic.cell), 41.0296207, rtol=1e-6)
    # The first atom lies at a quarter of all three vectors.
    np.testing.assert_allclose(arsenic.positions[0], arsenic.cell.sum(axis=0) / 4, atol=1e-5)


def test_elements_and_draw():
    oxides = load_dataset("crystals", n=20, seed=1, elements=("O", "Mg", "Al", "Si"))
    assert len(oxides) == 20
    for structure in oxides:
        assert set(structure.atomic_numbers.tolist()) <= {8, 12, 13, 14}
    again = load_dataset("crystals", n=5, seed=1, elements=("O", "Mg", "Al", "Si"))
    assert again.ids == oxides.ids[:5]
