"""Reconstruction error against regressions that fit and predict on rows, and closed forms."""

import math

import ml_dtypes
import numpy as np
import pytest

import tests.oracles_features as oracles
from jaxalign.metrics._reconstruction import (
    FOLDS,
    RECONSTRUCTION,
    RIDGES,
    covariances,
    halves,
    halves_bytes,
    reconstruction_error,
    split,
    swapped,
)

N, DX, DY = 120, 9, 14


@pytest.mark.parametrize(
    ("n", "dx", "dy"), [(N, DX, DY), (N + 3, DY, DX), (30, 45, 3), (23, 9, 40)]
)
def test_agrees_with_regressions_on_rows(rng, n, dx, dy):
    x, y = oracles.related(rng, n, dx, dy)
    for seed in (0, 7):
        score = reconstruction_error(x, y, seed=seed)
        expected, ridge = oracles.reconstruction(x, y, seed)
        assert score.diagnostics["ridge"] == pytest.approx(ridge)
        assert float(score) == pytest.approx(expected, abs=1e-7)
        assert score.diagnostics["seed"] == seed


@pytest.mark.parametrize("n", [4, 5, 7, 9, 11])
def test_few_structures(rng, n):
    x, y = rng.normal(size=(n, 3)).astype(np.float32), rng.normal(size=(n, 2)).astype(np.float32)
    score = reconstruction_error(x, y)
    expected, ridge = oracles.reconstruction(x, y)
    assert score.diagnostics["ridge"] == pytest.approx(ridge)
    assert float(score) == pytest.approx(expected, abs=1e-6)
    assert score.diagnostics["folds"] == min(5, n - n // 2)


def test_closed_forms(rng):
    x = rng.normal(size=(400, DX)).astype(np.float32)
    linear = x.astype(np.float64) @ rng.normal(size=(DX, DY)) + 3
    assert float(reconstruction_error(x, linear)) < 1e-6
    assert float(reconstruction_error(x, x)) < 1e-6
    assert float(reconstruction_error(x, rng.normal(size=(400, DY)))) == pytest.approx(1, abs=0.05)
    # Signal and noise of equal size, noise not predictable: √(1/2).
    noisy = x + rng.normal(size=x.shape)
    assert float(reconstruction_error(x, noisy)) == pytest.approx(math.sqrt(0.5), abs=0.06)
    # Half of the columns are linear in x, the others are not.
    assert float(reconstruction_error(x[:, :4], x[:, :8])) == pytest.approx(
        math.sqrt(0.5), abs=0.06
    )
    assert float(reconstruction_error(x[:, :8], x[:, :4])) < 1e-6


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_holds_over_a_wide_spectrum(rng, noise):
    """Gram matrices square the spread of the features: six orders of magnitude must not hurt."""
    spread = np.geomspace(1, 1e-6, DX)
    x = ((rng.normal(size=(N, DX)) * spread) @ oracles.rotation(rng, DX)).astype(np.float32)
    whitened = np.linalg.svd(oracles.centered(x), full_matrices=False)[0]
    y = whitened @ rng.normal(size=(DX, DY)) + noise * rng.normal(size=(N, DY))
    expected, _ = oracles.reconstruction(x, y.astype(np.float32))
    assert float(reconstruction_error(x, y)) == pytest.approx(expected, abs=1e-5, rel=2e-3)


def test_claimed_invariances_hold_and_the_others_do_not(rng):
    x, y = oracles.related(rng, N, DX, DY)
    plain = float(reconstruction_error(x, y))
    assert abs(plain - float(reconstruction_error(y, x))) > 1e-7
    for score, side, least in (
        # Where the weakest ridge is chosen, an affine map of what predicts changes next to nothing.
        (lambda v: reconstruction_error(v, y), x, 0.0),
        (lambda v: reconstruction_error(x, v), y, 1e-4),
    ):
        for kind, change in oracles.moved(score, side, rng).items():
            assert change < 1e-5 if kind in RECONSTRUCTION.invariances else change > least, kind
    assert float(reconstruction_error(x, y, seed=1)) != plain
    # Columns of zeros and constants hold nothing to predict from, and nothing to be predicted.
    wider = np.concatenate([x, np.zeros((N, 2)), np.full((N, 1), 0.1)], 1).astype(np.float32)
    assert float(reconstruction_error(wider, y)) == pytest.approx(plain, abs=1e-7)
    assert float(reconstruction_error(y, wider)) == pytest.approx(
        float(reconstruction_error(y, x)), abs=1e-7
    )


def test_noise_columns_are_ridged_away(rng):
    """Cross-validation chooses strong ridges where there is more noise than signal."""
    x, y = rng.normal(size=(60, 25)), rng.normal(size=(60, DY))
    score = reconstruction_error(x, y)
    assert score.diagnostics["ridge"] >= 1
    assert float(score) < 1.2
    assert reconstruction_error(x[:, :5], x[:, :3]).diagnostics["ridge"] <= 1e-6


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_extreme_scales_and_offsets(rng, scale):
    x, y = oracles.related(rng, N, DX, DY)
    plain = float(reconstruction_error(x, y))
    for side in (0, 1):
        pair = [x, y]
        pair[side] = (pair[side].astype(np.float64) * scale).astype(np.float32)
        assert float(reconstruction_error(*pair)) == pytest.approx(plain, abs=1e-5)
        pair = [x, y]
        pair[side] = (pair[side].astype(np.float64) + 1000 * x.std()).astype(np.float32)
        expected, _ = oracles.reconstruction(*pair)
        assert float(reconstruction_error(*pair)) == pytest.approx(expected, abs=1e-7)


def test_every_normalization_acts(rng):
    x, y = oracles.related(rng, N, DX, DX)
    rows = {
        "l2": lambda v: v / np.linalg.norm(v, axis=1, keepdims=True),
        "max_abs_row": lambda v: v / np.abs(v).max(1, keepdims=True),
        "standardize": lambda v: (v - v.mean(0)) / v.std(0),
    }
    for name, change in rows.items():
        changed = (change(v.astype(np.float64)).astype(np.float32) for v in (x, y))
        score = reconstruction_error(x, y, normalize=name)
        assert float(score) == pytest.approx(oracles.reconstruction(*changed)[0], abs=1e-7), name
        assert score.diagnostics["normalization"] == name


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_dtypes(rng, dtype):
    x, y = (v.astype(dtype) for v in oracles.related(rng, N, DX, DY))
    expected, _ = oracles.reconstruction(x.astype(np.float32), y.astype(np.float32))
    assert float(reconstruction_error(x, y)) == pytest.approx(expected, abs=1e-7)


def test_degenerate_rows_give_nan_with_a_reason(rng):
    x = rng.normal(size=(40, 3)).astype(np.float32)
    for constant in (np.zeros_like(x), np.full_like(x, 1000.1)):
        for pair, side in (((constant, x), "first"), ((x, constant), "second")):
            score = reconstruction_error(*pair)
            assert np.isnan(float(score))
            assert f"rows of the {side} model are equal" in score.diagnostics["reason"]
    order, bounds = split(40, 0)
    # A source that is silent where it is fitted predicts nothing: the error is 1, not undefined.
    silent = np.zeros_like(x)
    silent[order[bounds[-2] :]] = rng.choice([-1, 1], size=10).repeat(2)[:, None] * [[1, 0, 0]]
    silent[order[bounds[-2] : bounds[-2] + 10], 0] = 1
    silent[order[bounds[-2] + 10 :], 0] = -1
    assert float(reconstruction_error(silent, x)) == 1
    # A target that is exactly zero on the held-out half has no norm to compare with.
    target = np.zeros_like(x)
    target[order[:10]], target[order[10:20]] = 1, -1
    score = reconstruction_error(x, target)
    assert np.isnan(float(score))
    assert "zero on the half" in score.diagnostics["reason"]
    with pytest.raises(ValueError, match="needs at least 4 structures"):
        reconstruction_error(x[:3], x[:3])


def test_the_pair_costs_one_set_of_covariances_for_both_directions(rng):
    x, y = oracles.related(rng, N, DX, DY)
    a, b = halves(x, 3), halves(y, 3)
    ab = covariances(a, b)
    assert ab.shape == (FOLDS + 1, DX, DY)
    there, back = RECONSTRUCTION.term(a, b, ab)[0], RECONSTRUCTION.term(b, a, swapped(ab))[0]
    assert there == pytest.approx(float(reconstruction_error(x, y, seed=3)), abs=1e-12)
    assert back == pytest.approx(float(reconstruction_error(y, x, seed=3)), abs=1e-12)


@pytest.mark.parametrize("d", [DX, N + 60])
def test_statistics_hold_no_more_than_stated(rng, d):
    held = halves(rng.normal(size=(N, d)).astype(np.float32), 0)
    size = held.rows.nbytes + sum(part.nbytes for fit in held.fits for part in fit)
    assert held.rows.shape == (N, min(N, d))
    assert size <= halves_bytes(N, d) < 1.1 * size


def test_the_split_is_seeded_and_even():
    order, bounds = split(101, 5)
    assert (np.sort(order) == np.arange(101)).all()
    assert bounds == (0, 11, 21, 31, 41, 51, 101)
    assert (order == split(101, 5)[0]).all()
    assert (order != split(101, 6)[0]).any()
    assert len(RIDGES) == 15


@pytest.mark.slow
def test_agrees_with_skmatter(rng):
    """Same ridge, same scaled halves: the package divides by √n of the second half, not by ‖Y₂‖."""
    from sklearn.base import BaseEstimator
    from skmatter.metrics import global_reconstruction_error

    class Unscaled(BaseEstimator):
        def fit(self, x):
            return self

        def transform(self, x):
            return x

    n = 2000
    x, y = oracles.related(rng, n, DX, DY)
    score = reconstruction_error(x, y)
    (x1, x2), (y1, y2) = oracles.halves(x, 0), oracles.halves(y, 0)
    settings = {"train_idx": np.arange(n // 2), "test_idx": np.arange(n // 2, n)}
    theirs = global_reconstruction_error(
        np.concatenate([x1, x2]),
        np.concatenate([y1, y2]),
        scaler=Unscaled(),
        estimator=oracles.ridge(x1, score.diagnostics["ridge"]),
        **settings,
    )
    assert float(score) == pytest.approx(theirs * math.sqrt(n // 2) / np.linalg.norm(y2), abs=1e-7)
    # With its own scaling, two folds and spectral cutoffs it tells the same to a few percent.
    order, _ = split(n, 0)
    default = global_reconstruction_error(
        x.astype(np.float64)[order], y.astype(np.float64)[order], **settings
    )
    assert float(score) == pytest.approx(default, rel=0.1)
