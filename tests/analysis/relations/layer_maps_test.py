"""Maps of layers out of labels "model@layer"."""

import math

import numpy as np
import pytest
import scipy.stats

from jaxalign.analysis.relations.labeled_scores import labeled
from jaxalign.analysis.relations.layer_maps import layer_map, layer_summary, layers_of, split_label

LABELS = ("a@l2", "a@l1", "b@x", "a@l3", "b@y", "b@z", "c@only")


def matrix(rng):
    return labeled(LABELS, rng.uniform(size=(7, 7)), "information_imbalance")


def test_labels_part_at_the_last_sign():
    assert split_label("a@l2") == ("a", "l2")
    assert split_label("org/a@main@l2") == ("org/a@main", "l2")
    assert split_label("a") == ("a", "")


def test_layers_come_in_the_order_of_the_card(rng):
    scores = matrix(rng)
    assert layers_of(scores) == {"a": ("l2", "l1", "l3"), "b": ("x", "y", "z"), "c": ("only",)}
    orders = {"a": ("l1", "l2", "l3"), "b": ("z",), "unknown": ("l",)}
    assert layers_of(scores, orders) == {
        "a": ("l1", "l2", "l3"),
        "b": ("z", "x", "y"),
        "c": ("only",),
    }


def test_a_map_reads_from_one_model_to_the_other(rng):
    scores = matrix(rng)
    found = layer_map(scores, "b", "a", orders={"a": ("l1", "l2", "l3")})
    assert found.dims == ("layer_a", "layer_b")
    for i, x in enumerate("xyz"):
        for j, layer in enumerate(("l1", "l2", "l3")):
            assert float(found[i, j]) == float(scores.sel(model_a=f"b@{x}", model_b=f"a@{layer}"))
    assert layer_map(scores, "a", "a").shape == (3, 3)
    with pytest.raises(ValueError, match="no layers of 'd'"):
        layer_map(scores, "a", "d")


@pytest.mark.parametrize("similarity", [True, False])
def test_summary_is_that_of_loops(rng, similarity):
    scores = matrix(rng)
    found = layer_summary(scores, similarity=similarity).set_index(["model_a", "model_b"])
    assert list(found.index) == [("a", "b"), ("a", "c"), ("b", "c")]
    values = layer_map(scores, "a", "b").values
    row = found.loc["a", "b"]
    best = values.max() if similarity else values.min()
    assert row["best"] == best
    i, j = np.argwhere(values == best)[0]
    assert (row["best_a"], row["best_b"]) == (("l2", "l1", "l3")[i], "xyz"[j])
    assert (row["depth_a"], row["depth_b"]) == (i / 2, j / 2)
    assert row["last"] == values[2, 2]
    assert row["mean"] == pytest.approx(values.mean())
    assert math.isnan(found.loc["a", "c"]["depth_b"])
    assert math.isnan(found.loc["a", "c"]["correspondence"])


def test_layers_that_correspond(rng):
    """A band along the diagonal of models of unequal depth."""
    m, n = 6, 4
    near = -np.abs(np.linspace(0, 1, m)[:, None] - np.linspace(0, 1, n)[None, :] - 0.01)
    values = np.full((m + n, m + n), -9.0)
    values[:m, m:], values[m:, :m] = near, near.T
    names = tuple([f"a@{i}" for i in range(m)] + [f"b@{i}" for i in range(n)])
    found = layer_summary(labeled(names, values, "cknna"))["correspondence"][0]
    one = scipy.stats.spearmanr(range(m), near.argmax(axis=1)).statistic
    other = scipy.stats.spearmanr(range(n), near.T.argmax(axis=1)).statistic
    assert found == pytest.approx((one + other) / 2)
    assert found > 0.9
    assert layer_summary(labeled(names, -values, "cknna"))["correspondence"][0] < 0.9


def test_missing_scores(rng):
    scores = matrix(rng)
    scores[0, 2] = np.nan
    assert np.isfinite(layer_summary(scores)["best"][0])
    none = layer_summary(scores * np.nan)
    assert none[["best", "best_a", "mean"]].isna().all(axis=None)
    assert layer_summary(labeled(("a@x",), np.ones((1, 1)), "cknna")).empty
