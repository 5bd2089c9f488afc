import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.models.ani import aev
from jaxalign.models.ani.aev_settings import AEV_1X, AEV_2XT
from jaxalign.models.ani.ani_inputs import featurize_molecule
from jaxalign.models.ani.neighbor_list import collate_atoms
from jaxalign.structures.structure import Structure

_vectors = jax.jit(aev.environment_vectors, static_argnums=0)


def vectors(batch):
    return _vectors(AEV_1X, batch)


def molecule(rng, atoms, *, spread=None, numbers=(1, 6, 7, 8)):
    """Random atoms at least 0.7 Å apart."""
    spread = spread or 1.4 * atoms ** (1 / 3)
    positions = np.zeros((0, 3))
    while len(positions) < atoms:
        trial = rng.uniform(-spread, spread, (1, 3))
        if not len(positions) or np.linalg.norm(positions - trial, axis=1).min() > 0.7:
            positions = np.concatenate([positions, trial])
    numbers = rng.choice(numbers, atoms).astype(np.int32)
    return Structure(id="x", atomic_numbers=numbers, positions=positions)


def padded(structures, bucket=28, *, slots=27, settings=AEV_1X):  # most tests share one shape
    examples = [featurize_molecule(s, settings=settings) for s in structures]
    return collate_atoms(examples, bucket, 2, slots=slots)


def oracle(structure, settings=AEV_1X):
    """Smith et al. 2017, eqs. 2-4, as written: sums over atoms with the arc cosine, in float64."""
    known = list(settings.species)
    species = [known.index(z) for z in structure.atomic_numbers]
    positions, n = structure.positions, len(species)
    r = np.linalg.norm(positions[:, None] - positions[None], axis=-1)

    def cutoff(distance, radius):
        return 0.5 * math.cos(math.pi * distance / radius) + 0.5 if distance < radius else 0.0

    kinds = itertools.combinations_with_replacement(range(len(known)), 2)
    pairs = {p: k for k, p in enumerate(kinds)}
    radial, angular = np.zeros((n, len(known), 16)), np.zeros((n, len(pairs), 4, 8))
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
    batch = padded([structure], 48, slots=40)
    assert batch["neighbors"][..., 24].max() >= 0  # one slot more than in the smaller buckets
    got = np.asarray(vectors(batch))[0, :40]
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
    together = np.asarray(vectors(padded([large, small], 48, slots=40)))[1, :5]
    np.testing.assert_allclose(alone, together, atol=1e-6 * alone.max())


@pytest.mark.slow
def test_padding_and_straight_angles_give_finite_values_and_gradients(rng):
    line = Structure(
        id="CO2",
        atomic_numbers=np.array([8, 6, 8], np.int32),
        positions=np.array([[-1.16, 0, 0], [0, 0, 0], [1.16, 0, 0]]),
    )
    batch = padded([line, molecule(rng, 7)], 8, slots=7)

    def total(positions):
        values = aev.environment_vectors(AEV_1X, {**batch, "positions": positions})
        return jnp.sum(jnp.where(batch["mask"][..., None], values, 0)), values

    gradient, values = jax.jit(jax.grad(total, has_aux=True))(jnp.asarray(batch["positions"]))
    assert np.isfinite(values).all()
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient)[~batch["mask"]].any()
    assert np.abs(gradient[1]).max() > 1e-3


def test_constants_are_evenly_spaced_as_published():
    np.testing.assert_allclose(AEV_1X.angles, np.pi / 16 + np.pi / 8 * np.arange(8), rtol=1e-7)
    assert (AEV_1X.width, AEV_2XT.width) == (384, 1008)
