"""Slopes of alignment to the best model against scipy, all orders, and a jackknife written out."""

import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from jaxalign.analysis.relations.labeled_scores import labeled
from jaxalign.analysis.relations.performance import alignment_to_best, error_slopes


def points(rng, families, slope=-0.3):
    """A plane with the best model in front, of the first family."""
    m = len(families)
    errors = np.concatenate([[1e-3], rng.uniform(0.01, 1, size=m - 1)])
    alignment = slope * np.log10(errors) + rng.normal(scale=0.1, size=m)
    return pd.DataFrame(
        {
            "model": [f"m{i}" for i in range(m)],
            "family": list(families),
            "error": errors,
            "alignment": np.where(np.arange(m) == 0, np.nan, alignment),
            "reference": np.arange(m) == 0,
        }
    )


def test_points_are_scores_with_the_best_model(rng):
    names = ("a", "b", "c", "d", "e")
    values = rng.uniform(size=(5, 5))
    values[1, 4] = np.nan
    errors = {"a": 3.0, "b": 0.5, "c": 2.0, "d": np.nan, "e": 1.0}
    families = dict(zip(names, ["F", "G", "F", "G", "H"], strict=True))
    found = alignment_to_best(labeled(names, values, "cknna"), errors, families)
    assert list(found["model"]) == ["b", "c", "a"]  # d without error, e without score
    assert list(found["reference"]) == [True, False, False]
    assert np.isnan(found["alignment"][0])
    assert found["alignment"][1] == pytest.approx((values[1, 2] + values[2, 1]) / 2)
    assert list(found["family"]) == ["G", "F", "F"]


def test_slope_and_ranks_are_those_of_scipy(rng):
    table = points(rng, "AABBCCDD")
    found = error_slopes(table, permutations=99).iloc[0]
    x, y = np.log10(table["error"][1:]), table["alignment"][1:]
    assert found["slope"] == pytest.approx(scipy.stats.linregress(x, y).slope)
    assert found["spearman"] == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
    assert (found["models"], found["families"], found["reference"]) == (7, 4, "m0")
    assert found["reason"] == ""


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
def test_p_is_that_of_all_orders(rng, alternative):
    table = points(rng, "ABBCCD", slope=-0.02)
    found = error_slopes(table, alternative=alternative, permutations=200).iloc[0]
    x = np.log10(table["error"][1:].to_numpy())
    y = table["alignment"][1:].to_numpy()

    def p(orders):
        slopes = np.array([scipy.stats.linregress(x[list(o)], y).slope for o in orders])
        slopes = {"two-sided": np.abs(slopes), "greater": slopes, "less": -slopes}[alternative]
        return np.mean(slopes >= slopes[0] - 1e-9)

    assert found["p"] == pytest.approx(p(itertools.permutations(range(5))))


def test_p_within_families_moves_errors_within_them_alone(rng):
    table = points(rng, "ABBBCD", slope=0)
    found = error_slopes(table, permutations=20_000).iloc[0]
    x, y = np.log10(table["error"][1:].to_numpy()), table["alignment"][1:].to_numpy()
    orders = [(*o, 3, 4) for o in itertools.permutations(range(3))]
    slopes = np.abs([scipy.stats.linregress(x[list(o)], y).slope for o in orders])
    assert found["p_within"] == pytest.approx(np.mean(slopes >= slopes[0] - 1e-9), abs=0.025)


def test_interval_leaves_out_whole_families(rng):
    table = points(rng, ["A", "B", "B", "C", "C", "C", "", ""])
    found = error_slopes(table, permutations=9, confidence=0.9).iloc[0]
    blocks = np.array(["B", "B", "C", "C", "C", "x", "y"])  # unknown ones are families of one
    x, y = np.log10(table["error"][1:].to_numpy()), table["alignment"][1:].to_numpy()
    left = [
        scipy.stats.linregress(x[blocks != block], y[blocks != block]).slope for block in "BCxy"
    ]
    spread = np.sqrt(3 / 4 * np.sum((left - np.mean(left)) ** 2))
    half = scipy.stats.t(3).ppf(0.95) * spread
    assert found["low"] == pytest.approx(found["slope"] - half)
    assert found["high"] == pytest.approx(found["slope"] + half)
    assert found["families"] == 4
    t = scipy.stats.t(3)
    assert found["p_blocked"] == pytest.approx(2 * t.sf(abs(found["slope"]) / spread))
    falls = error_slopes(table, permutations=9, alternative="less").iloc[0]
    assert falls["p_blocked"] == pytest.approx(t.cdf(found["slope"] / spread))
    rises = error_slopes(table, permutations=9, alternative="greater").iloc[0]
    assert rises["p_blocked"] == pytest.approx(t.sf(found["slope"] / spread))


@pytest.mark.slow
def test_intervals_cover_the_slope_where_families_differ(rng):
    families, covered, times = np.repeat(np.arange(8), [5, 4, 3, 2, 2, 1, 1, 1]), 0, 400
    for _ in range(times):
        x = rng.normal(scale=0.3, size=8)[families] + rng.normal(scale=0.3, size=19)
        y = -0.2 * x + rng.normal(scale=0.1, size=8)[families] + rng.normal(scale=0.1, size=19)
        table = pd.DataFrame({"family": [f"f{i}" for i in families], "error": 10.0**x})
        table = table.assign(model=[f"m{i}" for i in range(19)], alignment=y, reference=False)
        found = error_slopes(table, permutations=1).iloc[0]
        covered += found["low"] <= -0.2 <= found["high"]
    assert covered >= scipy.stats.binom(times, 0.92).ppf(1e-5)


def test_the_family_of_the_reference_is_left_out_in_the_second_row(rng):
    table = points(rng, "AAABBCCDD")
    whole, apart = (row for _, row in error_slopes(table, permutations=9).iterrows())
    assert (whole["models"], apart["models"]) == (8, 6)
    chosen = table[~table["family"].eq("A")]
    wanted = scipy.stats.linregress(np.log10(chosen["error"]), chosen["alignment"]).slope
    assert apart["slope"] == pytest.approx(wanted)


def test_a_reference_of_unknown_family_has_no_relatives(rng):
    found = error_slopes(points(rng, ["", "", "B", "C", "D"]), permutations=9)
    assert list(found["models"]) == [4, 4]


def test_three_models_are_not_testable(rng):
    found = error_slopes(points(rng, "ABCD"))
    assert found["slope"].isna().all()
    assert found["p"].isna().all()
    assert (found["reason"] == "not testable: 3 models beside the reference, of at least 4").all()


def test_hostile_planes(rng):
    empty = error_slopes(points(rng, "AB").iloc[:0])
    assert list(empty["models"]) == [0, 0]
    alone = error_slopes(points(rng, "A"))
    assert "0 models" in alone["reason"][0]
    flat = points(rng, "ABCDE").assign(alignment=0.5)
    assert error_slopes(flat)["reason"][0] == "not testable: all alignments are equal"
    even = points(rng, "ABCDE").assign(error=1.0)
    assert error_slopes(even)["reason"][0] == "not testable: all errors are equal"
    line = points(rng, "ABCDE")
    line["alignment"] = -np.log10(line["error"])
    straight = error_slopes(line, permutations=9).iloc[0]
    assert straight["reason"] == "no interval: all slopes are equal"
    assert straight["slope"] == pytest.approx(-1)
    one = error_slopes(points(rng, "ABBBBB"), permutations=9).iloc[0]
    assert one["reason"] == "no interval: 1 families, of at least 3"
    assert np.isfinite(one["slope"])


def test_refusals(rng):
    scores = labeled(("a", "b"), np.ones((2, 2)), "cknna")
    with pytest.raises(ValueError, match=r"errors must be positive: got 0.0 of 'a'"):
        alignment_to_best(scores, {"a": 0.0, "b": 1.0}, {"a": "", "b": ""})
    with pytest.raises(ValueError, match="alternative"):
        error_slopes(points(rng, "ABCDE"), alternative="falls")
