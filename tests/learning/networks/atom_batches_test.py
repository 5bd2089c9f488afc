"""Inputs of the networks on atoms in space, and what these networks must not see."""

import dataclasses

import numpy as np
import pytest

from jaxalign.learning.networks.atom_batches import collate_atoms, featurize_atoms
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.structures.structure import Structure
from tests.learning.networks.molecules import (
    case,
    drawn_params,
    random_molecules,
    random_rotation,
)


def molecule(numbers, positions, **more):
    return Structure("m", np.array(numbers, np.int32), np.array(positions, float), **more)


@pytest.mark.parametrize("architecture", ["invariant", "equivariant"])
def test_motions_and_the_order_of_atoms_change_nothing(architecture, rng):
    it = case(architecture)
    params = drawn_params(it.network, rng)
    (one,) = random_molecules(rng, sizes=[9])
    order = rng.permutation(9)
    variants = [
        one,
        dataclasses.replace(one, positions=one.positions @ random_rotation(rng).T),
        dataclasses.replace(one, positions=-one.positions),
        dataclasses.replace(one, positions=one.positions + rng.normal(0, 1e4, 3)),
        dataclasses.replace(
            one, atomic_numbers=one.atomic_numbers[order], positions=one.positions[order]
        ),
        dataclasses.replace(one, positions=1.5 * one.positions),
    ]
    rows, predictions = it.run(params, it.batch(variants))
    for values in (rows, predictions):
        scale = np.abs(values).max()
        np.testing.assert_allclose(values[1:5], np.stack([values[0]] * 4), atol=1e-4 * scale)
    assert np.abs(rows[5] - rows[0]).max() > 1e-3 * np.abs(rows).max()


@pytest.mark.parametrize("architecture", ["invariant", "equivariant"])
def test_what_is_beyond_the_cutoff_adds_up(architecture, rng):
    it = case(architecture)
    params = drawn_params(it.network, rng)
    left, right = random_molecules(rng, sizes=[5, 7])
    both = molecule(
        np.concatenate([left.atomic_numbers, right.atomic_numbers]),
        np.concatenate([left.positions, right.positions + 40]),
    )
    rows, predictions = (np.asarray(x) for x in it.run(params, it.batch([left, right, both])))
    mean = (5 * rows[0] + 7 * rows[1]) / 12
    np.testing.assert_allclose(rows[2], mean, atol=1e-4 * np.abs(rows).max())
    scale = np.abs(predictions).max()
    np.testing.assert_allclose(predictions[2], predictions[:2].sum(), atol=1e-4 * scale)


def test_pads_rows():
    examples = [featurize_atoms(molecule([8, 1], [[0, 0, 0], [0, 0, 1]]))]
    batch = collate_atoms(examples, 3, 2)
    np.testing.assert_array_equal(batch["numbers"], [[8, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(batch["mask"], batch["numbers"] > 0)
    np.testing.assert_allclose(batch["positions"][0], [[0, 0, -0.5], [0, 0, 0.5], [0, 0, 0]])


def test_distances_survive_a_large_offset():
    example = featurize_atoms(molecule([1, 1], [[1e6, 0, 0], [1e6 + 0.74, 0, 0]]))
    np.testing.assert_allclose(np.ptp(example["positions"][:, 0]), 0.74, rtol=1e-6)


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (Structure("m", smiles="C"), "need atoms with positions"),
        (molecule([95], [[0, 0, 0]]), "knows 94 elements only, and the structure holds Am"),
        (molecule([1, 1], np.zeros((2, 3))), "atoms 0 and 1 are 0 Å apart"),
        (molecule([1], [[0, np.nan, 0]]), "NaN"),
        (molecule([1], [[0, 0, 0]], cell=np.eye(3), pbc=(True,) * 3), "this structure is periodic"),
    ],
)
def test_refuses(structure, message):
    with pytest.raises(UnsupportedStructureError, match=message):
        featurize_atoms(structure)
