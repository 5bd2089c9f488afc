"""T1 and T2 on planted intrinsic dimensions."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

from jaxalign.analysis.claims import claim, dimension
from jaxalign.analysis.claims.study_runs import StudyRuns
from tests.analysis.claims.planted import card, families_of, planted


def by_metric(claims, metric):
    return [c for c in claims if metric in c.tested]


def run_of(cards, values, **facts):
    return planted(cards, {("id:twonn", 2): np.array(values, float)}, **facts)


def test_a_dimension_near_five_of_families_that_agree():
    cards = families_of({"A": 3, "B": 1, "C": 1})
    run = run_of(cards, [4.0, 5.0, 6.0, 5.2, 4.9])
    found = by_metric(dimension.published_dimension(StudyRuns({"q": run})), "id:twonn")
    assert len(found) == 1
    (test,) = found
    assert test.estimate == pytest.approx(np.mean([5.0, 5.2, 4.9]))  # A counts once
    assert test.verdict == claim.SUPPORTED
    assert test.models == "5: A 3, B 1, C 1"
    expected = scipy.stats.ttest_1samp([5.0, 5.2, 4.9], 6.5, alternative="less").pvalue
    assert test.p == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([9.0, 9.2, 8.9], claim.NOT_SUPPORTED),
        ([1.0, 1.2, 1.1], claim.NOT_SUPPORTED),
        ([3.0, 5.0, 9.0], claim.INCONCLUSIVE),
    ],
)
def test_other_dimensions(values, verdict):
    run = run_of(families_of({"A": 1, "B": 1, "C": 1}), values)
    found = by_metric(dimension.published_dimension(StudyRuns({"q": run})), "id:twonn")
    assert [c.verdict for c in found] == [verdict]


def test_one_family_and_other_data_are_no_test():
    run = run_of(families_of({"A": 3}), [5.0, 5.0, 5.0])
    found = by_metric(dimension.published_dimension(StudyRuns({"q": run})), "id:twonn")
    assert found[0].verdict == claim.INCONCLUSIVE
    crystals = run_of(families_of({"A": 1, "B": 1}), [7.0, 8.0], dataset="crystals")
    rattled = run_of(families_of({"A": 1, "B": 1}), [7.0, 8.0], dataset="qm9~rattle")
    found = dimension.published_dimension(StudyRuns({"c": crystals, "r": rattled}))
    assert {c.verdict for c in found} == {claim.NOT_TESTABLE}
    assert [c.estimate for c in by_metric(found, "id:twonn")] == [7.5]
    assert "no data set of this study is QM9" in [c.reason for c in found]


def twins(ratio):
    """Trained encoders of four families, and untrained ones of so many times the dimension."""
    trained = families_of({"A": 2, "B": 1, "C": 1, "D": 1})
    untrained = [card(f"{f}-random", f, pretrained=False) for f in "ABCD"]
    own = np.array([4.0, 4.0, 6.0, 5.0, 8.0])
    wobble = np.array([1.1, 0.95, 1.0, 1.05])
    return [*trained, *untrained], [*own, *(ratio * own[[0, 2, 3, 4]] * wobble)]


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(3.0, claim.SUPPORTED), (0.4, claim.NOT_SUPPORTED), (1.0, claim.INCONCLUSIVE)],
)
def test_untrained_twins(ratio, verdict):
    cards, values = twins(ratio)
    found = by_metric(dimension.higher_dimension(StudyRuns({"q": run_of(cards, values)})), "twonn")
    test = next(c for c in found if "untrained" in c.tested)
    logs = np.log(ratio * np.array([1.1, 0.95, 1.0, 1.05]))
    assert test.estimate == pytest.approx(np.exp(logs.mean()))
    assert test.verdict == verdict
    both = scipy.stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert (test.low, test.high) == pytest.approx((np.exp(both.low), np.exp(both.high)))
    text = next(c for c in found if "sentence" in c.tested)
    assert text.verdict == claim.NOT_TESTABLE


def test_a_text_encoder_is_compared_with_all_families_and_data_sets_count_once():
    cards = families_of({"A": 1, "B": 2, "C": 1})
    cards += [card("words", "T", "text"), card("noise", "N", "control", pretrained=False)]
    values = [4.0, 6.0, 6.0, 5.0, 12.0, 200.0]
    runs = StudyRuns({"q": run_of(cards, values), "m": run_of(cards, values, n=400)})
    found = by_metric(dimension.higher_dimension(runs), "twonn")
    test = next(c for c in found if "sentence" in c.tested)
    logs = np.log(12 / np.array([4.0, 6.0, 5.0]))
    assert test.estimate == pytest.approx(np.exp(logs.mean()))
    assert test.verdict == claim.SUPPORTED
    assert (test.data, test.n, test.models) == ("q, m", 400, "1: T 1")


def test_a_model_without_a_dimension_is_left_out():
    cards = families_of({"A": 2, "B": 1, "C": 1})
    run = run_of(cards, [np.nan, 5.0, 5.1, 5.2])
    found = by_metric(dimension.published_dimension(StudyRuns({"q": run})), "id:twonn")
    assert found[0].estimate == pytest.approx(np.mean([5.0, 5.1, 5.2]))
    failed = dataclasses.replace(
        run, diagnostics=run.diagnostics | {"failed_models": {"A1": "weights"}}
    )
    found = by_metric(dimension.published_dimension(StudyRuns({"q": failed})), "id:twonn")
    assert found[0].estimate == pytest.approx(np.mean([5.1, 5.2]))
