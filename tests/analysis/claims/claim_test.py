"""Rules that turn intervals into verdicts, and the table of all claims."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from jaxalign.alignment.results import ResultError
from jaxalign.analysis.claims import claim, intervals
from jaxalign.analysis.claims.claims_table import (
    CLAIMS,
    claims_markdown,
    claims_table,
    verdict_table,
)
from jaxalign.analysis.claims.study import Study, load_study
from jaxalign.analysis.claims.study_runs import StudyRuns, cohorts
from tests.analysis.claims.planted import families_of, grouped_scores, planted


@pytest.mark.parametrize(
    ("low", "high", "positive", "verdict"),
    [
        (0.1, 0.2, True, claim.SUPPORTED),
        (0.1, 0.2, False, claim.NOT_SUPPORTED),
        (-0.2, -0.1, True, claim.NOT_SUPPORTED),
        (-0.2, -0.1, False, claim.SUPPORTED),
        (-0.1, 0.2, True, claim.INCONCLUSIVE),
        (0.0, 0.2, True, claim.INCONCLUSIVE),
        (math.nan, math.nan, True, claim.INCONCLUSIVE),
    ],
)
def test_the_side_of_an_interval_decides(low, high, positive, verdict):
    assert claim.side_of_zero(low, high, positive=positive) == verdict


def test_tests_that_disagree_are_mixed_and_untestable_ones_do_not_count():
    yes, no, none = claim.SUPPORTED, claim.NOT_SUPPORTED, claim.NOT_TESTABLE
    assert claim.combined_verdict([yes, none, yes]) == yes
    assert claim.combined_verdict([yes, no]) == claim.MIXED
    assert claim.combined_verdict([none, none]) == none
    assert claim.combined_verdict([]) == none


def test_a_mean_is_students(rng):
    values = rng.normal(1.0, 1.0, size=7)
    found = intervals.mean_estimate(values, null=0.2)
    expected = scipy.stats.ttest_1samp(values, 0.2, alternative="greater")
    both = scipy.stats.ttest_1samp(values, 0.2).confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((both.low, both.high))
    assert math.isnan(intervals.mean_estimate(values[:1]).low)
    assert math.isnan(intervals.mean_estimate(np.empty(0)).value)


def test_a_ratio_of_normal_estimates_covers(rng):
    truth, errors = (0.6, 0.3), (0.02, 0.015)
    draws = rng.normal(truth, errors, size=(2000, 2))
    covered = 0
    for pair in draws:
        ends = [intervals.Estimate(v, v - 1.96 * e, v + 1.96 * e, math.nan)
                for v, e in zip(pair, errors, strict=True)]  # fmt: skip
        found = intervals.log_ratio(*ends)
        covered += found.low <= 2 <= found.high
        assert found.p < 1e-6
    assert 0.92 < covered / 2000 < 0.98
    zero = intervals.Estimate(0.0, -0.1, 0.1, math.nan)
    assert math.isnan(intervals.log_ratio(ends[0], zero).value)


def test_rank_agreement_is_spearman(rng):
    cards = families_of({"A": 3, "B": 3, "C": 3})
    a = grouped_scores(rng, [c.family for c in cards])
    b = np.exp(3 * a) + rng.normal(scale=0.3, size=a.shape)
    b = b + b.T
    run = planted(cards, {("cknna", 25): a, ("dcor", None): b})
    found, left_out, pairs = intervals.rank_agreement(run.matrix("cknna"), run.matrix("dcor"), None)
    assert left_out == "models"
    upper = np.triu_indices(9, 1)
    expected = scipy.stats.spearmanr(a[upper], b[upper]).statistic
    assert found.value == pytest.approx(expected)
    assert pairs == 36
    assert found.low < found.value < found.high


def test_an_empty_study_says_of_every_claim_why_it_cannot_be_tested():
    cards = families_of({"A": 1})
    runs = StudyRuns({"one": planted(cards, {("mutual_knn", 10): np.ones((1, 1))}, dataset="own")})
    table = claims_table(runs)
    assert list(dict.fromkeys(table["claim"])) == list(CLAIMS)
    assert set(table["verdict"]) == {claim.NOT_TESTABLE}
    assert (table["reason"] != "").all()
    assert "cknna was not computed" in set(table["reason"])
    assert set(verdict_table(table)["verdict"]) == {claim.NOT_TESTABLE}


def test_a_study_is_written_and_read_again(tmp_path, rng):
    cards = families_of({"A": 3, "B": 3})
    scores = {("cknna", 25): grouped_scores(rng, [c.family for c in cards])}
    run = planted(cards, scores, dataset="own")
    study = Study.of(StudyRuns({"own": run}, {"own": ["A0"]}), title="Ours", facts={"command": "c"})
    with pytest.raises(ResultError, match="no finished study"):
        load_study(tmp_path)
    run.save(tmp_path / "own")
    study.save(tmp_path)
    again = load_study(tmp_path)
    assert again.title == "Ours"
    assert again.facts["in_distribution_of"] == {"own": ["A0"]}
    assert list(again.alignments) == ["own"]
    assert again.claims.equals(study.claims)
    known = study.claims.dropna(subset="p")
    assert known["q"].to_numpy() == pytest.approx(scipy.stats.false_discovery_control(known["p"]))
    assert study.claims.loc[study.claims["p"].isna(), "q"].isna().all()
    text = (tmp_path / "claims.md").read_text()
    assert "### T5: supported" in text
    assert claims_markdown(study.claims) in text
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(ResultError, match="damaged"):
        load_study(tmp_path)


def test_tiny_p_values_are_shown_as_small():
    one = claim.judged(
        claim.Statement("T0", "Something.", "All."),
        **{"tested": "a | b", "models": "2", "data": "own", "n": 2000, "estimate": 12.34},
        **{"low": 11.0, "high": 13.0, "p": 1e-200, "verdict": claim.SUPPORTED},
    )
    text = claims_markdown(pd.DataFrame([dataclasses.asdict(one) | {"q": 2e-3}]))
    row = "| own | a \\| b | 2 | 2,000 | 12.3 | 11.0 to 13.0 | < 1e-06 | 0.002 | **supported** |  |"
    assert row in text


def test_cohorts_are_models_seen_at_home_and_away(rng):
    cards = families_of({"A": 3, "B": 2})
    scores = {("cknna", 25): grouped_scores(rng, "AAABB")}
    few = planted(cards[:3], {("cknna", 25): grouped_scores(rng, "AAA")})
    names = [c.id for c in cards]
    alignments = {"home": planted(cards, scores), "away": planted(cards, scores), "few": few}
    found = cohorts(StudyRuns(alignments, {"home": names[1:], "away": ("B1",), "gone": names}))
    assert found == []  # three at home that are away elsewhere
    found = cohorts(StudyRuns(alignments, {"home": names, "away": ("B1",)}))
    assert [(c.inside, c.outside, c.models) for c in found] == [
        ("home", ("away",), tuple(names[:4]))
    ]
