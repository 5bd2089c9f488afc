"""Soft neighborhoods: sums, limits, hostile scores, and the derivative of the threshold."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.learning.losses.soft_neighbors import soft_neighbors
from tests.learning.losses.cases import QUICK, soft_weights

ROWS, N = 6, 30
_weights = jax.jit(soft_neighbors, static_argnums=2, compiler_options=QUICK)


def candidates(rng):
    out = rng.uniform(size=(ROWS, N)) < 0.9
    out[:, :8] = True  # more than k of them
    return out


@pytest.mark.parametrize("k", [1, 6.5])
@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 30.0, 1e5])
def test_rows_sum_to_k_over_the_candidates(rng, k, scale):
    scores, allowed = scale * rng.normal(size=(ROWS, N)).astype(np.float32), candidates(rng)
    p = np.asarray(_weights(scores.astype(np.float32), allowed, k))
    np.testing.assert_allclose(p.sum(1), k, rtol=1e-5)
    assert (p >= 0).all()
    assert (p <= 1).all()
    assert (p[~allowed] == 0).all()
    for row, weights, some in zip(scores, p, allowed, strict=True):
        order = np.argsort(row[some])
        assert (np.diff(weights[some][order]) >= 0).all()  # nearer is more of a neighbor


def test_memberships_are_those_of_an_independent_solver(rng):
    keys = rng.standard_t(2, size=(N, N))  # heavy tails
    np.fill_diagonal(keys, -np.inf)
    off = ~np.eye(N, dtype=bool)
    scales = np.array([row[some].std() for row, some in zip(keys, off, strict=True)])
    with jax.enable_x64(True):
        scores = jnp.asarray(np.where(off, keys, 0) / scales[:, None] / 0.2)
        p = _weights(scores, jnp.asarray(off), 4)
    np.testing.assert_allclose(p, soft_weights(keys, 4, 0.2), atol=1e-10)


def test_large_scores_choose_the_k_largest(rng):
    scores = np.stack([rng.permutation(N) for _ in range(ROWS)]).astype(np.float32)
    p = _weights(1e4 * scores, np.ones((ROWS, N), bool), 5)
    np.testing.assert_array_equal(p, scores >= N - 5)


def test_ties_share_the_places_that_are_left(rng):
    scores = np.zeros((ROWS, N), np.float32)
    scores[:, :3], scores[:, 10:] = 1, -1  # 3 above, 7 tied, 20 below
    p = np.asarray(_weights(1e4 * scores, np.ones((ROWS, N), bool), 5))
    np.testing.assert_allclose(p[:, 3:10], 2 / 7, rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_derivatives_keep_the_sums(rng, scale):
    with jax.enable_x64(True):
        scores, step = (jnp.asarray(scale * rng.normal(size=(ROWS, N))) for _ in range(2))
        allowed = jnp.asarray(candidates(rng))
        size = 1e-6 / scale

        @functools.partial(jax.jit, compiler_options=QUICK)
        def both(scores):
            return jax.jvp(lambda s: soft_neighbors(s, allowed, 3), (scores,), (step,))

        _, slopes = both(scores)
        upper, lower = (both(scores + sign * size * step)[0] for sign in (1, -1))
        expected = (upper - lower) / (2 * size)
        np.testing.assert_allclose(slopes, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
        np.testing.assert_allclose(slopes.sum(1), 0, atol=1e-10 * scale)
        assert (np.asarray(slopes)[~np.asarray(allowed)] == 0).all()


def test_derivatives_are_finite_where_no_weight_is_left(rng):
    scores = jnp.asarray(1e6 * rng.permutation(N).astype(np.float32))[None]
    allowed = jnp.ones((1, N), bool)
    gradient = jax.jit(jax.grad(lambda s: (soft_neighbors(s, allowed, 4) ** 2).sum()))(scores)
    assert (gradient == 0).all()


def test_nan_stays_nan(rng):
    scores = rng.normal(size=(ROWS, N)).astype(np.float32)
    scores[2, 4] = np.nan
    p = np.asarray(_weights(scores, np.ones((ROWS, N), bool), 4))
    assert np.isnan(p[2]).any()
    assert np.isfinite(np.delete(p, 2, 0)).all()
