import numpy as np
import pytest

from jaxalign.models.minimol.graph_positions import (
    MODES,
    STEPS,
    adjacency,
    fragments,
    laplacian_modes,
    walk_returns,
)

RING = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]
TREE = [(0, 1), (1, 2), (1, 3), (3, 4), (4, 5), (4, 6), (6, 7), (7, 8), (0, 9)]
HALF = 2.0**-10


def connected(rng, atoms):
    """A random connected graph: each atom is joined to an earlier one, and some more bonds."""
    pairs = {(int(rng.integers(i)), i) for i in range(1, atoms)}
    extra = rng.integers(0, atoms, (3, 2))
    return sorted(pairs | {(int(min(p)), int(max(p))) for p in extra if p[0] != p[1]})


@pytest.mark.parametrize("atoms", [1, 2, 5, 8, 9, 24])
def test_modes_solve_the_eigenvalue_problem(atoms, rng):
    pairs = connected(rng, atoms)
    matrix = adjacency(atoms, pairs)
    values, vectors = laplacian_modes(matrix, fragments(atoms, pairs))
    laplacian = np.diag(matrix.sum(axis=1)) - matrix
    exact = np.linalg.eigvalsh(laplacian)[:MODES]
    count = min(atoms, MODES)
    assert values.shape == vectors.shape == (atoms, MODES)
    np.testing.assert_array_equal(values, np.repeat(values[:1], atoms, axis=0))
    np.testing.assert_allclose(values[0, :count], exact, rtol=HALF, atol=1e-6)
    # Vectors of equal eigenvalues may come out with any length.
    gaps = np.abs(np.linalg.eigvalsh(laplacian)[:, None] - exact) < 1e-4
    single = np.flatnonzero(gaps.sum(axis=0) == 1)
    chosen = vectors[:, single]
    residual = laplacian @ chosen - chosen * exact[single]
    assert np.abs(residual).max() < 8 * HALF * max(1, np.abs(laplacian).max())
    np.testing.assert_allclose(np.linalg.norm(chosen, axis=0), 1, atol=4 * HALF)
    np.testing.assert_array_equal(vectors[:, count:], 0)
    np.testing.assert_array_equal(values[:, count:], 0)


def test_parts_have_modes_of_their_own():
    pairs = [*RING, *((a + 5, b + 5) for a, b in TREE)]
    matrix = adjacency(16, pairs)
    parts = fragments(16, pairs)
    assert [sorted(part) for part in parts] == [[*range(5)], [*range(5, 15)], [15]]
    values, vectors = laplacian_modes(matrix, parts)
    ring, _ = laplacian_modes(matrix[:5, :5], [[*range(5)]])
    tree, _ = laplacian_modes(matrix[5:15, 5:15], [[*range(10)]])
    np.testing.assert_allclose(values[:5], ring, atol=1e-6)
    # The order of rows inside a part may differ, eigenvalues do not depend on it but for rounding.
    np.testing.assert_allclose(values[5:15], tree, rtol=2 * HALF, atol=1e-6)
    np.testing.assert_array_equal(values[15], 0)
    np.testing.assert_array_equal(vectors[15], [1, *[0] * 7])


def test_walk_returns_are_powers_of_the_transition_matrix(rng):
    pairs = connected(rng, 12)
    matrix = adjacency(12, pairs)
    transition = matrix / matrix.sum(axis=1, keepdims=True)
    powers = [np.linalg.matrix_power(transition, k) for k in range(1, STEPS + 1)]
    expected = np.stack([np.diagonal(power) for power in powers], axis=1)
    np.testing.assert_allclose(walk_returns(matrix), expected, rtol=HALF, atol=1e-6)


def test_walks_of_small_graphs():
    there_and_back = np.tile([0.0, 1.0], STEPS // 2)
    np.testing.assert_array_equal(walk_returns(adjacency(2, [(0, 1)])), [there_and_back] * 2)
    # A lone atom is always back, one without bonds beside others never is.
    np.testing.assert_array_equal(walk_returns(adjacency(1, [])), np.ones((1, STEPS)))
    beside = walk_returns(adjacency(3, [(0, 1)]))
    np.testing.assert_array_equal(beside, [there_and_back, there_and_back, np.zeros(STEPS)])
