import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.models import aev, ani
from jaxalign.models.neighbor_list import collate_atoms
from jaxalign.structures.structure import Structure

vectors = jax.jit(aev.environment_vectors)


def molecule(rng, atoms, *, spread=None):
    """Random atoms at least 0.7 Å apart."""
    spread = spread or 1.4 * atoms ** (1 / 3)
    positions = np.zeros((0, 3))
    while len(positions) < atoms:
        trial = rng.uniform(-spread, spread, (1, 3))
        if not len(positions) or np.linalg.norm(positions - trial, axis=1).min() > 0.7:
            positions = np.concatenate([positions, trial])
    numbers = rng.choice([1, 6, 7, 8], atoms).astype(np.int32)
    return Structure(id="x", atomic_numbers=numbers, positions=positions)


def padded(structures, bucket=28, *, rows=2, slots=None):  # most tests share the shape 28 × 2
    examples = [ani.featurize_molecule(s) for s in structures]
    slots = slots or ani.neighbor_slots(bucket)
    return collate_atoms(examples, bucket, rows, slots=slots)


def oracle(structure):
    """Smith et al. 2017, eqs. 2-4, as written: sums over atoms with the arc cosine, in float64."""
    species = [[1, 6, 7, 8].index(z) for z in structure.atomic_numbers]
    positions, n = structure.positions, len(species)
    r = np.linalg.norm(positions[:, None] - positions[None], axis=-1)

    def cutoff(distance, radius):
        return 0.5 * math.cos(math.pi * distance / radius) + 0.5 if distance < radius else 0.0

    pairs = {p: k for k, p in enumerate(itertools.combinations_with_replacement(range(4), 2))}
    radial, angular = np.zeros((n, 4, 16)), np.zeros((n, 10, 4, 8))
    shifts = 0.9 + 0.26875 * np.arange(16)
    means, angles = 0.9 + 0.65 * np.arange(4), math.pi / 16 + math.pi / 8 * np.arange(8)
    for i, j in itertools.permutations(range(n), 2):
        term = 0.25 * np.exp(-16 * (r[i, j] - shifts) ** 2) * cutoff(r[i, j], 5.2)
        radial[i, species[j]] += term
        for k in range(j + 1, n):
            if k == i or max(r[i, j], r[i, k]) >= 3.5:
                continue
            cosine = (positions[j] - positions[i]) @ (positions[k] - positions[i])
            theta = math.acos(0.95 * cosine / r[i, j] / r[i, k])
            shape = ((1 + np.cos(theta - angles)) / 2) ** 32
            width = np.exp(-8 * ((r[i, j] + r[i, k]) / 2 - means) ** 2)
            weight = 2 * cutoff(r[i, j], 3.5) * cutoff(r[i, k], 3.5)
            pair = pairs[tuple(sorted((species[j], species[k])))]
            angular[i, pair] += weight * width[:, None] * shape[None]
    return np.concatenate([radial.reshape(n, -1), angular.reshape(n, -1)], axis=1)


@pytest.mark.parametrize("atoms", [1, 2, 3, 9, 24])
def test_vectors_follow_the_published_sums(rng, atoms):
    structure = molecule(rng, atoms)
    got = np.asarray(vectors(padded([structure])))[0, :atoms]
    expected = oracle(structure)
    np.testing.assert_allclose(got, expected, atol=1e-5 * max(1, expected.max()))


def test_a_crowded_atom_keeps_all_neighbors(rng):
    structure = molecule(rng, 40, spread=2.4)
    example = ani.featurize_molecule(structure)
    size = example["neighbors"].shape[1] + 1
    got = np.asarray(vectors(padded([structure], 48, slots=size)))[0, :40]
    expected = oracle(structure)
    np.testing.assert_allclose(got, expected, atol=1e-5 * expected.max())


def test_a_single_atom_sees_nothing():
    structure = Structure(
        id="H", atomic_numbers=np.array([1], np.int32), positions=np.array([[5.0, 5.0, 5.0]])
    )
    assert not np.asarray(vectors(padded([structure])))[0, 0].any()


def test_rotation_translation_and_reflection_do_not_matter(rng):
    structure = molecule(rng, 12)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    far = rng.normal(size=3) * 1e4
    turned = Structure(
        id="y",
        atomic_numbers=structure.atomic_numbers,
        positions=structure.positions @ turn + far,
    )
    one, other = np.asarray(vectors(padded([structure, turned])))[:, :12]
    np.testing.assert_allclose(one, other, atol=1e-5 * one.max())


def test_order_of_atoms_moves_rows_only(rng):
    structure = molecule(rng, 12)
    order = rng.permutation(12)
    mixed = Structure(
        id="y",
        atomic_numbers=structure.atomic_numbers[order],
        positions=structure.positions[order],
    )
    one, other = np.asarray(vectors(padded([structure, mixed])))[:, :12]
    np.testing.assert_allclose(one[order], other, atol=1e-5 * one.max())


def test_padding_and_company_do_not_matter(rng):
    small, large = molecule(rng, 5), molecule(rng, 11)
    alone = np.asarray(vectors(padded([small])))[0, :5]
    together = np.asarray(vectors(padded([large, small], 14, rows=4)))[1, :5]
    np.testing.assert_allclose(alone, together, atol=1e-6 * alone.max())


def test_padding_and_straight_angles_give_finite_values_and_gradients(rng):
    line = Structure(
        id="CO2",
        atomic_numbers=np.array([8, 6, 8], np.int32),
        positions=np.array([[-1.16, 0, 0], [0, 0, 0], [1.16, 0, 0]]),
    )
    batch = padded([line, molecule(rng, 7)], 8, rows=3)
    assert np.isfinite(vectors(batch)).all()

    def total(positions):
        return jnp.sum(aev.environment_vectors({**batch, "positions": positions}))

    gradient = jax.jit(jax.grad(total))(jnp.asarray(batch["positions"]))
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient)[2].any()
    assert np.abs(gradient[1]).max() > 1e-3


def test_constants_are_evenly_spaced_as_published():
    np.testing.assert_allclose(aev.ANGLES, np.pi / 16 + np.pi / 8 * np.arange(8), rtol=1e-7)
    assert aev.WIDTH == 384
