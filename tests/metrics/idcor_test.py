"""Intrinsic dimension correlation against the dense form; nulls; degenerate input."""

import numpy as np
import pytest

import tests.oracles_dimension as oracles
from jaxalign.metrics._idcor import IDCOR, idcor

N, DX, DY = 300, 6, 10


@pytest.fixture
def pair(rng):
    z = rng.normal(size=(N, 3))
    x = z @ rng.normal(size=(3, DX)) + 0.05 * rng.normal(size=(N, DX))
    y = np.tanh(z @ rng.normal(size=(3, DY))) + 0.05 * rng.normal(size=(N, DY))
    return x, y


def test_agrees_with_the_dense_definition(pair):
    x, y = pair
    assert float(idcor(x, y)) == pytest.approx(oracles.idcor(x, y), abs=1e-5)
    plain = oracles.idcor(x, y, lambda v: v.astype(np.float32))
    score = idcor(x, y, normalize="none")
    assert float(score) == pytest.approx(plain, abs=1e-5)
    seen = score.diagnostics
    assert (seen["n"], seen["normalization"], seen["variant"]) == (N, "none", "regression")
    assert (seen["x"]["width"], seen["y"]["width"]) == (DX, DY)
    ids = [seen[part]["value"] for part in ("id_x", "id_y", "id_joint")]
    assert float(score) == pytest.approx((ids[0] + ids[1] - ids[2]) / max(ids[:2]), rel=1e-12)


def test_fit_by_maximum_likelihood(pair):
    x, y = map(oracles.standardized, pair)
    parts = (x, y, np.concatenate([x, y], axis=1))
    a, b, ab = (oracles.twonn_ml(oracles.sorted_distances(part)) for part in parts)
    score = idcor(*pair, fit="ml")
    assert float(score) == pytest.approx((a + b - ab) / max(a, b), abs=1e-5)
    assert score.diagnostics["variant"] == "ml"


def _padded(v, width):
    """Constant features add nothing, and keep the number of compiled shapes small."""
    return np.pad(v, ((0, 0), (0, width - v.shape[1])), constant_values=3.0)


def test_identical_inputs_score_one_and_independent_ones_nearly_zero(rng):
    x, y = rng.normal(size=(2, N, 2))
    assert float(idcor(_padded(x, DX), _padded(x, DY))) == pytest.approx(1.0, abs=1e-5)
    # Three estimates scatter by about a tenth of the dimension each.
    assert abs(float(idcor(_padded(x, DX), _padded(y, DY)))) < 0.5


def test_detects_a_dependence_without_correlation(rng):
    x = rng.uniform(-1, 1, size=(N, 1))
    y = x**2
    assert abs(np.corrcoef(x[:, 0], y[:, 0])[0, 1]) < 0.3
    score = idcor(_padded(x, DX), _padded(y, DY), permutations=49)
    assert float(score) > 0.6
    assert score.diagnostics["p_value"] == pytest.approx(1 / 50)
    # The dimensions of the two models, estimated once, move the whole null: by 0.1 or so.
    assert abs(score.diagnostics["null_mean"]) < 0.5


def test_p_value_follows_the_add_one_rule_and_the_seed(rng):
    x, y = rng.normal(size=(N, DX)), rng.normal(size=(N, DY))
    score = idcor(x, y, permutations=9, seed=3)
    draws = np.random.default_rng(3)
    null = [oracles.idcor(x, y[draws.permutation(N)]) for _ in range(9)]
    expected = (1 + sum(value >= float(score) for value in null)) / 10
    assert score.diagnostics["p_value"] == pytest.approx(expected)
    assert score.diagnostics["null_mean"] == pytest.approx(np.mean(null), abs=1e-5)
    assert score.diagnostics["null_sd"] == pytest.approx(np.std(null, ddof=1), abs=1e-5)
    again = idcor(x, y, permutations=9, seed=3)
    assert again.diagnostics == score.diagnostics
    other = idcor(x, y, permutations=9, seed=4)
    assert other.diagnostics["null_mean"] != score.diagnostics["null_mean"]
    assert float(other) == float(score)


def test_symmetry_and_invariances(rng, pair):
    x, y = pair
    base = float(idcor(x, y))
    order = rng.permutation(N)
    assert float(idcor(y, x)) == pytest.approx(base, abs=1e-6)
    assert float(idcor(x[order], y[order])) == pytest.approx(base, abs=1e-6)
    for moved in (x * 1e-20, x * 1e20, x + 10, x * np.geomspace(1, 1e3, DX)):
        assert float(idcor(moved, y)) == pytest.approx(base, abs=1e-3)
    # Standardization sees single features: a rotation mixes them.
    turns = np.linalg.qr(rng.normal(size=(4, DX, DX)))[0]
    turned = [float(idcor(x * np.geomspace(1, 1e3, DX) @ turn, y)) for turn in turns]
    assert max(abs(value - base) for value in turned) > 1e-2
    assert "rotation" not in IDCOR.invariances
    assert abs(float(idcor(x[order], y)) - base) > 1e-2


def test_constant_side_gives_nan_with_a_reason(pair):
    x, y = pair
    score = idcor(np.ones_like(x), y, permutations=5)
    assert np.isnan(float(score))
    assert score.diagnostics["reason"].startswith("the first model: 0 structures have distinct")
    assert "p_value" not in score.diagnostics
    assert score.diagnostics["id_y"]["value"] > 0


def test_bad_arguments_are_named(pair):
    x, y = pair
    with pytest.raises(ValueError, match="same structures"):
        idcor(x, y[:-1])
    with pytest.raises(ValueError, match="idcor needs at least 3"):
        idcor(x[:2], y[:2])
    with pytest.raises(ValueError, match="unknown fit"):
        idcor(x, y, fit="ols")
    for wrong in (-1, True):
        with pytest.raises(ValueError, match="permutations must be"):
            idcor(x, y, permutations=wrong)
