"""Matrices as analyses read them: labels, directions, gaps, columns of the table."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from jaxalign.alignment.graph_cache import GraphCache
from jaxalign.alignment.results import COLUMNS, Alignment
from jaxalign.analysis.relations.labeled_scores import (
    both_directions,
    complete_models,
    labeled,
    read_scores,
    score_matrix,
)
from jaxalign.models.card import ModelCard


def test_columns_take_the_order_of_rows(rng):
    values = rng.normal(size=(4, 4))
    scores = labeled(("d", "b", "a", "c"), values, "dcor")
    names, found = read_scores(scores.isel(model_b=[2, 0, 3, 1]))
    assert names == ("d", "b", "a", "c")
    np.testing.assert_array_equal(found, values)


def test_reading_copies():
    scores = labeled(("a", "b"), np.ones((2, 2)), "dcor")
    read_scores(scores)[1][0, 0] = 5
    assert float(scores[0, 0]) == 1


@pytest.mark.parametrize(
    "scores",
    [
        xr.DataArray(np.ones((2, 2))),
        xr.DataArray(np.ones(2), coords={"model_a": ["a", "b"]}, dims="model_a"),
        labeled(("a", "a"), np.ones((2, 2)), "dcor"),
        labeled(("a", "b"), np.ones((2, 2)), "dcor").assign_coords(model_b=["a", "c"]),
    ],
)
def test_what_is_no_matrix_over_models(scores):
    with pytest.raises(ValueError, match="scores must"):
        read_scores(scores)


def test_both_directions():
    found = both_directions(np.array([[1.0, 2.0, np.nan], [4.0, 1.0, 3.0], [6.0, 5.0, 1.0]]))
    np.testing.assert_array_equal(found, [[np.nan, 3, np.nan], [3, np.nan, 4], [np.nan, 4, np.nan]])


def test_models_with_gaps_go_worst_first():
    values = np.ones((5, 5))
    np.fill_diagonal(values, np.nan)
    np.testing.assert_array_equal(complete_models(values), np.arange(5))
    values[2, :] = np.nan  # one bad model
    np.testing.assert_array_equal(complete_models(values), [0, 1, 3, 4])
    values[0, 1] = np.nan  # one direction of one pair: the last of both goes
    np.testing.assert_array_equal(complete_models(values), [0, 3, 4])
    assert len(complete_models(np.full((4, 4), np.nan))) == 1
    assert len(complete_models(np.empty((0, 0)))) == 0


def alignment():
    def row(a, b, metric, value, calibrated, k=None):
        given = {"model_a": a, "model_b": b, "metric": metric, "value": value, "k": k}
        return {**dict.fromkeys(COLUMNS, np.nan), **given, "calibrated": calibrated, "null": ""}

    rows = [row(m, m, "mutual_knn", 1.0, 1.0, k) for m in "ab" for k in (5, 10)]
    rows += [row("a", "b", "mutual_knn", 0.4, 0.3, 5), row("a", "b", "mutual_knn", 0.6, 0.5, 10)]
    rows += [row(a, b, "information_imbalance", 0.1, 0.9) for a, b in ("aa", "bb")]
    rows += [row("a", "b", "information_imbalance", 0.2, 0.8)]
    rows += [row("b", "a", "information_imbalance", 0.3, 0.7)]
    table = pd.DataFrame(rows).astype({"k": "Int64"})
    table.loc[table["metric"] == "information_imbalance", "k"] = 1
    cards = {m: ModelCard(id=m, name=m, family="", modality="", pretrained=True) for m in "ab"}
    metrics = {"mutual_knn": {"k": [5, 10]}, "information_imbalance": {"k": 1}}
    return Alignment(table, cards, {"metrics": metrics}, GraphCache(None))


def test_a_column_of_the_table_as_a_matrix():
    found = score_matrix(alignment(), "mutual_knn", column="calibrated", k=10)
    np.testing.assert_array_equal(found, [[1, 0.5], [0.5, 1]])
    assert found.name == "mutual_knn"
    first = score_matrix(alignment(), "mutual_knn", column="calibrated")
    np.testing.assert_array_equal(first, [[1, 0.3], [0.3, 1]])
    assert first.attrs["k"] == 5
    directed = score_matrix(alignment(), "information_imbalance", column="calibrated")
    np.testing.assert_array_equal(directed, [[0.9, 0.8], [0.7, 0.9]])
    whole = score_matrix(alignment(), "information_imbalance")
    np.testing.assert_array_equal(whole, alignment().matrix("information_imbalance"))


def test_a_column_that_is_no_number():
    for column in ("null", "calibration", "model_a"):
        with pytest.raises(ValueError, match="column must be numeric"):
            score_matrix(alignment(), "mutual_knn", column=column)
