import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.models.atomistic.spherical_harmonics import spherical_harmonics
from jaxalign.models.esen.edge_frames import edge_frames, into_frames, out_of_frames
from jaxalign.models.esen.sphere import exchange_matrix, grid_matrices, real_harmonics


def points(rng, count):
    x = rng.normal(size=(count, 3))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def harmonics(x, degree):
    return real_harmonics(x[:, 1], np.arctan2(x[:, 0], x[:, 2]), degree)


def test_harmonics_are_those_of_the_other_networks(rng):
    x = points(rng, 20)
    expected = np.concatenate(spherical_harmonics(jnp.asarray(x, np.float32), 3), axis=1)
    np.testing.assert_allclose(harmonics(x, 3) * (4 * np.pi) ** 0.5, expected, atol=1e-5)


def test_exchange_is_its_own_inverse_and_moves_the_axes(rng):
    x = points(rng, 20)
    mirrored = x[:, [1, 0, 2]] * [-1, -1, 1]
    for degree in range(7):
        matrix, own = exchange_matrix(degree), slice(degree**2, (degree + 1) ** 2)
        np.testing.assert_allclose(matrix @ matrix, np.eye(2 * degree + 1), atol=1e-12)
        before, after = harmonics(x, degree)[:, own], harmonics(mirrored, degree)[:, own]
        np.testing.assert_allclose(before @ matrix.T, after, atol=1e-12)


def test_frames_turn_an_edge_to_y_and_back(rng):
    """Harmonics of a point become those of the turned point; the edge's own those of y."""
    edges = np.concatenate([points(rng, 8) * 3, [[0, 2, 0], [0, -2, 0], [1, 0, 0], [0, 0, -1]]])
    x = harmonics(edges / np.linalg.norm(edges, axis=1, keepdims=True), 3)
    y = np.concatenate([x[:, :, None], rng.normal(size=(12, 16, 2))], axis=2).astype(np.float32)

    @jax.jit
    def compute(edges, y):
        frames = edge_frames(edges, max_degree=3, max_order=3)
        turned = into_frames(frames, y)
        lower = edge_frames(edges, max_degree=3, max_order=1)
        return turned, out_of_frames(frames, turned), into_frames(lower, y)

    turned, back, few = compute(jnp.asarray(edges, np.float32), y)
    pole = harmonics(np.array([[0.0, 1.0, 0.0]]), 3)[0, [0, 2, 6, 12]]
    np.testing.assert_allclose(turned[0][:, 0, :, 0], np.tile(pole, (12, 1)), atol=2e-6)
    for order in (1, 2, 3):
        np.testing.assert_allclose(turned[order][..., 0], 0, atol=2e-6)
    np.testing.assert_allclose(back, y, atol=1e-5)
    # Lower orders alone: rows of the same matrices.
    for got, expected in zip(few, turned, strict=False):
        np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize(("degree", "resolution"), [(2, None), (3, None), (3, 14)])
def test_grid_takes_functions_there_and_back(rng, degree, resolution):
    to, back = grid_matrices(degree, degree, resolution)
    np.testing.assert_allclose(back.T @ to, np.eye((degree + 1) ** 2), atol=1e-12)


def test_orders_that_are_left_out_are_made_up_for():
    to, back = grid_matrices(3, 2, None)
    assert to.shape == back.shape == (8 * 5, 14)
    full = grid_matrices(2, 2, 8)[0]
    np.testing.assert_allclose(grid_matrices(3, 2, 8)[0][:, :9], full, atol=1e-12)
