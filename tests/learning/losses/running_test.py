"""What minibatches estimate: unbiased terms, a biased ratio, and the running ratio that is not."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.learning.losses import (
    AlignmentTerms,
    cka_terms,
    distance_correlation_terms,
    init_running,
    running_loss,
    soft_cknna_loss,
)
from jaxalign.learning.losses.running import RunningAlignment
from tests.learning.losses.cases import QUICK, N, evaluate
from tests.oracles import related_pair

TERMS = {
    "cka": cka_terms,
    "cka:sigma": lambda x, y, **k: cka_terms(x, y, kernel="rbf", sigma=(1.5, 2.0), **k),
    "dcor": distance_correlation_terms,
}


@pytest.mark.parametrize(
    "name", ["dcor", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cka", "cka:sigma"))]
)
def test_terms_and_running_gradients_average_to_those_of_the_full_data(rng, name):
    """Exactly: over all batches of 6 of 10 rows."""
    x, y = related_pair(rng, N, 4, 3, 0.5, shared=3)
    chosen = [np.isin(np.arange(N), rows) for rows in itertools.combinations(range(N), 6)]
    masks = np.stack([np.ones(N, bool), *chosen])

    @functools.partial(jax.jit, compiler_options=QUICK)
    @jax.vmap
    def batch(mask, running):
        def loss(x):
            terms = TERMS[name](x, y64, mask=mask)
            return running_loss(running, terms, decay=1.0)[0], terms

        return jax.value_and_grad(loss, has_aux=True)(x64)

    with jax.enable_x64(True):
        x64, y64 = jnp.asarray(x, jnp.float64), jnp.asarray(y, jnp.float64)
        empty = jax.tree.map(lambda v: jnp.zeros(len(masks)), init_running(jnp.float64))
        (losses, terms), _ = batch(masks, empty)
        # The averages are those of the full data, and so many batches old that nothing moves them.
        full = jax.tree.map(lambda v: jnp.full(len(masks), v[0]), terms)
        _, gradients = batch(masks, RunningAlignment(full, jnp.full(len(masks), 1e30)))
    losses, terms, found = jax.tree.map(np.asarray, (losses, terms, gradients))
    for term in terms[:3]:
        assert np.mean(term[1:]) == pytest.approx(float(term[0]), rel=1e-9, abs=1e-12)
    values, (expected, _) = evaluate(name, [(x, y, None)])
    assert float(losses[0]) == pytest.approx(values[0], abs=1e-10)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-10)
    np.testing.assert_allclose(found[1:].mean(0), expected[0], atol=1e-10)
    # The ratio of a batch, averaged, is another number.
    assert abs(np.mean(losses[1:]) - values[0]) > 1e-6


def test_terms_of_normal_rows_average_to_the_population(rng):
    """Linear HSIC is ‖Cov‖²_F; dCor² of a bivariate normal is a closed form (.30274 at ρ = .6)."""
    batches, b, rho = 20_000, 8, 0.6
    mix = rng.normal(size=(3, 2))
    x = rng.normal(size=(batches, b, 3)) @ np.diag([1.5, 1.0, 0.5])
    y = x @ mix + rng.normal(size=(batches, b, 2))
    u = rng.normal(size=(batches, b, 2)) @ np.linalg.cholesky([[1, rho], [rho, 1]]).T

    @functools.partial(jax.jit, compiler_options=QUICK)
    @jax.vmap
    def both(x, y, u):
        return cka_terms(x, y), distance_correlation_terms(u[:, :1], u[:, 1:])

    cka, dcor = both(*(v.astype(np.float32) for v in (x, y, u)))
    spread = np.diag([1.5, 1.0, 0.5]) ** 2
    sides = {"xy": spread @ mix, "xx": spread, "yy": mix.T @ spread @ mix + np.eye(2)}
    for name, covariance in sides.items():
        values = np.asarray(getattr(cka, name), np.float64)
        error = values.std() / np.sqrt(batches)
        assert abs(values.mean() - np.square(covariance).sum()) < 4.5 * error
    size = {name: np.linalg.norm(c) for name, c in sides.items()}
    population = size["xy"] ** 2 / (size["xx"] * size["yy"])
    for terms, expected in ((cka, population), (dcor, 0.30274)):
        xy, xx, yy = (np.asarray(v, np.float64) for v in terms[:3])
        ratio = xy.mean() / np.sqrt(xx.mean() * yy.mean())
        influences = xy / xy.mean() - xx / xx.mean() / 2 - yy / yy.mean() / 2
        error = ratio * influences.std() / np.sqrt(batches)
        assert abs(ratio - expected) < 4.5 * error
    alone = xy / np.sqrt(xx * yy)  # dCor² of single batches: 20 standard errors off
    assert abs(alone.mean() - expected) > 4.5 * alone.std() / np.sqrt(batches)


_step = jax.jit(running_loss, static_argnames="decay")


def terms(*values, rows=8.0):
    return AlignmentTerms(*(jnp.float32(v) for v in (*values, rows)))


def test_averages_are_plain_means_that_turn_exponential():
    values = [(1.0, 2.0, 3.0), (0.5, 1.0, 2.0), (2.0, 4.0, 5.0), (1.0, 1.0, 1.0)]
    running, found = init_running(), []
    for value in values:
        loss, running = _step(running, terms(*value), decay=0.6)
        found.append((float(loss), np.array(running.terms[:3])))
    expected = np.zeros(3)
    for number, value in enumerate(values, 1):
        expected += max(0.4, 1 / number) * (np.array(value) - expected)
        loss, mean = found[number - 1]
        np.testing.assert_allclose(mean, expected, rtol=1e-6)
        assert loss == pytest.approx(1 - mean[0] / np.sqrt(mean[1] * mean[2]), abs=1e-6)
    assert float(running.batches) == 4


def test_batches_with_too_few_rows_change_nothing():
    first, before = _step(init_running(), terms(1.0, 2.0, 3.0))
    loss, after = _step(before, terms(0.0, 0.0, 0.0, rows=0.0))
    assert float(loss) == float(first)
    assert [float(v) for v in jax.tree.leaves(after)] == [float(v) for v in jax.tree.leaves(before)]
    loss, empty = _step(init_running(), terms(0.0, 0.0, 0.0, rows=0.0))
    assert (float(loss), float(empty.batches)) == (1.0, 0.0)


def test_the_derivative_is_that_of_the_ratio_at_the_averages():
    _, running = _step(init_running(), terms(1.0, 2.0, 3.0))

    def loss(xy, xx, yy):
        return running_loss(running, AlignmentTerms(xy, xx, yy, jnp.float32(8.0)), decay=0.9)[0]

    found = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*(jnp.float32(v) for v in (2.0, 1.0, 5.0)))
    xy, xx, yy = np.array([1.0, 2.0, 3.0]) * 0.5 + np.array([2.0, 1.0, 5.0]) * 0.5
    rho = xy / np.sqrt(xx * yy)
    expected = [-1 / np.sqrt(xx * yy), rho / 2 / xx, rho / 2 / yy]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_decay_is_checked():
    for decay in (-0.1, 1.5):
        with pytest.raises(ValueError, match=r"decay must lie in \[0, 1\]"):
            running_loss(init_running(), terms(1.0, 1.0, 1.0), decay=decay)


@pytest.mark.slow
def test_the_bias_of_one_batch_falls_as_its_inverse_size(rng):
    """The bias of the ratio, times b, tends to a constant."""
    batches, rho, biases = 40_000, 0.6, {}
    for b in (12, 24, 48):
        u = rng.normal(size=(batches, b, 2)) @ np.linalg.cholesky([[1, rho], [rho, 1]]).T
        u = u.astype(np.float32)
        program = jax.jit(jax.vmap(lambda u: cka_terms(u[:, :1], u[:, 1:]).score()))
        scores = np.asarray(program(u), np.float64)
        biases[b] = b * (scores.mean() - rho**2), b * scores.std() / np.sqrt(batches)
    for b in (12, 24):
        (bias, error), (next_bias, next_error) = biases[b], biases[2 * b]
        assert abs(bias) > 4.5 * error
        assert abs(next_bias - bias) < 0.5 * abs(bias) + 4.5 * np.hypot(error, next_error)


@pytest.mark.slow
def test_soft_cknna_of_batches_needs_k_in_proportion(rng):
    n, b, k = 512, 64, 16.0
    x, noise = (rng.normal(size=(n, 12)).astype(np.float32) for _ in range(2))
    chance = 1 - float(soft_cknna_loss(x, noise, k=k))
    in_proportion, _ = _batch_scores(rng, x, noise, b, k * (b - 1) / (n - 1), 400)
    fixed, _ = _batch_scores(rng, x, noise, b, k, 400)
    assert fixed > 3 * chance
    assert abs(in_proportion - chance) < 0.05 * (fixed - chance)


@pytest.mark.slow
def test_soft_cknna_of_batches_is_biased_where_neighborhoods_are_small(rng):
    n, b = 512, 32
    x, noise = (rng.normal(size=(n, 12)).astype(np.float32) for _ in range(2))
    full = 1 - float(soft_cknna_loss(x, noise, k=(n - 1) / (b - 1)))
    mean, error = _batch_scores(rng, x, noise, b, 1.0, 16_000)
    assert 4.5 * error < abs(mean - full) < 0.03


def _batch_scores(rng, x, y, b, k, count):
    """Mean score of random batches, and its standard error."""
    picks = np.stack([rng.choice(len(x), b, replace=False) for _ in range(count)])
    sides = jnp.asarray(x), jnp.asarray(y)

    def score(rows):
        return 1 - soft_cknna_loss(*(side[rows] for side in sides), k=k)

    program = jax.jit(lambda picks: jax.lax.map(score, picks, batch_size=200))
    found = np.asarray(program(picks), np.float64)
    return found.mean(), found.std() / np.sqrt(count)
