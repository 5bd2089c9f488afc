import numpy as np
import pytest

from jaxalign.models.ani.neighbor_list import (
    atoms_size,
    check_molecule,
    collate_atoms,
    featurize_atoms,
    neighbor_slots,
)
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure


def atoms(numbers, positions, **rest):
    return Structure(
        id="x",
        atomic_numbers=np.array(numbers, np.int32),
        positions=np.array(positions, float),
        **rest,
    )


def featurize(structure, *, cutoff=2.0, most=8):
    return featurize_atoms(
        structure, species={1: 0, 6: 1}, cutoff=cutoff, max_neighbors=most, family="Test"
    )


def test_neighbors_are_all_atoms_within_the_cutoff_in_order(rng):
    positions = rng.uniform(-3, 3, (30, 3))
    slots = neighbor_slots(positions, cutoff=2.5)
    for i, row in enumerate(slots):
        near = [
            j for j in range(30) if j != i and np.linalg.norm(positions[i] - positions[j]) <= 2.5
        ]
        assert row[row >= 0].tolist() == near
        assert (row[len(near) :] == -1).all()


def test_positions_are_centered_so_that_float32_is_enough():
    example = featurize(atoms([1, 6], [[1e6, 0, 0], [1e6 + 1.1, 0, 0]]))
    np.testing.assert_allclose(example["positions"][:, 0], [-0.55, 0.55], atol=1e-9)
    batch = collate_atoms([example], 4, 2, slots=3)
    assert batch["positions"].dtype == np.float32
    assert batch["species"].tolist() == [[0, 1, -1, -1], [-1] * 4]
    assert batch["neighbors"][0, :2, 0].tolist() == [1, 0]
    assert batch["mask"].sum() == 2


def test_size_grows_for_a_crowded_atom():
    example = {"neighbors": np.zeros((5, 4), np.int32)}
    assert atoms_size(example, slots=lambda n: n - 1) == 5
    assert atoms_size(example, slots=lambda n: min(3, n) if n < 12 else 9) == 12


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (atoms([1, 9, 17], [[0, 0, 0], [1, 0, 0], [2, 0, 0]]), "H, C only.* F, Cl"),
        (atoms([1, 0], [[0, 0, 0], [1, 0, 0]]), "element 0"),
        (atoms([1, 1], [[0, 0, 0], [0.01, 0, 0]]), "atoms 0 and 1 are 0.01 Å apart"),
        (atoms([1, 1], [[0, 0, 0], [np.nan, 0, 0]]), "NaN"),
        (atoms([1], [[0, 0, 0]], cell=np.eye(3) * 9, pbc=(True, True, True)), "periodic"),
        (atoms([], np.zeros((0, 3))), "need atoms"),
        (Structure(id="x", smiles="C"), "need atoms"),
        (atoms([1] * 10, np.arange(30).reshape(10, 3) / 30), "positions are in Å"),
    ],
)
def test_unsupported_structures_are_refused_with_the_reason(structure, message):
    with pytest.raises(UnsupportedStructureError, match=message):
        featurize(structure)
    with pytest.raises(UnsupportedStructureError, match=message):
        check_molecule(structure, species={1: 0, 6: 1}, cutoff=2.0, max_neighbors=8, family="Test")


def test_a_molecule_passes_the_check():
    structure = atoms([1, 6, 6], [[0, 0, 0], [1, 0, 0], [0, 2, 0]])
    assert (
        check_molecule(structure, species={1: 0, 6: 1}, cutoff=2.0, max_neighbors=2, family="Test")
        is None
    )


def test_a_box_around_a_molecule_is_no_periodicity():
    example = featurize(atoms([1], [[4, 4, 4]], cell=np.eye(3) * 9))
    assert example["neighbors"].tolist() == [[-1]]
