"""Curves against N: points are scores of subsets, limits and verdicts of curves that are known."""

import json
import math

import numpy as np
import pandas as pd
import pytest

import tests.oracles as oracles
from jaxalign.alignment.start import start_run
from jaxalign.analysis.precision import sample_size
from jaxalign.analysis.precision.sample_size import score_curves
from jaxalign.analysis.precision.sample_size_table import POINTS, ScoreCurves
from jaxalign.significance.subsets import disjoint_parts

N, K = 64, 6
METRICS = ("mutual_knn", "cka")


@pytest.fixture(scope="module")
def models():
    rng = np.random.default_rng()
    x, y = oracles.related_pair(rng, N, 6, 9)
    return {"a": x, "b": y, "noise": rng.normal(size=(N, 5)).astype(np.float32)}


@pytest.fixture(scope="module")
def curves(models):
    state, plans = start_run(models, metrics=METRICS, k=K, seed=3)
    return score_curves(state, plans, sizes=(32,))


def test_points_are_the_scores_of_subsets(models, curves):
    table = curves.table
    assert set(POINTS) <= set(table.columns)
    assert set(table["n"]) == {32, 64}
    rows = {name: oracles.l2_rows(x) for name, x in models.items()}
    for rule, size, k in (("fixed k", 32, K), ("fixed k/N", 32, 3)):
        parts = disjoint_parts(N, size=size, count=8, seed=3)
        wanted = [oracles.mutual_knn(rows["a"][part], rows["b"][part], k) for part in parts]
        assert len(parts) == N // size
        point = table[(table["metric"] == "mutual_knn") & (table["rule"] == rule)]
        point = point[(point["n"] == size) & (point["model_a"] == "a")]
        point = point[point["model_b"] == "b"].iloc[0]
        assert point["k"] == k
        assert point["score"] == pytest.approx(np.mean(wanted), abs=1e-6)
        assert point["sd"] == pytest.approx(np.std(wanted, ddof=1), abs=1e-6)
        assert point["null_mean"] == pytest.approx(k / (size - 1))


def test_the_last_point_is_the_score_of_the_run(models, curves):
    rows = {name: oracles.l2_rows(x) for name, x in models.items()}
    for row in curves.table[curves.table["n"] == N].itertuples():
        a, b = row.model_a, row.model_b
        wanted = oracles.mutual_knn(rows[a], rows[b], K)
        if row.metric == "cka":
            wanted = oracles.cka_linear_debiased(models[a], models[b])
        assert row.score == pytest.approx(wanted, abs=1e-5)
        assert math.isnan(row.sd)
    assert set(curves.table[curves.table["metric"] == "cka"]["rule"]) == {"without k"}


def test_curves_are_kept_and_plain(curves, tmp_path):
    folder = curves.save(tmp_path)
    for name in ("points", "limits", "orders"):
        assert len(pd.read_csv(folder / f"{name}.csv")) == len(
            pd.read_parquet(folder / f"{name}.parquet")
        )
    summary = json.loads(json.dumps(curves.summary(), allow_nan=False))
    assert {curve["role"] for curve in summary["curves"]} == {"best", "median", "worst"}
    best = next(c for c in summary["curves"] if c["metric"] == "cka" and c["role"] == "best")
    assert [point["n"] for point in best["points"]] == [32, 64]
    assert {best["model_a"], best["model_b"]} == {"a", "b"}
    array = curves.to_xarray()["score"].sel(metric="cka", rule="without k", k_full=0, n=64)
    assert float(array.sel(model_a="a", model_b="b")) == pytest.approx(best["score"])


@pytest.mark.slow
def test_every_family_of_metrics_has_curves(models):
    metrics = ("cknna", "information_imbalance", "rsa:spearman", "procrustes", "id:gride")
    state, plans = start_run(models, metrics=metrics, k=5)
    found = score_curves(state, plans, sizes=(16, 32))
    assert found.table["score"].notna().all()
    counts = found.table.groupby("metric").size().to_dict()
    assert counts["information_imbalance"] == 6 * 3 * 2  # both directions and both rules
    assert counts["rsa:spearman"] == counts["procrustes"] == 3 * 3
    single = found.table[found.table["metric"] == "id:gride"]
    assert (single["model_a"] == single["model_b"]).all()
    assert set(single["rule"]) == {"without k"}


def test_points_that_do_not_exist_are_left_out_and_said(models, monkeypatch):
    def scores(state, plans, rows):
        return {(p, a, b): len(rows) / N for p in plans for a in state.names for b in state.names}

    monkeypatch.setattr(sample_size, "_scores", scores)
    state, plans = start_run(models, metrics=("mutual_knn",), k=(1, 20))
    found = score_curves(state, plans, sizes=(16,), draws=1)
    assert found.table.query("k_full == 20 and rule == 'fixed k'")["n"].tolist() == [N] * 3
    assert found.table.query("k_full == 1 and rule == 'fixed k/N'")["n"].tolist() == [N] * 3
    assert found.table.query("k_full == 20 and rule == 'fixed k/N' and n == 16")["k"].eq(5).all()
    assert len(found.notes) == 2
    assert "k = 20 of n = 64: no point at 16 structures" in " ".join(found.notes)
    assert found.limits["limit"].isna().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "n = 64 is too few .* hold 40 structures; align at least 80"),
        ({"sizes": (64,)}, "at least one of them below n"),
        ({"sizes": (1, 32)}, "from 2 to n = 64"),
        ({"sizes": (32,), "draws": 0}, "draws must be at least 1"),
    ],
)
def test_sizes_that_make_no_curve_are_refused(models, options, message):
    state, plans = start_run(models, metrics=("mutual_knn",), k=10)
    with pytest.raises(ValueError, match=message):
        score_curves(state, plans, **options)


def measured(rng, limits, *, error=0.002, slope=5.0, metric="mutual_knn", shuffled=False):
    """A table of points whose limits are given."""
    rows = []
    for pair, limit in enumerate(limits):
        for n in (50, 100, 200, 400, 800):
            draws = min(8, 800 // n)
            sd = error * math.sqrt(800 / n)
            value = limit + slope * (1 + (9 * (pair % 2) if shuffled else 0)) / n
            rows.append(
                {
                    "metric": metric, "model_a": "a", "model_b": f"b{pair}", "rule": "fixed k",
                    "k_full": 10, "n": n, "k": 10, "draws": draws,
                    "score": value + sd / math.sqrt(draws) * rng.normal(),
                    "sd": sd if draws > 1 else math.nan, "null_mean": 10 / (n - 1),
                }
            )  # fmt: skip
    return pd.DataFrame(rows).astype({"k": "Int64", "k_full": "Int64"})


def test_limits_and_errors_are_those_of_the_points(rng):
    wanted = np.linspace(0.2, 0.6, 12)
    found = ScoreCurves.of(measured(rng, wanted))
    limits = found.limits
    z = (limits["limit"] - wanted) / limits["limit_error"]
    assert abs(z).max() < 6
    assert (limits["limit_error"] < 0.05).all()
    # One variance for all sizes: that of 800 structures, of which one subset was drawn.
    np.testing.assert_allclose(limits["error"], 0.002, rtol=1e-6)
    assert (limits["reason"] == "").mean() > 0.5
    order = found.orders.iloc[0]
    assert order["rank_correlation"] > 0.95
    assert (order["n_small"], order["n_large"], order["pairs"]) == (50, 800, 12)
    assert order["verdict"] == "the order of pairs does not depend on N"


def test_errors_follow_variances_that_do_not_fall_as_one_over_n(rng):
    table = measured(rng, np.linspace(0.2, 0.6, 40))
    table["sd"] *= np.where(table["n"] == 50, 3.0, 1.0)  # as where k is only one there
    found = ScoreCurves.of(table).table.groupby("n")["error"].first()
    assert found[50] == pytest.approx(3 * 0.002 * math.sqrt(16 / 8), rel=0.15)
    assert found[800] == pytest.approx(0.002, rel=0.15)


def test_an_order_that_depends_on_n_is_told_from_noise(rng):
    wanted = np.linspace(0.2, 0.6, 12)
    turned = ScoreCurves.of(measured(rng, wanted, slope=4.0, shuffled=True)).orders.iloc[0]
    assert turned["depends_on_n"]
    assert turned["verdict"].startswith("the order of pairs depends on N")
    alike = np.full(12, 0.4) + 1e-3 * np.arange(12)
    noisy = [ScoreCurves.of(measured(rng, alike, error=0.1)).orders.iloc[0] for _ in range(12)]
    assert sum(order["depends_on_n"] for order in noisy) <= 8  # some percent are expected
    assert any("no more than errors explain" in order["verdict"] for order in noisy)


def test_pairs_that_change_their_side_of_the_null_are_counted(rng):
    table = measured(rng, [0.3, 0.4, 0.5, 0.6], error=1e-4)
    small = (table["n"] == 50) & (table["model_b"].isin(["b0", "b1"]))
    table.loc[small, "null_mean"] = 0.95
    order = ScoreCurves.of(table).orders.iloc[0]
    assert (order["tested_pairs"], order["sign_changes"]) == (4, 2)
    assert "2 on the other side of the null" in order["verdict"]


def test_few_pairs_have_no_order(rng):
    order = ScoreCurves.of(measured(rng, [0.3, 0.4])).orders.iloc[0]
    assert math.isnan(order["rank_correlation"])
    assert "too few pairs" in order["verdict"]
