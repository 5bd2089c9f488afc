"""T9 on planted errors of energies."""

import numpy as np
import pytest

from jaxalign.analysis.claims import accuracy, claim
from jaxalign.analysis.claims.study_runs import StudyRuns
from tests.analysis.claims.planted import families_of, planted, symmetric

CARDS = families_of({"A": 3, "B": 3, "C": 3, "D": 3})
LOG_ERRORS = np.linspace(-2.0, 0.2, 12)


def run_of(rng, slope, *, cards=CARDS, errors=LOG_ERRORS, noise=0.01):
    m = len(cards)
    values = 0.4 + symmetric(rng, m, noise)
    values[0, 1:] = values[1:, 0] = 0.3 + slope * errors[1:m] + rng.normal(0, noise, m - 1)
    np.fill_diagonal(values, 1.0)
    records = [
        {"model": c.id, "mae_ev_per_atom": float(10**e), "label": "u0_hartree"}
        for c, e in zip(cards, errors, strict=False)
    ]
    return planted(cards, {("cknna", 25): values}, energy_errors=records)


@pytest.mark.parametrize(
    ("slope", "verdict"), [(-0.1, claim.SUPPORTED), (0.1, claim.NOT_SUPPORTED)]
)
def test_the_slope_decides(rng, slope, verdict):
    run = run_of(rng, slope)
    (found,) = accuracy.accuracy_and_alignment(StudyRuns({"own": run}))
    assert found.verdict == verdict
    y = run.matrix("cknna").values[0, 1:]
    assert found.estimate == pytest.approx(np.polyfit(LOG_ERRORS[1:], y, 1)[0])
    assert found.reason.startswith("best: A0, 10.0 meV per atom")
    assert "without the family of the best: slope" in found.reason
    assert found.reason.endswith("9 models")


def test_no_labels_few_models_and_few_families_are_said(rng):
    bare = planted(CARDS, {("cknna", 25): np.eye(12)})
    (found,) = accuracy.accuracy_and_alignment(StudyRuns({"own": bare}))
    assert found.reason == "no run has predicted energies and labels of energies"
    two = run_of(rng, -0.1, cards=families_of({"A": 4, "B": 4}))
    (found,) = accuracy.accuracy_and_alignment(StudyRuns({"own": two}))
    assert found.verdict == claim.NOT_TESTABLE
    assert "2 families" in found.reason
    assert "slope -0.1" in found.reason or "slope -0.0" in found.reason
    few = run_of(rng, -0.1, cards=CARDS[:2])
    (found,) = accuracy.accuracy_and_alignment(StudyRuns({"own": few}))
    assert "2 trained models, of at least 4" in found.reason


def test_errors_that_are_not_known_are_left_out(rng):
    run = run_of(rng, -0.1)
    for record, missing in zip(run.diagnostics["energy_errors"][5:7], (None, np.nan), strict=True):
        record["mae_ev_per_atom"] = missing
    (found,) = accuracy.accuracy_and_alignment(StudyRuns({"own": run}))
    assert found.models.startswith("10: ")
