"""T3 and T4 on planted scores of several k and metrics."""

import numpy as np
import pytest
import scipy.stats

from jaxalign.analysis.claims import claim, neighborhoods
from jaxalign.analysis.claims.study_runs import StudyRuns
from tests.analysis.claims.planted import families_of, grouped_scores, planted, symmetric

CARDS = families_of({"A": 2, "B": 2, "C": 2, "D": 2})
UPPER = np.triu_indices(8, 1)


def base(rng):
    return grouped_scores(rng, [c.family for c in CARDS], noise=0.05)


def growth(scores, **facts):
    run = planted(CARDS, scores, **facts)
    return neighborhoods.growth_with_k(StudyRuns({"own": run}))


def test_scores_that_grow_and_keep_their_order(rng):
    values = base(rng)
    scores = {("cknna", k): values * f for k, f in ((25, 0.9), (2, 0.5), (10, 0.8), (100, 1.0))}
    grown, order = growth(scores)
    assert grown.verdict == order.verdict == claim.SUPPORTED
    assert grown.estimate == pytest.approx(0.5 * values[UPPER].mean())
    assert grown.reason.startswith("100% of 28 pairs grow at each step of k = 2, 10, 25, 100")
    assert order.estimate == pytest.approx(1.0)
    assert "k = 10 and 100" in order.tested


def test_scores_that_fall_and_lose_their_order(rng):
    values = base(rng)
    fallen = 0.7 - values + symmetric(rng, 8, 0.01)
    grown, order = growth({("cknna", 10): 0.5 + values, ("cknna", 250): fallen})
    assert grown.verdict == order.verdict == claim.NOT_SUPPORTED
    assert grown.reason.startswith("0%")


def test_one_k_or_none_is_not_enough(rng):
    (found,) = growth({("cknna", 25): base(rng)})
    assert found.verdict == claim.NOT_TESTABLE
    assert "k = 25 alone" in found.reason
    _, order = growth({("cknna", 2): base(rng), ("cknna", 25): base(rng)})
    assert order.verdict == claim.NOT_TESTABLE
    (found,) = growth({("dcor", None): base(rng)})
    assert found.reason == "cknna was not computed"


def test_metrics_that_order_pairs_alike(rng):
    first = base(rng)
    second = first**2 + symmetric(rng, 8, 0.02)
    run = planted(CARDS, {("cknna", 25): first, ("dcor", None): second})
    (found,) = neighborhoods.metrics_agree(StudyRuns({"own": run}))
    expected = scipy.stats.spearmanr(first[UPPER], second[UPPER]).statistic
    assert found.estimate == pytest.approx(expected)
    assert found.verdict == claim.SUPPORTED
    assert found.p < 0.01
    opposite = planted(CARDS, {("cknna", 25): first, ("dcor", None): 1 - second})
    (found,) = neighborhoods.metrics_agree(StudyRuns({"own": opposite}))
    assert found.verdict == claim.NOT_SUPPORTED
    assert found.p > 0.5
