"""Sampled permutations of scores, against scores of rows that are really permuted."""

import numpy as np
import pytest

import jaxalign as ja
from jaxalign.alignment import engine
from jaxalign.alignment.inputs import collect_inputs
from jaxalign.alignment.permuted import PermutedState, permuted
from jaxalign.alignment.plan import plan_metrics
from jaxalign.alignment.state import State
from jaxalign.metrics._definition import ModelMetric
from jaxalign.metrics.registry import METRICS

PAIRWISE = tuple(name for name, metric in METRICS.items() if not isinstance(metric, ModelMetric))
FAMILIES = ("mutual_knn", "cknna", "cka", "information_imbalance", "rsa:spearman", "procrustes")


def sources(rng, n=48, noise=1.0):
    latent = rng.normal(size=(n, 3))
    return {
        name: (latent @ rng.normal(size=(3, d)) + noise * rng.normal(size=(n, d))).astype(
            np.float32
        )
        for name, d in (("a", 5), ("b", 7), ("c", 4))
    }


def run(models, metrics, k=5):
    inputs = collect_inputs(models, ids=None, groups=None, on_nonfinite="error")
    plans = plan_metrics(metrics, k=k, normalize=None, n=len(inputs.ids))
    state = State(inputs, folder=None, tile_size=None, memory_budget=1 << 28, progress=False)
    return state, plans, engine.run(state, plans)


@pytest.mark.parametrize("metrics", [FAMILIES, pytest.param(PAIRWISE, marks=pytest.mark.slow)])
def test_a_permuted_run_scores_what_permuted_rows_score(rng, metrics):
    """Every family: relabelled graphs and reordered rows are the same as a search of new rows."""
    models = sources(rng)
    order = rng.permutation(48)
    state, plans, _ = run(models, metrics)
    wanted = {("a", "b"), ("b", "a")}
    found = engine.outcomes(PermutedState(state, order, wanted, {"a", "b"}), plans)
    _, _, expected = run({"a": models["a"], "b": models["b"][order]}, metrics)
    compared = 0
    for score in expected:
        if (score.a, score.b) == ("a", "b"):
            value = found[score.plan, "a", permuted("b")][0]
            np.testing.assert_allclose(value, score.value, rtol=1e-5, atol=1e-6, err_msg=str(score))
            compared += 1
    assert compared >= len(metrics)


def test_permutations_decide_what_closed_forms_do_not(rng):
    models = sources(rng, noise=0.2) | {"noise": rng.normal(size=(48, 6)).astype(np.float32)}
    table = ja.align(models, metrics=("mutual_knn", "procrustes"), k=5, permutations=19).table
    pairs = table[table["model_a"] != table["model_b"]]
    # No closed form: sampled, all of them.
    sampled = pairs[pairs["metric"] == "procrustes"]
    assert sampled["null"].str.endswith("permutations").all()
    aligned = ~sampled[["model_a", "model_b"]].eq("noise").any(axis=1)
    # Distances: small is good, and as small is not seen among 19 permutations.
    np.testing.assert_allclose(sampled["p"][aligned], 1 / 20)
    assert (sampled["calibrated"][aligned] > 0).all()
    assert (sampled["z"][aligned] > 2).all()
    closed = pairs[pairs["metric"] == "mutual_knn"]
    assert (closed["null"][(closed["p"] < 1e-3).to_numpy()].str.startswith("closed")).all()


def test_strata_hold_back_what_they_explain(rng):
    """Two models that see one label and nothing else agree, but not within labels."""
    n = 60
    labels = rng.integers(0, 4, size=n)
    centers = {d: rng.normal(size=(4, d)) * 4 for d in (5, 8)}
    models = {
        str(d): (table[labels] + rng.normal(size=(n, d))).astype(np.float32)
        for d, table in centers.items()
    }
    raw = ja.align(models, metrics=("mutual_knn", "cka"), k=5).table
    within = ja.align(
        models, metrics=("mutual_knn", "cka"), k=5, permutations=59, permute_within=labels
    )
    raw, table = (t[t["model_a"] != t["model_b"]] for t in (raw, within.table))
    assert (raw["p"] < 1e-4).all()
    assert (table["calibrated"].to_numpy() < raw["calibrated"].to_numpy() / 2).all()
    assert (table["null_mean"].to_numpy() > raw["null_mean"].to_numpy() + 0.05).all()
    assert table["null"].str.contains("within equal labels").all()
    assert within.diagnostics["sampled_nulls"]["movable_share"] == 1


def test_groups_change_places_whole(rng):
    models = sources(rng)
    groups = np.repeat(np.arange(12), 4)
    result = ja.align(models, metrics=("mutual_knn",), k=3, groups=groups, permutations=19)
    table = result.table[result.table["model_a"] != result.table["model_b"]]
    assert table["null"].str.contains("whole groups").all()
    assert table["p"].notna().all()


def test_the_best_of_many_layers_is_not_surprising(rng):
    """Independent encoders of 4 layers: the best pair's own p is small, the maximum's is not."""
    models = {
        f"{name}@{layer}": rng.normal(size=(40, 5)).astype(np.float32)
        for name in "xy"
        for layer in range(4)
    }
    encoders = {name: name[0] for name in models}
    result = ja.align(models, metrics=("mutual_knn",), k=5, permutations=39, encoders=encoders)
    (row,) = result.best_layers.itertuples()
    table = result.table[result.table["model_a"].str[0] != result.table["model_b"].str[0]]
    assert row.value == table["value"].max()
    assert row.layer_pairs == 16
    # Whenever one pair's null score is as good as the observed one, so is the best null score.
    assert row.p >= table["p"].min()
    assert row.p >= 1 / 40
    assert {row.layer_a[0], row.layer_b[0]} == {"x", "y"}


def test_null_scores_are_kept_and_do_not_depend_on_other_models(rng, tmp_path):
    models = sources(rng)
    settings = {"metrics": ("procrustes",), "permutations": 19, "workdir": tmp_path}
    first = ja.align(models, **settings).table
    again = ja.align(models, **settings)
    assert again.table["p"].equals(first["p"])
    stored = ja.load(tmp_path)
    assert stored.table["null"].equals(first["null"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"permutations": 5}, "at least 19"),
        ({"permutations": 99, "permute_within": range(48)}, "no permutation is possible"),
        ({"permutations": 99, "permute_within": [*range(47), 46]}, "only 2 permutations"),
        ({"permute_within": [0] * 48}, "permutations=0"),
        ({"permutations": 99, "permute_within": [0] * 5}, "one label a row"),
        ({"permutations": 99, "encoders": {"nobody": "x"}}, "not compared"),
        (
            {"permutations": 99, "groups": [0] * 24 + [1] * 24, "permute_within": range(48)},
            "no two structures .or groups of one size. share the labels",
        ),
    ],
)
def test_what_cannot_be_permuted_is_refused(rng, settings, words):
    with pytest.raises(ValueError, match=words):
        ja.align(sources(rng), metrics=("mutual_knn",), k=5, **settings)


def test_ties_that_both_models_break_alike_are_no_signal(rng):
    """Independent tables of few distinct rows: ties go to the lower row number in every model."""
    n = 60
    models = {name: np.eye(5, dtype=np.float32)[rng.integers(0, 5, size=n)] for name in "ab"}
    closed = ja.align(models, metrics=("mutual_knn",), k=5).table
    closed = closed[closed["model_a"] != closed["model_b"]]
    assert closed["p"].isna().all()
    sampled = ja.align(models, metrics=("mutual_knn",), k=5, permutations=39).table
    sampled = sampled[sampled["model_a"] != sampled["model_b"]]
    assert abs(sampled["z"].iloc[0]) < 6
    # A graph relabelled after its ties were broken shares k/(n − 1) of the neighbors, these more.
    assert sampled["null_mean"].iloc[0] > 1.2 * 5 / 59
