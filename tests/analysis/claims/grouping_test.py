"""T5 and T10 on planted families."""

import numpy as np
import pytest

from jaxalign.analysis.claims import claim, grouping
from jaxalign.analysis.claims.replicates import replicate_matrices
from jaxalign.analysis.claims.study_runs import StudyRuns
from tests.analysis.claims.planted import families_of, grouped_scores, planted

CARDS = families_of({"A": 3, "B": 3, "C": 3})
FAMILIES = [c.family for c in CARDS]
MIXED = list("ABCABCABC")


def run_of(rng, labels, *, cards=CARDS, within=0.3, halves=0):
    scores = grouped_scores(rng, labels, within=within, noise=0.02)
    parts = [grouped_scores(rng, labels, within=within, noise=0.02) for _ in range(halves)]
    return planted(cards, {("cknna", 25): scores}, halves=parts if halves else None)


def test_families_that_align(rng):
    run = run_of(rng, FAMILIES)
    (found,) = grouping.families_align(StudyRuns({"own": run}))
    assert found.verdict == claim.SUPPORTED
    values = run.matrix("cknna").values
    same = np.array(FAMILIES)[:, None] == np.array(FAMILIES)[None, :]
    upper = np.triu(np.ones((9, 9), bool), 1)
    expected = values[upper & same].mean() - values[upper & ~same].mean()
    assert found.estimate == pytest.approx(expected)
    assert found.p < 0.05
    assert "over families" in found.tested


def test_families_that_are_less_alike_or_of_one_kind(rng):
    (found,) = grouping.families_align(StudyRuns({"own": run_of(rng, FAMILIES, within=-0.2)}))
    assert found.verdict == claim.NOT_SUPPORTED
    alone = families_of({"A": 5})
    (found,) = grouping.families_align(StudyRuns({"own": run_of(rng, "AAAAA", cards=alone)}))
    assert found.verdict == claim.NOT_TESTABLE
    assert "one group" in found.reason


def test_one_family_of_several_is_judged_over_models(rng):
    cards = families_of({"A": 3, "B": 1, "C": 1, "D": 1})
    labels = [c.family for c in cards]
    (found,) = grouping.families_align(StudyRuns({"own": run_of(rng, labels, cards=cards)}))
    assert found.verdict == claim.SUPPORTED
    assert "over models" in found.tested


def test_a_tree_that_keeps_families_together(rng):
    run = run_of(rng, FAMILIES, halves=6)
    assert len(replicate_matrices(run)) == 6
    (found,) = grouping.tree_recovers_families(StudyRuns({"own": run}))
    assert found.estimate == pytest.approx(1.0)
    assert found.verdict == claim.SUPPORTED
    assert found.p < 0.05
    assert "together: A, B, C" in found.reason


def test_a_tree_that_groups_by_something_else(rng):
    run = run_of(rng, MIXED, halves=6)
    (found,) = grouping.tree_recovers_families(StudyRuns({"own": run}))
    assert found.verdict == claim.NOT_SUPPORTED
    assert found.estimate < 0
    assert found.p > 0.5


def test_a_tree_without_halves_has_no_interval(rng):
    (found,) = grouping.tree_recovers_families(StudyRuns({"own": run_of(rng, FAMILIES)}))
    assert found.verdict == claim.INCONCLUSIVE
    assert "no halves" in found.reason


def test_one_family_beside_single_models_cannot_be_mixed(rng):
    cards = families_of({"A": 5, "B": 1})
    run = run_of(rng, "AAAAAB", cards=cards, halves=6)
    (found,) = grouping.tree_recovers_families(StudyRuns({"own": run}))
    assert found.verdict == claim.NOT_TESTABLE
    assert "no labeling" in found.reason


def test_halves_survive_missing_scores(rng):
    run = run_of(rng, FAMILIES, halves=6)
    run.diagnostics["replicates"]["values"][2][1] = None
    (found,) = grouping.tree_recovers_families(StudyRuns({"own": run}))
    assert found.verdict == claim.SUPPORTED
