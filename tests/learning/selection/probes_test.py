"""Probes against scikit-learn called directly, and against leakage."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.neighbors import KNeighborsRegressor

from jaxalign.learning.selection import extra
from jaxalign.learning.selection.draws import repeated_draws
from jaxalign.learning.selection.held_out import corrected_interval, held_out_errors
from jaxalign.learning.selection.pool import TaskValues
from jaxalign.learning.selection.probes import ALPHAS, ProbeErrors, folds, predict
from jaxalign.learning.selection.target_probes import cross_validated


def clipped(predicted, y):
    return np.clip(predicted, y.min(), y.max())


def scaled(x, new):
    center, scale = x.mean(axis=0), x.std(axis=0)
    return (x - center) / scale, (new - center) / scale


@pytest.fixture
def data(rng):
    x = rng.normal(size=(150, 6)) * np.array([1, 1, 1, 1e3, 1e-3, 1])
    return x, x[:, 0] - 2 * x[:, 1] + 0.3 * rng.normal(size=150) + 50.0


def test_probes_agree_with_direct_calls(data):
    (x, y), groups = data, np.arange(100)
    a, b = scaled(x[:100], x[100:])
    least_squares = LinearRegression().fit(a, y[:100]).predict(b)
    assert np.allclose(
        predict("linear", x[:100], y[:100], x[100:], groups), clipped(least_squares, y[:100])
    )
    unit = (y[:100] - y[:100].mean()) / y[:100].std()
    ridge = RidgeCV(ALPHAS).fit(a, unit).predict(b) * y[:100].std() + y[:100].mean()
    assert np.allclose(predict("ridge", x[:100], y[:100], x[100:], groups), clipped(ridge, y[:100]))
    found = predict("knn", x[:100], y[:100], x[100:], groups)
    direct = [
        KNeighborsRegressor(k, weights="distance").fit(a, y[:100]).predict(b)
        for k in (1, 2, 4, 8, 16)
    ]
    assert any(np.allclose(found, one) for one in direct)


def test_a_row_far_outside_is_predicted_within_the_labels(data):
    (x, y), groups = data, np.arange(100)
    far = x[100:].copy()
    far[0, 0] = 1e6
    found = predict("ridge", x[:100], y[:100], far, groups)
    assert found[0] == y[:100].max()
    assert np.allclose(found[1:], predict("ridge", x[:100], y[:100], x[101:], groups))


def test_ridge_of_groups_is_chosen_by_whole_groups(data):
    (x, y), groups = data, np.arange(100) // 4
    a, b = scaled(x[:100], x[100:])
    unit = (y[:100] - y[:100].mean()) / y[:100].std()
    inner = list(GroupKFold(3).split(a, groups=groups))
    direct = RidgeCV(ALPHAS, cv=inner).fit(a, unit).predict(b)
    found = predict("ridge", x[:100], y[:100], x[100:], groups)
    assert np.allclose(found, clipped(direct * y[:100].std() + y[:100].mean(), y[:100]))
    for train, test in folds(groups, 5):
        assert not set(groups[train]) & set(groups[test])


def test_errors_are_relative_to_the_spread_of_labels(rng):
    labels, predicted = rng.normal(size=50) * 7 + 3, rng.normal(size=50)
    found = ProbeErrors.of(labels, predicted)
    wrong = np.abs(labels - predicted)
    assert found.error == pytest.approx(wrong.mean() / np.abs(labels - labels.mean()).mean())
    assert found.r2 == pytest.approx(1 - (wrong**2).sum() / ((labels - labels.mean()) ** 2).sum())
    assert ProbeErrors.of(labels, np.full(50, labels.mean())).error == pytest.approx(1.0)


def test_held_out_errors_agree_with_direct_calls(data):
    (x, y), groups = data, np.arange(150)
    (draw,) = repeated_draws(groups, target=20, test=40, draws=1, seed=1)
    task = TaskValues("t", y)
    a, b = scaled(x[draw.train], x[draw.test])
    predicted = LinearRegression().fit(a, y[draw.train]).predict(b)
    found = held_out_errors("linear", x, task, groups, draw)
    wrong = clipped(predicted, y[draw.train]) - y[draw.test]
    assert found.mae == pytest.approx(np.abs(wrong).mean())
    assert found.n == 40
    assert found.error < 0.4


@pytest.mark.parametrize("probe", ["ridge", "knn"])
def test_permuted_labels_are_at_chance(data, rng, probe):
    (x, y), groups = data, np.arange(150)
    task = TaskValues("t", rng.permutation(y))
    target = np.arange(120)
    assert cross_validated(probe, x, task, groups, target).error > 0.85
    assert cross_validated(probe, x, TaskValues("t", y), groups, target).error < 0.75


def test_cross_validation_sees_the_target_alone(data):
    (x, y), groups = data, np.arange(150)
    target = np.arange(0, 120, 2)
    counts = np.stack([np.arange(150) % 5 + 1, np.arange(150) % 3 + 1], axis=1).astype(np.float64)
    found = cross_validated("ridge", x, TaskValues("t", y, counts), groups, target)
    hidden = y.copy()
    hidden[np.setdiff1d(np.arange(150), target)] = 1e9
    again = cross_validated("ridge", x, TaskValues("t", hidden, counts), groups, target)
    assert np.array_equal(found.absolute, again.absolute)


def test_composition_of_a_fold_does_not_see_its_test_rows(data):
    """Energies of composition alone, one of them wrong: only its own error may be large."""
    x, _ = data
    groups, target = np.arange(150), np.arange(60)
    counts = np.stack([np.arange(150) % 5 + 1, np.arange(150) % 3 + 1], axis=1).astype(np.float64)
    y = counts @ np.array([-1.0, -40.0]) + 1e-3 * x[:, 0]
    y[7] += 1e6
    found = cross_validated("linear", x, TaskValues("t", y, counts), groups, target)
    fold = next(test for _, test in folds(groups[target], 5) if 7 in test)
    others = np.setdiff1d(fold, [7])
    assert found.absolute[7] == pytest.approx(1e6, rel=1e-3)
    assert found.absolute[others].max() < 1e-2


def test_a_linear_probe_needs_more_rows_than_columns(rng):
    x, y = rng.normal(size=(40, 60)), rng.normal(size=40)
    found = cross_validated("linear", x, TaskValues("t", y), np.arange(40), np.arange(40))
    assert np.isnan(found.error)
    assert found.reason == "a linear fit of 60 columns needs more than 32 structures"


def test_interval_of_splits_grows_with_what_they_share(rng):
    values = rng.normal(size=6)
    low, high = corrected_interval(values, train=80, test=20)
    half = 2.5705818 * np.sqrt((1 / 6 + 0.25) * values.var(ddof=1))  # t of 5 degrees, 97.5 %
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half))
    assert np.isnan(corrected_interval(values[:1], train=80, test=20)).all()


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(extra.importlib, "import_module", _missing)
    with pytest.raises(extra.MissingExtraError, match=r"jaxalign\[learning\]"):
        folds(np.arange(10), 2)


def _missing(name):
    raise ImportError(f"No module named {name!r}")
