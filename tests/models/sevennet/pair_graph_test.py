import ase.build
import numpy as np
import pytest

from jaxalign.models.atomistic.atom_graph import neighbor_pairs
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.sevennet.pair_graph import featurize_pairs
from jaxalign.structures.structure import Structure

ELEMENTS = (26, 8, 3, 15)


def structure(atoms):
    return Structure(
        id="x",
        atomic_numbers=atoms.numbers.astype(np.int32),
        positions=atoms.positions,
        cell=atoms.cell.array if atoms.pbc.any() else None,
        pbc=tuple(map(bool, atoms.pbc)),
    )


def crystal(rng):
    cell = np.diag([3.9, 4.4, 6.0]) + rng.uniform(-0.8, 0.8, (3, 3))
    corners = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0]])
    scaled = corners + rng.uniform(-0.05, 0.05, (4, 3)) + rng.integers(-2, 3, (4, 3))
    return structure(ase.Atoms("LiFePO", scaled_positions=scaled, cell=cell, pbc=True))


def sorted_rows(rows):
    return rows[np.lexsort(rows.round(6).T[::-1])]


def test_edges_and_their_reverses_are_the_full_list(rng):
    sample = crystal(rng)
    example = featurize_pairs(sample, elements=ELEMENTS, cutoff=5.0)
    first, second = example["first"][example["pair"]], example["second"][example["pair"]]
    one = np.column_stack([first, second, example["vectors"]])
    other = np.column_stack([second, first, -example["vectors"]])
    full = neighbor_pairs(sample, cutoff=5.0)
    expected = np.column_stack([full.centers, full.neighbors, full.vectors])
    found = np.concatenate([one, other])
    np.testing.assert_allclose(sorted_rows(found), sorted_rows(expected), atol=1e-6)


def test_pairs_are_unique_and_ascending(rng):
    example = featurize_pairs(crystal(rng), elements=ELEMENTS, cutoff=5.0)
    assert (example["first"] <= example["second"]).all()
    codes = example["first"] * 4 + example["second"]
    assert (np.diff(codes) > 0).all()
    assert (np.diff(example["pair"]) >= 0).all()
    assert set(example["pair"].tolist()) == set(range(len(codes)))
    assert example["species"].tolist() == [2, 0, 3, 1]


def test_an_isolated_atom_has_no_pairs():
    atom = Structure(id="x", atomic_numbers=np.array([8], np.int32), positions=np.zeros((1, 3)))
    example = featurize_pairs(atom, elements=ELEMENTS, cutoff=5.0)
    assert {name: len(array) for name, array in example.items()} == {
        "species": 1,
        "first": 0,
        "second": 0,
        "vectors": 0,
        "pair": 0,
    }


def test_foreign_elements_are_named():
    salt = structure(ase.build.bulk("NaCl", "rocksalt", a=5.6))
    with pytest.raises(UnsupportedStructureError, match="Na"):
        featurize_pairs(salt, elements=ELEMENTS, cutoff=5.0)
