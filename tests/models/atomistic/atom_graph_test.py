"""Pairs within a cutoff against ASE, for open, periodic, skewed and tiny cells; refused input."""

import numpy as np
import pytest
from ase.neighborlist import primitive_neighbor_list

from jaxalign.models.atomistic.atom_graph import check_atoms, neighbor_pairs
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure

SKEWED = np.array([[4.0, 0, 0], [1, 4.2, 0], [2, 1.5, 5]])
CASES = {
    "crystal": (SKEWED, (True, True, True)),
    "slab": (SKEWED, (True, True, False)),
    "slab without a third vector": (SKEWED * [[1], [1], [0]], (True, True, False)),
    "wire": (SKEWED, (False, True, False)),
    "molecule": (np.zeros((3, 3)), (False, False, False)),
    "flat but not degenerate": (np.diag([3.0, 3.0, 0.9]), (True, True, True)),
    "left-handed": (-SKEWED, (True, True, True)),
    "strongly skewed": (np.array([[3.0, 0, 0], [2.9, 0.8, 0], [0.5, 0.2, 3]]), (True, True, True)),
}


def structure(rng, cell, pbc, atoms=6):
    # Positions outside the cell are part of the test.
    positions = rng.normal(size=(atoms, 3)) * 5
    numbers = rng.integers(1, 90, atoms).astype(np.int32)
    return Structure(id="x", atomic_numbers=numbers, positions=positions, cell=cell, pbc=pbc)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("atoms", [1, 6])
def test_pairs_are_those_of_ase(rng, case, atoms):
    x = structure(rng, *CASES[case], atoms=atoms)
    pairs = neighbor_pairs(x, cutoff=4.7)
    i, j, shifts, vectors = primitive_neighbor_list(
        "ijSD", np.array(x.pbc), x.cell, x.positions, 4.7
    )
    order = np.lexsort((*shifts.T[::-1], j, i))
    np.testing.assert_array_equal(pairs.centers, i[order])
    np.testing.assert_array_equal(pairs.neighbors, j[order])
    np.testing.assert_array_equal(pairs.shifts, shifts[order])
    np.testing.assert_allclose(pairs.vectors, vectors[order], atol=1e-12)
    np.testing.assert_allclose(pairs.lengths(), np.linalg.norm(vectors[order], axis=1))


def test_half_a_list_has_each_pair_once(rng):
    x = structure(rng, *CASES["crystal"])
    full, half = neighbor_pairs(x, cutoff=5.0), neighbor_pairs(x, cutoff=5.0, half=True)

    def keys(pairs, sign=1):
        ends = (pairs.centers, pairs.neighbors)[::sign]
        return set(map(tuple, np.column_stack([*ends, sign * pairs.shifts]).tolist()))

    assert keys(half) | keys(half, -1) == keys(full)
    assert len(half.centers) * 2 == len(full.centers)


def check(x, **options):
    check_atoms(x, known=range(1, 95), family="Test", **options)


def test_sound_structures_pass(rng):
    for cell, pbc in CASES.values():
        far = np.array([[0.0, 0, 0], [1.1, 0.4, 0.3]])
        check(Structure("x", np.array([1, 8], np.int32), far, cell, pbc))
    check(Structure("x", np.array([2], np.int32), np.zeros((1, 3))))


def bad(**changes):
    sound = {
        "id": "x",
        "atomic_numbers": np.array([1, 8], np.int32),
        "positions": np.array([[0.0, 0, 0], [1, 0, 0]]),
        "cell": np.eye(3) * 4,
        "pbc": (True, True, True),
    }
    return Structure(**(sound | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"atomic_numbers": np.array([1, 99], np.int32)},
            "Test knows 94 elements only, and the structure holds Es",
        ),
        ({"atomic_numbers": np.array([0, 300], np.int32)}, "element 0|X, element 300"),
        ({"positions": np.array([[0, 0, 0], [np.nan, 0, 0]])}, "NaN"),
        ({"positions": np.array([[0, 0, 0], [4.01, 0, 0]])}, r"atoms 0 and 1 are 0\.01 Å"),
        ({"cell": np.diag([4.0, 4, 0])}, "span no volume"),
        ({"cell": np.array([[4.0, 0, 0], [8, 0, 0], [0, 0, 4]])}, "span no volume"),
        ({"cell": None}, "no finite cell"),
        ({"positions": None}, "need atoms with positions"),
        ({"atomic_numbers": np.zeros(0, np.int32), "positions": np.zeros((0, 3))}, "need atoms"),
    ],
)
def test_bad_structures_are_refused_with_a_reason(changes, message):
    with pytest.raises(UnsupportedStructureError, match=message):
        check(bad(**changes))


def test_periodic_structures_are_refused_where_molecules_are_wanted():
    with pytest.raises(UnsupportedStructureError, match="Test takes molecules"):
        check(bad(), periodic=False)
    check(bad(pbc=(False, False, False)), periodic=False)
