"""Values are those of `jaxalign.metrics` and of dense float64 definitions."""

import functools

import jax
import numpy as np
import pytest

from jaxalign import metrics
from jaxalign.learning.losses import cka_loss, distance_correlation_terms
from tests.learning.losses.cases import CASES, QUICK, N, evaluate, oracle
from tests.oracles import l2_rows, related_pair

METRICS = {
    "cka": metrics.cka,
    "cka:biased": lambda x, y: metrics.cka(x, y, debiased=False),
    "cka:rbf": lambda x, y: metrics.cka(x, y, kernel="rbf"),
    "dcor": metrics.distance_correlation,
    "dcor:v": lambda x, y: metrics.distance_correlation(x, y, debiased=False),
}


@pytest.mark.parametrize(("name", "dx", "dy"), CASES)
def test_values_are_those_of_the_dense_definition_and_of_the_metric(rng, name, dx, dy):
    for mean_cosine in (0.0, 0.9, 0.99):
        x, y = related_pair(rng, N, dx, dy, mean_cosine, shared=3)
        (value,), _ = evaluate(name, [(x, y, None)])
        assert value == pytest.approx(1 - oracle(name, x, y), abs=1e-10)
    if name in METRICS and (dx, dy) == (4, 3):
        assert value == pytest.approx(1 - float(METRICS[name](x, y)), abs=1e-9)


def test_rows_are_normalized_first(rng):
    x, y = related_pair(rng, N, 5, 4, 0.5)
    expected = oracle("cka", l2_rows(x), l2_rows(y))
    loss = functools.partial(cka_loss, normalize="l2")
    found = float(jax.jit(loss, compiler_options=QUICK)(x, y))
    assert found == pytest.approx(1 - expected, abs=2e-5)
    assert abs(oracle("cka", x, y) - expected) > 1e-8


def test_reference_numbers_of_distance_covariance():
    x = np.arange(1, 7, dtype=np.float32)[:, None]
    y = np.array([1, 7, 5, 5, 6, 2], np.float32)[:, None]

    @functools.partial(jax.jit, compiler_options=QUICK)
    def both(x, y):
        return [distance_correlation_terms(x, y, debiased=debiased) for debiased in (True, False)]

    debiased, biased = both(x, y)
    assert float(debiased.xy) == pytest.approx(-0.88889, abs=1e-5)
    assert float(debiased.score()) == pytest.approx(-0.41613, abs=1e-5)
    assert float(biased.xy) == pytest.approx(0.68519, abs=1e-5)
    assert float(biased.score()) == pytest.approx(0.30661, abs=1e-5)
