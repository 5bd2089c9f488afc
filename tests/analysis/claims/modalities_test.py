"""T6 and T11 on planted scores across views."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

from jaxalign.analysis.claims import claim, modalities
from jaxalign.analysis.claims.replicates import half_width
from jaxalign.analysis.claims.study_runs import StudyRuns
from tests.analysis.claims.planted import card, planted, symmetric

KEY = ("cknna", 25)
MOLECULES = [
    *(card("s1", "BERT", "string"), card("s2", "ALBERT", "string")),
    *(card("a1", "ANI"), card("a2", "ANI"), card("c1", "CHGNet")),
    *(card("words", "T", "text"), card("noise", "N", "control", pretrained=False)),
]
PROTEINS = [
    *(card("u1", "UniRep", "protein-sequence"), card("n1", "NEAR", "protein-sequence")),
    *(card("p1", "MPNN", "protein-structure"), card("p2", "MPNN", "protein-structure")),
]


def run_of(rng, cards, level, *, q=0.001, half=0.01, dataset="qm9", best=0.0):
    """Scores `level` with a null at .05, those of halves ± half; pair (0, -1) is better."""
    m = len(cards)
    values = level + symmetric(rng, m, 0.005)
    values[0, m - 1] = values[m - 1, 0] = level + best
    np.fill_diagonal(values, 1.0)
    full = np.ones((m, m))
    columns = {"null_mean": 0.05 * full, "q": q * full, "p": q * full}
    columns |= {"calibrated": (values - 0.1) / 0.9}
    halves = [values + sign * half for sign in (1, -1, -1, 1, 1, -1)]
    return planted(cards, {KEY: values}, columns={KEY: columns}, halves=halves, dataset=dataset)


def test_pairs_above_their_null(rng):
    run = run_of(rng, MOLECULES, 0.3)
    (found,) = modalities.strings_and_structures(StudyRuns({"q": run}))
    values = run.matrix("cknna").values[:2, 2:5]
    assert found.estimate == pytest.approx(values.mean() - 0.05)
    assert found.verdict == claim.SUPPORTED
    assert found.models == "5: BERT 1, ALBERT 1, ANI 2, CHGNet 1"
    assert "6 of 6 pairs" in found.reason


@pytest.mark.parametrize(
    ("level", "q", "verdict"),
    [
        (0.05, 0.6, claim.NOT_SUPPORTED),
        (0.02, 0.001, claim.NOT_SUPPORTED),
        (0.3, 0.6, claim.NOT_SUPPORTED),
    ],
)
def test_pairs_no_better_than_their_null(rng, level, q, verdict):
    run = run_of(rng, MOLECULES, level, q=q)
    (found,) = modalities.strings_and_structures(StudyRuns({"q": run}))
    assert found.verdict == verdict


def test_some_pairs_above_their_null_decide_nothing(rng):
    run = run_of(rng, MOLECULES, 0.3)
    run.table.loc[run.table["model_a"].eq("s1") & run.table["model_b"].eq("c1"), "q"] = 0.2
    (found,) = modalities.strings_and_structures(StudyRuns({"q": run}))
    assert found.verdict == claim.INCONCLUSIVE
    assert found.p == 0.2


def explained(run, null, q):
    """The run with scores given strata: all pairs with these nulls and q."""
    names = [name for name in run.models if name != "noise"]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    matrix = run.matrix("cknna").to_pandas()
    columns = {
        "model_a": [a for a, _ in pairs],
        "model_b": [b for _, b in pairs],
        "method": ["strata"] * len(pairs),
        "n": [800] * len(pairs),
        "conditional": [float(matrix.loc[a, b]) for a, b in pairs],
        "null_mean": [null] * len(pairs),
        "q": [None if "words" in pair else q for pair in pairs],
    }
    conditions = [
        {"method": "residual", "reason": "too few"},
        {"method": "strata", "given": "composition"},
    ]
    facts = {"metric": "cknna", "k": 25, "conditions": conditions, "pairs": columns}
    return run.with_facts(explanations=facts)


@pytest.mark.parametrize(
    ("null", "q", "verdict"),
    [
        (0.1, 0.01, claim.SUPPORTED),
        (0.3, 0.6, claim.NOT_SUPPORTED),
        (0.35, 0.01, claim.NOT_SUPPORTED),
    ],
)
def test_pairs_beyond_what_composition_gives(rng, null, q, verdict):
    run = explained(run_of(rng, MOLECULES, 0.3), null, q)
    plain, within = modalities.strings_and_structures(StudyRuns({"q": run}))
    assert plain.verdict == claim.SUPPORTED
    assert within.verdict == verdict
    values = run.matrix("cknna").values[:2, 2:5]
    assert within.estimate == pytest.approx(values.mean() - null)
    assert within.n == 800
    assert within.models == plain.models
    assert "equal composition" in within.tested
    assert within.p == q


def test_explanations_of_another_metric_test_nothing_here(rng):
    run = explained(run_of(rng, MOLECULES, 0.3), 0.1, 0.01)
    facts = {**run.diagnostics["explanations"], "metric": "mutual_knn"}
    found = modalities.strings_and_structures(StudyRuns({"q": run.with_facts(explanations=facts)}))
    assert len(found) == 1


def test_without_strings_or_nulls_there_is_no_test(rng):
    run = run_of(rng, MOLECULES[2:5], 0.3)
    (found,) = modalities.strings_and_structures(StudyRuns({"q": run}))
    assert found.verdict == claim.NOT_TESTABLE
    run = planted(MOLECULES, {KEY: np.eye(7)})
    (found,) = modalities.strings_and_structures(StudyRuns({"q": run}))
    assert found.reason == "the run has no null of CKNNA"


@pytest.mark.parametrize(
    ("protein", "verdict"),
    [(0.55, claim.SUPPORTED), (0.15, claim.NOT_SUPPORTED), (0.31, claim.INCONCLUSIVE)],
)
def test_proteins_against_small_molecules(rng, protein, verdict):
    small = run_of(rng, MOLECULES[:5], 0.3)
    proteins = run_of(rng, PROTEINS, protein - 0.05, best=0.05, dataset="proteins")
    (found,) = modalities.proteins_align_more(StudyRuns({"q": small, "p": proteins}))
    assert found.verdict == verdict
    best = max(small.matrix("cknna").values[:2, 2:].ravel())
    assert found.estimate == pytest.approx((protein - 0.1) / (best - 0.1))
    assert "u1 – p2" in found.reason
    assert found.data == "p, q"


def test_the_interval_is_that_of_halves_on_the_calibrated_scale(rng):
    run = run_of(rng, PROTEINS, 0.5, dataset="proteins")
    runs = StudyRuns({"q": run_of(rng, MOLECULES[:5], 0.3), "p": run})
    (found,) = modalities.proteins_align_more(runs)
    # Half differences of .01 between halves: the error of all structures is .01, 3 pairs of halves.
    width = scipy.stats.t.ppf(0.975, 3) * 0.01
    assert half_width(run, "u1", "p2") == pytest.approx(width, rel=0.01)
    ends = [(found.estimate, found.low, found.high)]
    assert ends[0][1] < ends[0][0] < ends[0][2]
    one = dict(run.diagnostics)
    del one["replicates"]
    bare = StudyRuns({**runs.alignments, "p": dataclasses.replace(run, diagnostics=one)})
    (found,) = modalities.proteins_align_more(bare)
    assert found.verdict == claim.INCONCLUSIVE
    assert "no interval" in found.reason


def test_without_proteins_or_calibration_there_is_no_test(rng):
    (found,) = modalities.proteins_align_more(StudyRuns({"q": run_of(rng, MOLECULES, 0.3)}))
    assert found.verdict == claim.NOT_TESTABLE
    assert "protein-sequence" in found.reason
    bare = planted(PROTEINS, {KEY: np.full((4, 4), 0.5)}, dataset="proteins")
    runs = StudyRuns({"q": run_of(rng, MOLECULES, 0.3), "p": bare})
    assert modalities.proteins_align_more(runs)[0].verdict == claim.NOT_TESTABLE
