"""CCA scores against principal angles, eigenproblems, scikit-learn and closed forms."""

from functools import partial

import ml_dtypes
import numpy as np
import pytest
import sklearn.cross_decomposition

import tests.oracles_features as oracles
from jaxalign.metrics._cca import CCA, PWCCA, SVCCA, cca, pwcca, saturation_warning, svcca
from jaxalign.metrics._factors import factors, overlap

N, DX, DY = 150, 8, 13
SCORES = {"cca": (CCA, cca), "svcca": (SVCCA, svcca), "pwcca": (PWCCA, pwcca)}


def dependent(rng, x):
    """Columns added that hold nothing new: duplicates, combinations, constants."""
    wide = x.astype(np.float64) @ rng.normal(size=(x.shape[1], 20))
    added = [x[:, :3], wide.astype(np.float32), np.full((len(x), 1), 0.1, np.float32)]
    return np.concatenate([x, *added], 1)


@pytest.mark.parametrize("widths", [(DX, DX), (DX, DY), (DY, DX)])
def test_agree_with_the_definitions(rng, widths):
    x, y = oracles.related(rng, N, *widths)
    assert float(cca(x, y)) == pytest.approx(oracles.canonical_correlations(x, y).mean(), abs=1e-10)
    assert float(pwcca(x, y)) == pytest.approx(oracles.pwcca(x, y), abs=1e-8)
    for threshold in (0.5, 0.9, 0.99, 1.0):
        score = svcca(x, y, threshold=threshold)
        expected = oracles.svcca(x, y, min(threshold, 1 - 1e-12))
        assert float(score) == pytest.approx(expected, abs=1e-9)
        assert score.diagnostics["threshold"] == threshold
    assert float(svcca(x, y)) == float(svcca(x, y, threshold=0.99))
    assert float(svcca(x, y, threshold=1.0)) == pytest.approx(float(cca(x, y)), abs=1e-12)
    assert float(svcca(x, y, threshold=0.5)) != pytest.approx(float(cca(x, y)), abs=1e-7)


def test_agrees_with_scikit_learn(rng):
    x, y = oracles.related(rng, N, 3, 4, noise=0.4)
    model = sklearn.cross_decomposition.CCA(n_components=3, max_iter=20000, tol=1e-12)
    ours, theirs = model.fit_transform(x.astype(np.float64), y.astype(np.float64))
    correlations = [np.corrcoef(ours[:, i], theirs[:, i])[0, 1] for i in range(3)]
    assert float(cca(x, y)) == pytest.approx(np.mean(correlations), abs=1e-5)


def test_closed_forms(rng):
    basis = np.linalg.qr(oracles.centered(rng.normal(size=(N, 4))))[0]
    angles = np.array([0.2, 1.1])
    x = basis[:, :2] * [3.0, 1.0]
    y = basis[:, :2] * np.cos(angles) + basis[:, 2:] * np.sin(angles)
    assert float(cca(x, y)) == pytest.approx(np.cos(angles).mean(), abs=1e-6)
    # Every variate of x is one of its columns, so the weights are the columns' norms, 3 and 1.
    assert float(pwcca(x, y)) == pytest.approx(np.cos(angles) @ [0.75, 0.25], abs=1e-6)
    # The singular values of x squared are 9 and 1: 90 % and 10 %; those of y are 1 and 1.
    score = svcca(x, y, threshold=0.85)
    assert [score.diagnostics[side]["directions"] for side in "xy"] == [1, 2]
    assert float(score) == pytest.approx(np.cos(angles[0]), abs=1e-6)
    for _, function in SCORES.values():
        assert float(function(basis[:, :2], basis[:, 2:])) == pytest.approx(0, abs=1e-6)
        assert float(function(x, x)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_claimed_invariances_hold_and_the_others_do_not(rng, name):
    metric, function = SCORES[name]
    x, y = oracles.related(rng, N, DX, DY, noise=0.3)
    plain, back = float(function(x, y)), float(function(y, x))
    assert (abs(plain - back) < 1e-12) == metric.symmetric
    for kind, change in oracles.moved(lambda x: function(x, y), x, rng).items():
        assert change < 2e-5 if kind in metric.invariances else change > 1e-4, kind
    for kind, change in oracles.moved(lambda y: function(x, y), y, rng).items():
        # Of the second model, projection weighting reads the span alone.
        holds = kind in metric.invariances or name == "pwcca"
        assert change < 2e-5 if holds else change > 1e-4, kind


def test_dependent_columns_add_no_directions(rng):
    x, y = oracles.related(rng, N, DX, DY)
    more = dependent(rng, x)
    for offset in (0, 1000):
        rows = (more.astype(np.float64) + offset).astype(np.float32)
        score = cca(rows, y)
        assert score.diagnostics["x"]["rank"] == DX
        assert float(score) == pytest.approx(float(cca(x, y)), abs=1e-3 if offset else 1e-5)
        assert float(pwcca(y, rows)) == pytest.approx(
            float(pwcca(y, x)), abs=1e-3 if offset else 1e-5
        )
    # Small columns count as much as large ones.
    units = (y * 10.0 ** rng.uniform(-15, 15, DY)).astype(np.float32)
    assert float(cca(x, units)) == pytest.approx(float(cca(x, y)), abs=1e-5)


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_extreme_scales(rng, scale):
    x, y = oracles.related(rng, N, DX, DX)
    scaled = (x.astype(np.float64) * scale).astype(np.float32)
    for _, function in SCORES.values():
        assert float(function(scaled, y)) == pytest.approx(float(function(x, y)), abs=1e-5)
        assert float(function(y, scaled)) == pytest.approx(float(function(y, x)), abs=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_dtypes(rng, dtype):
    x, y = (v.astype(dtype) for v in oracles.related(rng, N, DX, DY))
    rounded = [v.astype(np.float32) for v in (x, y)]
    assert float(cca(x, y)) == pytest.approx(
        oracles.canonical_correlations(*rounded).mean(), abs=1e-9
    )
    assert float(pwcca(x, y)) == pytest.approx(oracles.pwcca(*rounded), abs=1e-7)
    assert float(svcca(x, y)) == pytest.approx(oracles.svcca(*rounded, 0.99), abs=1e-9)


@pytest.mark.parametrize("name", SCORES)
def test_constant_rows_give_nan_with_a_reason(rng, name):
    _, function = SCORES[name]
    x = rng.normal(size=(N, 3)).astype(np.float32)
    constant = np.full((N, 5), 1e3, np.float32) * rng.normal(size=5).astype(np.float32)
    for pair, side in (((constant, x), "first"), ((x, constant), "second")):
        score = function(*pair)
        assert np.isnan(float(score))
        assert f"rows of the {side} model are equal" in score.diagnostics["reason"]
        assert "warning" not in score.diagnostics


@pytest.mark.parametrize("n", [4, 30])
def test_saturation_is_named(rng, n):
    x, y = rng.normal(size=(n, n + 2)), rng.normal(size=(n, 2))
    for function in (cca, pwcca, partial(svcca, threshold=1.0)):
        score = function(x, y)
        assert float(score) == pytest.approx(1, abs=1e-6)
        assert score.diagnostics["warning"].startswith("all canonical correlations are 1")
        assert score.diagnostics["x"]["rank"] == n - 1
    # Fewer directions than structures, but too many in sum: some correlations are forced.
    x, y = rng.normal(size=(n, n - 2)), rng.normal(size=(n, n // 2))
    forced = (oracles.canonical_correlations(x, y) > 1 - 1e-6).sum()
    assert saturation_warning(n, n - 2, n // 2).startswith(
        f"at least {forced} of" if forced < min(n - 2, n // 2) else "all"
    )
    assert forced == n // 2 - 1
    assert saturation_warning(n, 1, n - 2) == ""
    assert saturation_warning(n, 0, n - 1) == ""


def test_independent_features_score_low_and_noise_lowers_the_score(rng):
    x, y = oracles.related(rng, N, DX, DX, noise=0.3)
    noise = rng.normal(size=(N, DX))
    for _, function in SCORES.values():
        assert float(function(x, noise)) < 0.6 * float(function(x, y))
    wide = rng.normal(size=(4000, 2 * DX))
    assert float(cca(wide[:, :DX], wide[:, DX:])) < 0.1


def test_both_directions_from_one_overlap(rng):
    x, y = oracles.related(rng, N, DX, DY)
    a, b = factors(x), factors(y)
    ab = overlap(a, b)
    assert PWCCA.term(a, b, ab)[0] == pytest.approx(float(pwcca(x, y)), abs=1e-12)
    assert PWCCA.term(b, a, PWCCA.flip(ab))[0] == pytest.approx(float(pwcca(y, x)), abs=1e-12)


def test_bad_arguments_are_named(rng):
    x = rng.normal(size=(20, 3))
    for threshold in (0.0, 1.01, float("nan")):
        with pytest.raises(ValueError, match="threshold must lie in"):
            svcca(x, x, threshold=threshold)
    with pytest.raises(ValueError, match="needs at least 2 structures"):
        cca(x[:1], x[:1])
    with pytest.raises(ValueError, match="unknown normalization"):
        pwcca(x, x, normalize="unit")
