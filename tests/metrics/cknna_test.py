"""Both CKNNA definitions against dense float64 forms fed the same float32-normalized rows."""

import numpy as np
import pytest

import tests.oracles as oracles
from jaxalign.metrics import cknna

DENSE = {"formula": oracles.cknna_formula, "platonic": oracles.cknna_platonic}


@pytest.mark.parametrize("variant", DENSE)
@pytest.mark.parametrize("mean_cosine", [0.0, 0.96, 0.998])
@pytest.mark.parametrize("k", [2, 25])
def test_agrees_with_the_dense_definition(rng, variant, mean_cosine, k):
    x, y = oracles.related_pair(rng, 220, 20, 20, mean_cosine)
    expected = DENSE[variant](oracles.l2_rows(x), oracles.l2_rows(y), k)
    assert float(cknna(x, y, k=k, variant=variant)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("variant", DENSE)
@pytest.mark.parametrize("normalize", ["none", "max_abs_row", "standardize"])
def test_agrees_under_other_normalizations(rng, variant, normalize):
    x, y = oracles.related_pair(rng, 150, 12, 12)
    rows = []
    for v in (x.astype(np.float64), y.astype(np.float64)):
        if normalize == "max_abs_row":
            v = v / np.abs(v).max(1, keepdims=True)
        elif normalize == "standardize":
            v = (v - v.mean(0)) / v.std(0)
        rows.append(v.astype(np.float32))
    score = cknna(x, y, k=11, variant=variant, normalize=normalize)
    assert float(score) == pytest.approx(DENSE[variant](*rows, 11), abs=2e-6)
    assert score.diagnostics["normalization"] == normalize


def test_platonic_with_all_neighbors_is_debiased_cka(rng):
    x, y = oracles.related_pair(rng, 80, 12, 15, 0.5)  # widths may differ
    expected = oracles.cka_linear_debiased(oracles.l2_rows(x), oracles.l2_rows(y))
    assert float(cknna(x, y, k=79, variant="platonic")) == pytest.approx(expected, abs=1e-6)


def test_epsilon_reproduces_the_public_code(rng):
    x, y = oracles.related_pair(rng, 100, 12, 12)
    x, y = oracles.l2_rows(x), oracles.l2_rows(y)
    expected = oracles.cknna_platonic(x, y, 10, epsilon=1e-6)
    given = cknna(x, y, k=10, variant="platonic", epsilon=1e-6)
    assert float(given) == pytest.approx(expected, rel=1e-5)
    assert float(given) < float(cknna(x, y, k=10, variant="platonic"))


def test_variants_differ_and_the_formula_is_symmetric(rng):
    x, y = oracles.related_pair(rng, 200, 16, 16)
    formula = float(cknna(x, y, k=10))
    assert formula == pytest.approx(float(cknna(y, x, k=10)), abs=1e-12)
    assert abs(formula - float(cknna(x, y, k=10, variant="platonic"))) > 1e-7
    assert float(cknna(x, x, k=10)) == pytest.approx(1.0, abs=1e-12)
    assert float(cknna(x, x, k=10, variant="platonic")) == pytest.approx(1.0, abs=1e-12)


def test_independent_rows_score_far_below_related_rows(rng):
    x, y = oracles.related_pair(rng, 300, 16, 16)
    noise = rng.normal(size=(300, 16)).astype(np.float32)
    assert float(cknna(x, noise)) < 0.5 * float(cknna(x, y))


@pytest.mark.parametrize("variant", DENSE)
def test_constant_rows_give_nan_with_a_reason(rng, variant):
    x = rng.normal(size=(40, 4)).astype(np.float32)
    score = cknna(np.zeros((40, 4), np.float32), x, k=5, variant=variant)
    assert np.isnan(float(score))
    assert score.diagnostics["reason"].startswith("x: all rows are equal")


def test_bad_arguments_are_named(rng):
    x = rng.normal(size=(20, 3)).astype(np.float32)
    with pytest.raises(ValueError, match="k must be at least 2"):
        cknna(x, x, k=1)
    with pytest.raises(ValueError, match="unknown CKNNA variant 'paper'"):
        cknna(x, x, variant="paper")
    with pytest.raises(ValueError, match="needs at least 4 structures"):
        cknna(x[:3], x[:3], k=2, variant="platonic")
    with pytest.raises(ValueError, match="epsilon must be 0, or positive"):
        cknna(x, x, epsilon=-1.0)
