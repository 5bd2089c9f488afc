"""Intervals in the table: their replicates are runs over fewer structures, groups stay whole."""

import math

import numpy as np
import pytest
from scipy import stats

import jaxalign as ja
import tests.oracles as oracles
from jaxalign.alignment import confidence, engine
from jaxalign.alignment.confidence import interval_columns, interval_settings, replicate_rows
from jaxalign.alignment.start import start_run

N, K = 48, 5
QUICK = ("mutual_knn", "cka")
FAMILIES = (*QUICK, "id:gride", "information_imbalance", "rsa:spearman", "procrustes")


@pytest.fixture
def models(rng):
    x, y = oracles.related_pair(rng, N, 6, 9)
    return {"a": x, "b": y, "copy": 2 * x}


def run(models, settings, *, metrics=QUICK, **options):
    state, plans = start_run(models, metrics=metrics, k=K, **options)
    scores = engine.run(state, plans)
    return state, plans, scores, interval_columns(state, plans, scores, settings)


@pytest.mark.parametrize("metrics", [QUICK, pytest.param(FAMILIES, marks=pytest.mark.slow)])
def test_replicates_are_runs_over_halves_of_the_structures(models, metrics, tmp_path, monkeypatch):
    settings = interval_settings(0.9, replicates=4)
    options = {"metrics": metrics, "seed": 7, "workdir": tmp_path}
    _, plans, scores, found = run(models, settings, **options)
    assert found.replicates.shape == (4, len(scores))
    rows = replicate_rows(plans, settings, n=N, seed=7)
    assert set(rows[2]) | set(rows[3]) == set(range(N))
    halves = {name: x[rows[1]] for name, x in models.items()}
    alone = ja.align(halves, metrics=metrics, k=K, seed=7).table
    np.testing.assert_allclose(found.replicates[1], alone["value"], rtol=1e-9, atol=1e-12)
    for column, score in enumerate(scores):
        low, high = found.columns[column].values()
        if score.a == score.b and score.plan.metric.id != "id:gride":
            assert math.isnan(low)
        elif not math.isnan(low):
            half = stats.t.ppf(0.95, 2) * error_of(found.replicates[:, column], score)
            assert low == pytest.approx(max(score.value - half, score.plan.metric.low))
            assert high == pytest.approx(min(score.value + half, score.plan.metric.high))
        else:  # a copy scores alike on every subset
            assert {score.a, score.b} == {"a", "copy"}
    assert (found.facts["rows"], found.facts["replicates"]) == (N // 2, 4)
    monkeypatch.setattr(engine, "run", lambda *_: pytest.fail("a finished replicate was run"))
    again = interval_columns(start_run(models, k=K, **options)[0], plans, scores, settings)
    np.testing.assert_array_equal(again.replicates, found.replicates)


def error_of(replicates, score):
    """Two splits into halves, written out."""
    (a, b), (c, d) = replicates.reshape(2, 2)
    plain = ((a - b) ** 2 + (c - d) ** 2) / 8
    if score.plan.metric.id not in ("cka", "rsa:spearman"):
        return math.sqrt(plain)
    return math.sqrt(max(plain - (a + b - c - d) ** 2 / 8, plain / 2))


def test_the_table_has_intervals_that_hold_the_scores(models, monkeypatch):
    monkeypatch.setitem(confidence.REPLICATES, "subsample", 6)
    table = ja.align(models, metrics=("mutual_knn", "cka"), k=K, confidence=0.95).table
    pairs = table[table["model_a"] != table["model_b"]]
    related = pairs[~pairs["model_b"].eq("copy") | pairs["model_a"].eq("b")]
    assert (related["ci_low"] < related["value"]).all()
    assert (related["ci_high"] > related["value"]).all()
    assert (related["ci_low"] >= -1).all()
    assert (related["ci_high"] <= 1).all()
    itself = table[table["model_a"] == table["model_b"]]
    assert itself[["ci_low", "ci_high"]].isna().all(axis=None)


def test_scores_without_interval_are_listed_with_their_reason(models):
    models = models | {"flat": np.ones((N, 3), np.float32)}
    settings = interval_settings(0.95, replicates=4)
    found = run(models, settings, metrics=("mutual_knn",))[3]
    listed = found.facts["without"]
    assert "the score itself is NaN" in listed["mutual_knn: a – flat"]
    assert "the same without any" in listed["mutual_knn: a – copy"]
    assert "mutual_knn: a – b" not in listed
    assert found.facts["without_count"] == len(listed) == 4


@pytest.mark.parametrize("method", ["subsample", "jackknife"])
def test_groups_are_drawn_and_left_out_whole(rng, method):
    groups = rng.permutation(np.arange(N) // 3)
    plans = start_run({"a": np.eye(N, 3), "b": np.eye(N, 4)}, metrics=("mutual_knn",), k=K)[1]
    settings = interval_settings(0.95, method=method, replicates=4)
    for rows in replicate_rows(plans, settings, n=N, seed=0, groups=groups):
        counts = np.bincount(groups[rows], minlength=N // 3)
        assert set(counts) == {0, 3}
        assert len(rows) == (N // 2 if method == "subsample" else N * 3 // 4)


def test_the_jackknife_leaves_each_block_out_once(models):
    settings = interval_settings(0.95, method="jackknife", replicates=4)
    _, plans, scores, found = run(models, settings, metrics=("mutual_knn",))
    rows = replicate_rows(plans, settings, n=N, seed=0)
    assert [N - len(kept) for kept in rows] == [N // 4] * 4
    column = next(i for i, s in enumerate(scores) if (s.a, s.b) == ("a", "b"))
    replicates = found.replicates[:, column]
    wanted = math.sqrt(3 / 4 * np.square(replicates - replicates.mean()).sum())
    assert found.errors[column] == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 24}, r"mutual_knn with k = 24 need subsets of at least 25 .* got 24.* align 50 "),
        ({"groups": [0] * 30 + list(range(18))}, "the largest of 31 structures"),
        ({"confidence": 95}, "between 0 and 1: got 95"),
    ],
)
def test_intervals_that_cannot_be_are_refused_before_any_work(models, options, message):
    settings = {"metrics": ("mutual_knn",), "k": K, "confidence": 0.95} | options
    with pytest.raises(ValueError, match=message):
        ja.align(models, **settings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "bootstrap"}, "choose one of"),
        ({"replicates": 5}, "at least 4 replicates"),
        ({"fraction": 0.7}, "at most 0.5, for two disjoint"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        interval_settings(0.95, **options)
