import functools

import jax
import numpy as np
import pytest

from jaxalign.learning.networks.radial_basis import all_pairs, radial_functions
from tests.learning.networks.molecules import random_positions
from tests.learning.networks.oracles import radial_functions as radial_functions_oracle

CUTOFF, COUNT = 4.0, 6


@jax.jit
def compute(positions, mask):
    pairs = all_pairs(positions, mask, cutoff=CUTOFF)
    return pairs, radial_functions(pairs, count=COUNT, cutoff=CUTOFF)


formula = functools.partial(radial_functions_oracle, count=COUNT, cutoff=CUTOFF)


def batch(*rows):
    positions, mask = np.zeros((3, 7, 3), np.float32), np.zeros((3, 7), bool)
    for row, points in enumerate(rows):
        positions[row, : len(points)], mask[row, : len(points)] = points, True
    return positions, mask


def test_agrees_with_the_formula(rng):
    positions, mask = batch(*(random_positions(rng, count) for count in (7, 4)))
    pairs, functions = compute(positions, mask)
    for row, i, j in np.ndindex(3, 7, 7):
        vector = positions[row, j].astype(float) - positions[row, i]
        real = mask[row, i] and mask[row, j] and i != j
        expected = formula(np.linalg.norm(vector)) if real else 0
        np.testing.assert_allclose(functions[row, i, :, j], expected, rtol=1e-4, atol=1e-5)
        assert pairs.within[row, i, j] == (real and np.linalg.norm(vector) < CUTOFF)
        np.testing.assert_allclose(pairs.vectors[row, i, j], vector, atol=1e-6)


def test_nothing_jumps_at_the_cutoff():
    at = [0, CUTOFF - 0.04, CUTOFF, CUTOFF + 0.04]
    functions = compute(*batch([[x, 0, 0] for x in at]))[1][0, 0]
    # The envelope falls as 56 (1 − x)³, the waves once more.
    assert 0 < np.abs(functions[:, 1]).max() < 1e-4
    np.testing.assert_array_equal(functions[:, 2:4], 0)


def test_derivatives_are_finite_without_pairs():
    def total(positions, mask):
        return compute(positions, mask)[1].sum()

    gradient = jax.jit(jax.grad(total))(*batch([[0, 0, 0]], [[0, 0, 0], [9, 0, 0]]))
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("distance", [0.05, 0.3])
def test_close_atoms_keep_their_digits(distance):
    functions = compute(*batch([[0, 0, 0], [distance, 0, 0]]))[1]
    np.testing.assert_allclose(functions[0, 0, :, 1], formula(distance), rtol=1e-5)
