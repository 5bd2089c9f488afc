"""Bonds and angles against loops over all directed bonds; what padding points to."""

import numpy as np
import pytest

from jaxalign.models.atomistic.atom_graph import neighbor_pairs
from jaxalign.models.chgnet.bond_graph import bond_packing, featurize_bonds
from jaxalign.structures.structure import Structure

ATOM_CUTOFF, BOND_CUTOFF = 4.0, 3.0


def random_structure(rng, *, pbc, edge=3.1, atoms=4):
    # Sites of a grid, shaken: no two atoms close. Some bonds join an atom to its own image.
    cell = edge * (np.eye(3) + 0.1 * rng.normal(size=(3, 3)))
    sites = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]])[:atoms] / 2
    positions = (sites + 0.02 * rng.normal(size=(atoms, 3))) @ cell
    shifts = rng.integers(-2, 3, (atoms, 3)) * np.array(pbc)
    return Structure(
        id="x",
        atomic_numbers=rng.integers(1, 84, atoms).astype(np.int32),
        positions=positions + shifts @ cell,
        cell=cell,
        pbc=pbc,
    )


def featurize(structure):
    return featurize_bonds(structure, atom_cutoff=ATOM_CUTOFF, bond_cutoff=BOND_CUTOFF)


def angles_by_loops(structure):
    """(atom, length of the first bond, of the second, angle) of all pairs of directed bonds."""
    pairs = neighbor_pairs(structure, cutoff=BOND_CUTOFF)
    lengths, found = pairs.lengths(), []
    for e in range(len(lengths)):
        for f in range(len(lengths)):
            if e != f and pairs.centers[e] == pairs.centers[f]:
                cosine = pairs.vectors[e] @ pairs.vectors[f] / (lengths[e] * lengths[f])
                found.append((pairs.centers[e], lengths[e], lengths[f], cosine))
    return np.array(found).reshape(-1, 4)


def in_order(rows):
    return rows[np.lexsort(np.round(rows, 6).T[::-1])]


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (False, False, False)])
def test_angles_are_those_of_all_pairs_of_bonds_at_an_atom(rng, pbc):
    structure = random_structure(rng, pbc=pbc)
    example = featurize(structure)
    lengths = example["lengths"][example["short_bonds"]]
    first, second = lengths[example["first"]], lengths[example["second"]]
    cosines = np.cos(example["radians"]) / (1 - 1e-6)
    ours = np.column_stack([example["angle_atoms"], first, second, cosines])
    theirs = angles_by_loops(structure)
    assert len(ours) == len(theirs) > 0
    np.testing.assert_allclose(in_order(ours), in_order(theirs), atol=2e-5)


def test_both_ends_of_a_bond_hold_its_angles(rng):
    example = featurize(random_structure(rng, pbc=(True, True, True)))
    bonds = example["short_bonds"][example["first"]]
    ends = example["centers"][bonds], example["neighbors"][bonds]
    atoms = example["angle_atoms"]
    assert ((atoms == ends[0]) | (atoms == ends[1])).all()
    # Pairs of directed bonds come in both orders.
    for bonds in ("first", "second"):
        degree = np.bincount(example[bonds], minlength=len(example["short_bonds"]))
        np.testing.assert_array_equal(degree, np.bincount(example["first"], minlength=len(degree)))


def test_a_bond_to_the_own_image_makes_an_angle_with_itself():
    wire = Structure(
        id="wire",
        atomic_numbers=np.array([29], np.int32),
        positions=np.zeros((1, 3)),
        cell=np.diag([2.5, 9.0, 9.0]),
        pbc=(True, False, False),
    )
    example = featurize(wire)
    np.testing.assert_allclose(example["lengths"], [2.5])
    np.testing.assert_array_equal(example["first"], [0, 0])
    np.testing.assert_array_equal(example["second"], [0, 0])
    np.testing.assert_allclose(example["radians"], np.pi, atol=2e-3)


def test_only_short_bonds_are_pointed_back_to(rng):
    example = featurize(random_structure(rng, pbc=(True, True, True)))
    pointed = example["short_bonds"][example["short_numbers"]] == np.arange(len(example["lengths"]))
    np.testing.assert_array_equal(pointed, example["lengths"] < BOND_CUTOFF)
    assert 0 < pointed.sum() < len(pointed)


def test_an_atom_alone_has_neither_bonds_nor_angles():
    atom = Structure(
        id="Ne", atomic_numbers=np.array([10], np.int32), positions=np.array([[1.0, 2.0, 3.0]])
    )
    example = featurize(atom)
    assert example["species"].tolist() == [9]
    assert len(example["lengths"]) == len(example["radians"]) == len(example["short_bonds"]) == 0
    assert example["has_angles"] == 0


def test_packed_graphs_keep_their_bonds_and_padding_keeps_to_itself(rng):
    packing = bond_packing(ATOM_CUTOFF)
    structures = [random_structure(rng, pbc=(True, True, True)) for _ in range(3)]
    examples = [featurize(structure) for structure in structures]
    (plan,) = packing.plan(examples)
    batch = packing.collate(examples, plan.shape)
    for axis, name, target in (
        ("bonds", "centers", "atoms"),
        ("bonds", "short_numbers", "short_bonds"),
        ("short_bonds", "short_bonds", "bonds"),
        ("angles", "first", "short_bonds"),
        ("angles", "angle_atoms", "atoms"),
    ):
        real = batch[f"{axis}_mask"]
        pointed = batch[f"{target}_mask"][batch[name]]
        np.testing.assert_array_equal(pointed, real, err_msg=name)
    assert (batch["lengths"][~batch["bonds_mask"]] > ATOM_CUTOFF).all()
    lengths = batch["lengths"][batch["short_bonds"]][batch["short_bonds_mask"]]
    np.testing.assert_array_equal(
        lengths,
        np.concatenate([x["lengths"][x["short_bonds"]] for x in examples]).astype(np.float32),
    )
