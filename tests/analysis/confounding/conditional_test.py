"""Element-averaged tables fall to their null given composition; what is more than that remains."""

import numpy as np
import pytest

import jaxalign as ja
from jaxalign.alignment.inputs import collect_inputs
from jaxalign.analysis.confounding.conditional import COLUMNS, conditional_alignment
from jaxalign.analysis.confounding.conditioning import choose_confounders
from jaxalign.analysis.confounding.null_draws import against
from jaxalign.analysis.confounding.strata import Strata, strata
from jaxalign.models.card import ModelCard
from jaxalign.models.descriptors.controls import composition
from jaxalign.structures.datasets import load_dataset

METRICS = ("mutual_knn", "cka")


def fractions(structures):
    return np.array([composition(s) for s in structures], np.float32)


def tables(rng, z, widths):
    """Means over atoms of random features of elements, in float32 as a model would take them."""
    return [z @ rng.normal(size=(z.shape[1], d)).astype(np.float32) for d in widths]


def standardized(x):
    return (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)


def composition_and_more(rng, z):
    """Two averaged tables; two that share something else besides; one with noise of its own."""
    n = len(z)
    more = rng.normal(size=(n, 4))
    a, b, c, d, e = tables(rng, z, (24,) * 5)
    c = standardized(c) + 0.5 * more @ rng.normal(size=(4, 24))
    d = standardized(d) + 0.5 * more @ rng.normal(size=(4, 24))
    e = standardized(e) + 0.5 * rng.normal(size=e.shape)
    models = {"averaged-a": a, "averaged-b": b, "more-c": c, "more-d": d, "noisy-e": e}
    return {name: rows.astype(np.float32) for name, rows in models.items()}


def pair(table, a, b, metric):
    rows = table[(table["model_a"] == a) & (table["model_b"] == b) & (table["metric"] == metric)]
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.mark.parametrize(
    ("n", "metrics"),
    [(400, METRICS[1:]), pytest.param(None, METRICS, marks=pytest.mark.slow)],
)
def test_averaged_features_of_crystals_fall_to_the_null_given_composition(rng, n, metrics):
    crystals = load_dataset("crystals", n=n, seed=int(rng.integers(2**31)))
    z = fractions(crystals)
    models = composition_and_more(rng, z)
    found = conditional_alignment(models, z, metrics=metrics, permutations=19)
    assert tuple(found.table.columns) == COLUMNS
    assert len(found.table) == len(metrics) * 10
    assert found.left["averaged-a"] < 1e-10
    assert found.left["more-c"] > 0.3
    assert found.facts["n"] + found.facts["left_out"] == len(crystals)
    for metric in metrics:
        both = pair(found.table, "averaged-a", "averaged-b", metric)
        assert both["raw_calibrated"] > 0.2
        assert both["calibrated"] == 0
        assert np.isnan(both["conditional"])
        assert both["reason"] == "averaged-a: the confounders explain all of its rows"
        kept = pair(found.table, "more-c", "more-d", metric)
        assert kept["calibrated"] > 0.2
        assert kept["p"] == pytest.approx(1 / 20)
        assert kept["z"] > 8
        # Noise of their own: they shared composition, and share nothing given composition.
        gone = pair(found.table, "more-c", "noisy-e", metric)
        assert gone["raw_calibrated"] > 0.02
        assert gone["calibrated"] < 0.05
        assert abs(gone["z"]) < 7


def polymorphs():
    """Crystals of the set that share their composition with another one."""
    crystals = load_dataset("crystals")
    labels = strata(crystals, "composition")
    chosen = [
        s for s, label in zip(crystals, labels.labels, strict=True) if labels.sizes[label] > 1
    ]
    return chosen, strata(chosen, "composition")


@pytest.mark.slow
@pytest.mark.parametrize("metrics", [METRICS[:1], METRICS])
def test_functions_of_the_label_fall_to_the_null_within_strata(rng, metrics):
    """Ties in masses, and no linear function of composition: draws are equal to the score."""
    chosen, labels = polymorphs()
    n, z = len(chosen), fractions(chosen)
    a, b = (np.tanh(4 * table) for table in tables(rng, z, (24, 24)))
    more = rng.normal(size=(n, 4))
    c = standardized(tables(rng, z, (24,))[0]) + more @ rng.normal(size=(4, 24))
    d = standardized(tables(rng, z, (24,))[0]) + more @ rng.normal(size=(4, 24))
    models = {"a": a, "b": b, "c": c, "d": d}
    models = {name: rows.astype(np.float32) for name, rows in models.items()}
    found = conditional_alignment(models, labels, metrics=metrics, permutations=19)
    assert found.facts["assumption"] == "Structures of equal reduced formula are exchangeable."
    assert (found.facts["n"], found.facts["left_out"]) == (n, 0)
    for metric in metrics:
        tied = pair(found.table, "a", "b", metric)
        assert tied["raw_calibrated"] > 0.3
        assert tied["calibrated"] == 0
        assert tied["p"] == 1
        assert tied["null_mean"] == pytest.approx(tied["conditional"], rel=1e-6)
        kept = pair(found.table, "c", "d", metric)
        assert kept["p"] == pytest.approx(1 / 20)
        assert kept["calibrated"] > 0.05
        assert kept["z"] > 4


@pytest.mark.slow
def test_draws_within_strata_have_the_mean_of_all_permutations(rng):
    """E Γ = Σ over pairs of strata of the edges in both, divided by the places there are."""
    n, k = 60, 5
    which = np.sort(rng.integers(0, 6, size=n))
    centers = 2 * rng.normal(size=(6, 3))
    x, y = (
        (centers[which] @ rng.normal(size=(3, d)) + rng.normal(size=(n, d))).astype(np.float32)
        for d in (5, 7)
    )
    labels = Strata("own", tuple(map(str, range(n))), tuple(map(str, which)), "They are.")
    found = conditional_alignment(
        {"x": x, "y": y}, labels, metrics=("mutual_knn",), k=k, permutations=30
    ).table.iloc[0]
    sums = []
    for rows in (x, y):
        mask = np.zeros((n, n))
        np.put_along_axis(mask, ja.neighbors(rows, k=k).indices, 1, axis=1)
        member = np.eye(6)[which]
        sums.append(member.T @ mask @ member)
    sizes = np.bincount(which, minlength=6)
    places = np.maximum(np.outer(sizes, sizes) - np.diag(sizes), 1)
    expected = float((sums[0] * sums[1] / places).sum()) / (n * k)
    spread = (found["conditional"] - found["null_mean"]) / found["z"]
    assert abs(found["null_mean"] - expected) < 6 * spread / np.sqrt(30)


def embeddings(name, rows, ids):
    card = ModelCard(id=name, name=name, family=name, modality="3d", pretrained=True)
    return ja.Embeddings(rows.astype(np.float32), tuple(ids), card)


def test_confounders_may_be_models_in_another_order(rng):
    n = 50
    ids = [f"s{i}" for i in range(n)]
    x, z = rng.normal(size=(n, 6)), rng.normal(size=(n, 2)).astype(np.float32)
    order = rng.permutation(n)
    models = {
        "x": embeddings("x", x, ids),
        "z": embeddings("z", z[order], [ids[i] for i in order]),
        "y": embeddings("y", x, ids[10:] + ids[:10]),
    }
    inputs = collect_inputs(models, ids=None, groups=range(n), on_nonfinite="error")
    rows = np.array(inputs.groups)
    compared, name, found = choose_confounders(inputs, ("z",), rows)
    assert [m.name for m in compared.models] == ["x", "y"]
    assert name == "z"
    np.testing.assert_array_equal(found, z)
    _, _, found = choose_confounders(inputs, z, rows)
    np.testing.assert_array_equal(found, z)


@pytest.mark.slow
def test_groups_stay_together_and_directed_metrics_have_both_ways(rng):
    n = 60
    groups = np.repeat(np.arange(n // 2), 2)
    x, y = rng.normal(size=(n, 4)), rng.normal(size=(n, 5))
    x[1::2] = x[::2] + 1e-3  # copies, which would be each other's neighbors
    y[1::2] = y[::2] + 1e-3
    found = conditional_alignment(
        {"x": x.astype(np.float32), "y": y.astype(np.float32)},
        rng.normal(size=(n, 2)),
        metrics=("information_imbalance", "mutual_knn"),
        groups=groups,
        permutations=19,
        k=4,
    ).table
    directed = found[found["metric"] == "information_imbalance"]
    assert set(directed["model_a"]) == {"x", "y"}
    assert (found["z"].abs() < 8).all()
    # There are no closed forms with groups: raw scores have a sampled null.
    assert found["raw_calibrated"].notna().all()
    assert (found["raw_calibrated"] < 0.3).all()


def test_a_distance_points_the_other_way():
    import pandas as pd

    found = pd.DataFrame(
        {"model_a": "a", "model_b": "b", "metric": ["information_imbalance", "mutual_knn"],
         "k": [5, 5], "n": [100, 100], "value": [0.2, 0.5], "reason": ["", ""]}
    )  # fmt: skip
    draws = np.stack([np.linspace(0.9, 1.1, 19), np.linspace(0.04, 0.06, 19)], axis=1)
    table = against(found, draws)
    assert (table["z"] > 10).all()
    assert (table["p"] == 1 / 20).all()
    assert (table["calibrated"] > 0.4).all()
    assert against(found.assign(value=[1.0, 0.05]), draws)["calibrated"].tolist() == [0, 0]


def test_models_without_rows_that_differ_have_no_score(rng):
    z = rng.normal(size=(40, 2))
    models = {"same": np.ones((40, 3)), "x": rng.normal(size=(40, 4))}
    found = conditional_alignment(models, z, metrics=("cka",), permutations=19).table.iloc[0]
    assert np.isnan(found["raw"])
    assert np.isnan(found["calibrated"])
    assert found["reason"] == "same: all rows are equal"


def test_bad_requests(rng):
    x = {name: rng.normal(size=(30, 3)) for name in "xy"}
    z = rng.normal(size=(30, 2))
    for given, options, message in (
        (z, {"metrics": ("id:twonn",)}, "pairs of models"),
        (z, {"metrics": "cka"}, "sequence of ids"),
        (z, {"permutations": 0}, "needs null draws"),
        (z, {"permutations": 5}, "at least 19"),
        (z[:20], {}, "one row a row"),
        (("w",), {}, "must name models"),
        (("x",), {}, "at least 2 models"),
        (Strata("own", ("a",), ("b",), ""), {}, "no label for 30 ids"),
    ):
        with pytest.raises(ValueError, match=message):
            conditional_alignment(x, given, **options)
    alone = tuple(map(str, range(30)))
    with pytest.raises(ValueError, match="no permutation is possible"):
        conditional_alignment(x, Strata("own", alone, alone, ""))
