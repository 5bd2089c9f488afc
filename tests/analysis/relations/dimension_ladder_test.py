"""The ladder: what of a table and its estimates becomes which row; order and missing values."""

import math

import numpy as np
import pandas as pd
import pytest

from jaxalign.analysis.relations.dimension_ladder import (
    COLUMNS,
    dimension_ladder,
    finest_values,
    ladder_order,
)
from jaxalign.metrics._id_estimators import gride


def rows(*entries):
    names = ("model_a", "metric", "k", "value", "ci_low", "ci_high", "reason")
    return pd.DataFrame([dict(zip(names, entry, strict=True)) for entry in entries]).astype(
        {"k": "Int64"}
    )


def test_scales_and_errors_are_those_of_the_estimates(rng):
    distances = np.sort(rng.uniform(0.1, 1.0, size=(40, 16)), axis=1)
    found = gride(distances)
    details = {"error": found.error, **found.details}
    nan = math.nan
    table = rows(
        ("a", "id:twonn", 2, 5.0, nan, nan, ""),
        ("a", "id:mle", 10, 6.0, 5.5, 6.5, ""),
        ("a", "id:mle", 50, 4.0, nan, nan, ""),
        ("a", "id:gride", 16, found.value, nan, nan, ""),
        ("a", "cka", None, 0.3, nan, nan, ""),
    )
    own = {"id:twonn": {"a": {"error": 0.5}}, "id:mle": {"a": {"error": 0.1, "k": 50}}}
    ladder = dimension_ladder(table, own | {"id:gride": {"a": details}})
    assert list(ladder.columns) == list(COLUMNS)
    twonn = ladder[ladder["method"] == "id:twonn"].iloc[0]
    assert (twonn["scale"], twonn["interval"]) == (2, "estimator")
    assert twonn["high"] == pytest.approx(5 + 1.96 * 0.5, abs=1e-4)
    mle = ladder[ladder["method"] == "id:mle"].set_index("scale")
    assert mle.loc[10, "interval"] == "resampled"
    assert np.isnan(mle.loc[10, "error"])  # the stored error is of the other k
    assert mle.loc[50, "error"] == 0.1
    curve = ladder[ladder["method"] == "id:gride"]
    assert list(curve["scale"]) == [2, 4, 8, 16]
    np.testing.assert_allclose(
        curve["value"].to_numpy(float), [step["value"] for step in found.details["curve"]]
    )


def test_models_come_by_the_method_that_most_have():
    nan = math.nan
    table = rows(
        ("a", "id:twonn", 2, 9.0, nan, nan, ""),
        ("b", "id:twonn", 2, nan, nan, nan, "duplicates"),
        ("a", "id:mle", 50, 3.0, nan, nan, ""),
        ("b", "id:mle", 50, 8.0, nan, nan, ""),
        ("c", "id:mle", 50, nan, nan, nan, "ties"),
    )
    ladder = dimension_ladder(table)
    assert ladder_order(ladder) == ["b", "a", "c"]
    assert finest_values(ladder, "id:twonn") == {"a": 9.0}
    assert list(ladder["reason"]) == ["", "duplicates", "", "", "ties"]
    assert (ladder["interval"] == "").all()


def test_without_such_metrics_there_is_no_ladder():
    ladder = dimension_ladder(rows(("a", "cka", None, 0.3, math.nan, math.nan, "")))
    assert ladder.empty
    assert ladder_order(ladder) == []
