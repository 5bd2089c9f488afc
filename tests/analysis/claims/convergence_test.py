"""T9b on planted training: rising alignment is found, falling one too, too few are said."""

import math

import pytest

import jaxalign as ja
from jaxalign.analysis.claims.claims_table import CLAIMS, OF_TRAINING, claims_table
from jaxalign.analysis.claims.convergence import (
    FACT,
    read_trajectories,
    training_and_alignment,
    trajectory_facts,
)
from jaxalign.analysis.claims.study_runs import StudyRuns
from jaxalign.analysis.convergence.trajectories import trajectories
from tests.analysis.convergence.planted import checkpoints, embeddings


def _runs(rng, records, *, rising=True):
    found = ja.align(embeddings(rng, records, n=150, rising=rising), metrics=("cknna",), k=10)
    table = trajectories(found, records, {})
    return StudyRuns({"held_out": found.with_facts(**{FACT: trajectory_facts(table)})}), table


@pytest.mark.parametrize("rising", [True, False])
def test_planted_convergence_is_found(rng, rising):
    runs, _ = _runs(rng, checkpoints(rng), rising=rising)
    tests = {c.tested.split(", ")[-1].split(";")[0]: c for c in training_and_alignment(runs)}
    assert set(tests) == {"over training", "over sizes", "over networks"}
    training = tests["over training"]
    assert training.verdict == ("supported" if rising else "not supported")
    assert training.low < training.estimate < training.high
    assert (training.p < 0.05) == rising
    assert training.n == 150
    assert training.models.startswith("12 runs: invariant 4")
    assert ("12 of 12 runs" in training.reason) == (not rising)
    assert math.copysign(1, tests["over networks"].estimate) == (-1 if rising else 1)


def test_facts_of_a_run_are_read_back(rng):
    runs, table = _runs(rng, checkpoints(rng))
    read = read_trajectories(runs.alignments["held_out"])
    assert list(read.columns) == list(table.columns)
    assert read["last"].dtype == bool
    assert read["error_ev"].dtype == float
    assert (read["value"].fillna(-1) == table["value"].fillna(-1)).all()


def test_too_few_architectures_are_no_test(rng):
    records = [r for r in checkpoints(rng) if r.architecture != "dmpnn"]
    runs, _ = _runs(rng, records)
    tests = training_and_alignment(runs)
    assert tests[0].verdict == tests[1].verdict == "not testable here"
    assert "2 architectures" in tests[0].reason


def test_a_study_of_training_has_its_own_claims_and_others_have_theirs(rng):
    runs, _ = _runs(rng, checkpoints(rng))
    assert set(claims_table(runs)["claim"]) == set(OF_TRAINING)
    plain = ja.align({c: rng.normal(size=(30, 3)) for c in "ab"}, metrics=("cknna",), k=5)
    assert set(claims_table(StudyRuns({"d": plain}))["claim"]) == set(CLAIMS)
