"""Criteria are judged where they have values, and planted ones come out on top."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import spearmanr

from jaxalign.learning.selection.quality import ranking_quality
from tests.learning.selection.planted_points import planted

SETTINGS = dict(truth="ridge", permutations=499, confidence=0.95, seed=0)


def test_a_planted_criterion_is_found(rng):
    task = planted("t", rng)
    table = ranking_quality([task], **SETTINGS).set_index("criterion")
    best = table.loc["label:cka"]
    assert best["spearman"] > 0.95
    assert best["regret"] == pytest.approx(0.0, abs=0.02)
    assert best["p"] == pytest.approx(1 / 500, abs=0.01)
    noise = table.loc["own:width"]
    draws = [spearmanr(a, -b)[0] for a, b in zip(task.scores[:, 2], task.errors, strict=True)]
    assert noise["spearman"] == pytest.approx(np.mean(draws))
    assert noise["spread_over_draws"] == pytest.approx(np.std(draws, ddof=1))
    assert noise["low"] < noise["spearman"] < noise["high"]
    assert noise["regret_by_lot"] == pytest.approx(
        np.mean(task.errors.mean(axis=1) / task.errors.min(axis=1) - 1)
    )


def test_candidates_without_a_value_are_left_out_and_counted(rng):
    task = planted("t", rng)
    task.scores[0, 1, 2] = np.nan
    task.scores[:, 0, 3:] = np.nan
    task.scores[:, 2] = 5.0
    table = ranking_quality([task], **SETTINGS).set_index("criterion")
    assert table.loc["label:cka", ["candidates", "families"]].tolist() == [7, 5]
    assert table.loc["label:cka", "spearman"] > 0.9
    assert table.loc["probe:ridge", "reason"] == "not ranked: 3 candidates have it, of at least 4"
    assert table.loc["own:width", "reason"].startswith("orders nothing")
    assert table.loc[["probe:ridge", "own:width"], "spearman"].isna().all()


def test_one_family_has_no_interval(rng):
    task = dataclasses.replace(planted("t", rng), families=("a",) * 8)
    table = ranking_quality([task], **SETTINGS)
    assert table["low"].isna().all()
    assert table["reason"].str.contains("1 families, of at least 3").all()
    assert table["p"].notna().all()
