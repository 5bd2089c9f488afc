"""Soft CKNNA: the dense definition, its limit at temperature 0, and bad arguments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign import metrics
from jaxalign.learning.losses import soft_cknna_loss
from tests.learning.losses.cases import QUICK, soft_cknna
from tests.oracles import cknna_formula, l2_rows, related_pair

N, D, K, BATCHES = 40, 9, 6, 10


@functools.partial(jax.jit, compiler_options=QUICK)
def _program(x, y, mask, temperature):
    def loss(x, y, mask, temperature):
        return soft_cknna_loss(x, y, k=K, temperature=temperature, mask=mask)

    return jax.vmap(jax.value_and_grad(loss, argnums=3))(x, y, mask, temperature)


def scores(batches):
    """Scores and their slopes of a list of (x, y, mask, temperature), in float64."""
    batches = [(x, y, np.ones(N, bool) if m is None else m, t) for x, y, m, t in batches]
    filled = [batches[i % len(batches)] for i in range(BATCHES)]
    with jax.enable_x64(True):
        x, y, mask, temperature = (jnp.asarray(np.stack(p)) for p in zip(*filled, strict=True))
        values, slopes = _program(x.astype(float), y.astype(float), mask, temperature.astype(float))
    return 1 - np.asarray(values)[: len(batches)], -np.asarray(slopes)[: len(batches)]


def test_agrees_with_the_dense_definition(rng):
    batches = [
        (*related_pair(rng, N, D, D, mean_cosine), None, temperature)
        for mean_cosine in (0.0, 0.96, 0.998)
        for temperature in (1.0, 0.1)
    ]
    found, _ = scores(batches)
    for value, (x, y, _, temperature) in zip(found, batches, strict=True):
        assert value == pytest.approx(soft_cknna(x, y, K, temperature), abs=1e-8)


@pytest.mark.parametrize("mean_cosine", [0.0, 0.96])
def test_approaches_the_metric_as_the_temperature_falls(rng, mean_cosine):
    x, y = related_pair(rng, N, D, D, mean_cosine)
    hard = float(metrics.cknna(x, y, k=K))
    rows = [l2_rows(v) for v in (x, y)]  # those that the metric compares
    assert hard == pytest.approx(cknna_formula(*rows, K), abs=1e-6)
    found, _ = scores([(*rows, None, 10.0**-power) for power in range(9)])
    errors = np.abs(found - hard)
    # Errors of rows may cancel at one temperature, and a near tie in one row keeps its error down
    # to its own gap: bounds fall, single errors need not, nor by a factor from one to the next.
    bounds = np.maximum.accumulate(errors[::-1])[::-1]
    assert errors[-1] < 2e-6  # edges of the metric are float32
    assert bounds[2] < bounds[0]
    assert bounds[4] < 0.5 * bounds[0]
    assert bounds[6] < 0.05 * bounds[0]


def test_perfect_symmetric_and_invariant(rng):
    x, y = related_pair(rng, N, D, D)
    q, _ = np.linalg.qr(rng.normal(size=(D, D)))
    stretched = (x * np.linspace(1, 30, D), x * np.linspace(30, 1, D))
    pairs = [(x, y), (y, x), (x, x), (x @ q * 7, y), *((wide, y) for wide in stretched)]
    value, swapped, own, turned, *changed = scores([(*pair, None, 0.1) for pair in pairs])[0]
    assert own == pytest.approx(1, abs=1e-12)
    assert swapped == pytest.approx(value, abs=1e-12)
    assert turned == pytest.approx(value, abs=1e-8)
    assert max(abs(other - value) for other in changed) > 1e-3


def test_padding_counts_for_nothing(rng):
    x, y = related_pair(rng, N, D, D)
    mask, few = np.arange(N) % 3 > 0, np.arange(N) < K + 1  # all are neighbors of all
    found, _ = scores([(np.where(mask[:, None], x, np.nan), y, mask, 0.1), (x, y, few, 0.1)])
    assert found[0] == pytest.approx(soft_cknna(x[mask], y[mask], K, 0.1), abs=1e-8)
    assert found[1] == 0


def test_the_temperature_may_be_traced_and_differentiated(rng):
    x, y = related_pair(rng, N, D, D)
    (_, upper, lower), (slope, *_) = scores([(x, y, None, t) for t in (0.2, 0.20001, 0.19999)])
    assert slope == pytest.approx((upper - lower) / 2e-5, rel=1e-5, abs=1e-8)


@pytest.mark.slow
def test_float32_keeps_its_digits_on_anisotropic_rows(rng):
    x, y = related_pair(rng, N, D, D, 0.96)
    loss = functools.partial(soft_cknna_loss, k=K, temperature=0.1)
    found = jax.jit(loss, compiler_options=QUICK)(x, y)
    assert found.dtype == np.float32
    assert 1 - float(found) == pytest.approx(soft_cknna(x, y, K, 0.1), abs=1e-4)


def test_bad_arguments_are_named(rng):
    x, y = related_pair(rng, N, 5, 9)
    for settings, message in (
        ({"k": N - 1}, "two rows more than neighbors: got k=39, n=40"),
        ({"k": 0.5}, "at least 1: got k=0.5"),
        ({"k": True}, "k must be a number of neighbors"),
        ({"k": 5, "temperature": 0.0}, "temperature must be positive and finite: got 0.0"),
        ({"k": 5, "normalize": "max_abs_row"}, "unknown normalization 'max_abs_row'"),
    ):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(functools.partial(soft_cknna_loss, **settings), x, y)
