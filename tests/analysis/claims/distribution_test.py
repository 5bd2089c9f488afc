"""T7 and T8 on planted cohorts."""

import numpy as np
import pytest

from jaxalign.analysis.claims import claim, distribution
from jaxalign.analysis.claims.study_runs import StudyRuns
from jaxalign.analysis.relations.model_labels import same_label
from tests.analysis.claims.planted import families_of, planted, symmetric

CARDS = families_of({"A": 4, "B": 4, "C": 4})
NAMES = [c.id for c in CARDS]
DATA = dict(zip(NAMES, "XYZXYZXYZXYZ", strict=True))
SAME_FAMILY = same_label([c.family for c in CARDS])
SAME_DATA = same_label([DATA[name] for name in NAMES])


def run_of(rng, *, data, family, imbalance=0.4, noise=0.01):
    values = 0.2 + data * SAME_DATA + family * SAME_FAMILY + symmetric(rng, 12, noise)
    np.fill_diagonal(values, 1.0)
    directed = imbalance + 0.1 * np.triu(np.ones((12, 12))) + rng.normal(0, noise, (12, 12))
    scores = {("cknna", 25): values, ("information_imbalance", 50): directed}
    return planted(CARDS, scores, columns={("cknna", 25): {"calibrated": values - 0.1}})


def study(rng, inside, outside):
    alignments = {"home": run_of(rng, **inside), "away": run_of(rng, **outside)}
    alignments["farther"] = run_of(rng, **outside)
    return StudyRuns(alignments, {"home": NAMES}, DATA)


def test_training_data_inside_and_architecture_outside(rng):
    runs = study(rng, {"data": 0.3, "family": 0.05}, {"data": 0.05, "family": 0.25})
    inside, outside = distribution.what_groups_models(runs)
    assert inside.verdict == outside.verdict == claim.SUPPORTED
    assert inside.estimate == pytest.approx(0.25, abs=0.03)
    assert outside.estimate == pytest.approx(-0.2, abs=0.03)
    assert (inside.data, outside.data) == ("home", "away, farther")
    assert inside.reason.startswith("training data +0.")
    assert max(inside.p, outside.p) < 0.05


def test_the_other_way_round_is_not_supported(rng):
    runs = study(rng, {"data": 0.05, "family": 0.3}, {"data": 0.3, "family": 0.05})
    found = distribution.what_groups_models(runs)
    assert [c.verdict for c in found] == [claim.NOT_SUPPORTED] * 2


def test_one_corpus_cannot_be_told_from_anything(rng):
    runs = study(rng, {"data": 0.3, "family": 0.0}, {"data": 0.3, "family": 0.0})
    one = StudyRuns(runs.alignments, runs.in_distribution_of, dict.fromkeys(NAMES, "X"))
    for found in distribution.what_groups_models(one):
        assert found.verdict == claim.NOT_TESTABLE
        assert found.reason != ""


@pytest.mark.parametrize(
    ("outside", "verdict"), [(0.2, claim.SUPPORTED), (0.6, claim.NOT_SUPPORTED)]
)
def test_the_shift_of_the_imbalance(rng, outside, verdict):
    effects = {"data": 0.1, "family": 0.1}
    runs = study(rng, effects | {"imbalance": 0.4}, effects | {"imbalance": outside})
    (found,) = distribution.less_information(runs)
    assert found.verdict == verdict
    assert found.estimate == pytest.approx(0.4 - outside, abs=0.02)
    assert found.data == "home / away, farther"


def test_no_cohort_and_missing_metrics_are_said(rng):
    runs = study(rng, {"data": 0.1, "family": 0.1}, {"data": 0.1, "family": 0.1})
    alone = StudyRuns(runs.alignments, {}, DATA)
    for test in (distribution.what_groups_models, distribution.less_information):
        (found,) = test(alone)
        assert found.verdict == claim.NOT_TESTABLE
        assert "no data set is in distribution" in found.reason
    bare = planted(CARDS, {("cknna", 25): np.full((12, 12), 0.3)})
    runs = StudyRuns({"home": bare, "away": bare}, {"home": NAMES}, DATA)
    assert "no calibrated of cknna" in distribution.what_groups_models(runs)[0].reason
    assert "was not computed" in distribution.less_information(runs)[0].reason
