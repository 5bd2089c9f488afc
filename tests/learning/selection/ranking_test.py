"""Order of candidates, and which of them a target set tells apart."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from jaxalign.learning.selection.criteria import ALIGNMENT, PROBE, Criterion
from jaxalign.learning.selection.ranking import held_out_columns, ranking

PROBED = Criterion("probe:ridge", "", PROBE, -1, "")


def test_small_errors_come_first_and_nan_last():
    values = {"b": 0.5, "none": float("nan"), "a": 0.2, "c": 0.5}
    table = ranking(values, PROBED, {}, np.arange(5))
    assert table["candidate"].tolist() == ["a", "b", "c", "none"]
    assert table["rank"][:3].tolist() == [1.0, 2.0, 2.0]
    assert np.isnan(table["rank"][3])
    aligned = ranking(values, Criterion("label:cka", "", ALIGNMENT, 1, ""), {}, np.arange(5))
    assert aligned["candidate"].tolist() == ["b", "c", "a", "none"]


def test_candidates_are_told_apart_by_paired_errors(rng):
    noise = rng.uniform(size=80)
    errors = {
        "best": noise,
        "near": noise + 0.02 * rng.normal(size=80),
        "worse": noise + 0.5 + 0.1 * rng.normal(size=80),
        "worst": noise + 1.0 + 0.1 * rng.normal(size=80),
    }
    values = {"best": 0.1, "near": 0.2, "worse": 0.5, "worst": 0.9}
    table = ranking(values, PROBED, errors, np.arange(80)).set_index("candidate")
    p = [ttest_rel(errors[n], noise, alternative="greater").pvalue for n in values if n != "best"]
    order = np.argsort(p)
    holm = np.empty(3)
    holm[order] = np.minimum(np.maximum.accumulate(np.array(p)[order] * [3, 2, 1]), 1)
    assert table["p_worse"][1:].tolist() == pytest.approx(holm.tolist())
    assert table.loc[["worse", "worst"], "distinguishable"].all()
    assert table.loc["best", "distinguishable"] is None


def test_copies_of_one_group_count_once(rng):
    best = rng.uniform(size=12)
    errors = {"best": best, "other": best + 0.3 * rng.normal(size=12) + 0.1}
    values = {"best": 0.1, "other": 0.2}
    single = ranking(values, PROBED, errors, np.arange(12))["p_worse"][1]
    copied = {name: np.repeat(e, 4) for name, e in errors.items()}
    grouped = ranking(values, PROBED, copied, np.repeat(np.arange(12), 4))["p_worse"][1]
    assert grouped == pytest.approx(single)


def test_held_out_errors_stand_beside(rng):
    records = [
        {"candidate": name, "probe": probe, "draw": draw, "error": base + 0.01 * rng.uniform()}
        for probe in ("ridge", "knn")
        for draw in range(3)
        for name, base in (("a", 0.5), ("b", 0.2))
    ]
    table = held_out_columns(pd.DataFrame(records).assign(train=80, test=20), confidence=0.95)
    assert table.loc["b", ["ridge_rank", "knn_rank"]].tolist() == [1.0, 1.0]
    assert (table["ridge_low"] < table["ridge"]).all()
    assert (table["ridge"] < table["ridge_high"]).all()
