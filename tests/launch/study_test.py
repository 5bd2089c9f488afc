"""A study of two small data sets: runs, claims, report, resumption, and data sets that fail."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import jaxalign as ja
from jaxalign.alignment.results import load
from jaxalign.analysis.claims.claims_table import CLAIMS
from jaxalign.analysis.claims.replicates import half_width, replicate_matrices
from jaxalign.analysis.claims.study import load_study
from jaxalign.launch import study
from jaxalign.launch.dataset_run import Manner
from jaxalign.types import JaxalignError

SETTINGS = {
    "title": "Two small data sets",
    "dataset": {"name": "", "path": "", "n": 40, "seed": 0, "elements": ()},
    "regimes": {
        "qm9": {
            "dataset": {"name": "qm9"},
            "models": ("composition", "coulomb-matrix", "atom-count"),
            "in_distribution_of": ("composition",),
            "energies": True,  # none of these models predicts any
        },
        "rattled": {
            "dataset": {"name": "qm9", "perturb": {"kind": "rattle", "amplitudes": (0.2,)}},
            "models": ("composition", "coulomb-matrix", "atom-count"),
        },
    },
    "training_data": {"chemistry": ("composition", "atom-count")},
    "metrics": ("mutual_knn", "cknna"),
    "k": {"mutual_knn": 5, "cknna": (5, 10)},
    "halves": 4,
}


def test_a_study_runs_resumes_and_reports(tmp_path):
    prepared = study.prepare_study(SETTINGS)
    assert list(prepared.runs) == ["qm9", "rattled"]
    assert prepared.training_data == {"composition": "chemistry", "atom-count": "chemistry"}
    found = study.run_study(prepared, tmp_path, Manner())
    page = study.write_study(found, tmp_path)
    text = page.read_text()
    assert "Two small data sets" in text
    for claim in CLAIMS:
        assert claim in study.as_text(found)
    claims = pd.read_csv(tmp_path / "claims.csv")
    assert set(claims["claim"]) == set(CLAIMS)
    record = json.loads((tmp_path / "study.json").read_text())
    assert record["datasets"] == ["qm9", "rattled"]
    assert record["in_distribution_of"] == {"qm9": ["composition"], "rattled": []}
    assert record["failed"] == {}
    run = load(tmp_path / "rattled")
    assert run.diagnostics["dataset"]["name"] == "qm9~rattle"
    assert not run.diagnostics["grouped"]  # one copy a parent: nothing to keep apart
    halves = replicate_matrices(run)
    assert len(halves) == 4
    for half in halves:
        np.testing.assert_allclose(np.diag(half), 1.0)
    assert 0 < half_width(run, "composition", "coulomb-matrix") < 1
    again = study.run_study(prepared, tmp_path, Manner())
    for alignment in again.alignments.values():
        work = alignment.diagnostics["work"]
        assert work["graphs_computed"] == work["pairs_computed"] == 0
    assert load_study(tmp_path).claims.equals(again.claims)
    # The page of a study's folder is that of all its data sets, with the claims.
    written = ja.write_report(tmp_path, tmp_path / "again").read_text()
    for words in ("Two small data sets", "Tests of the claims", "qm9", "rattled"):
        assert words in written


def test_a_data_set_that_fails_is_listed_or_stops(tmp_path):
    own = {"dataset": {"name": "moses-scaffolds"}, "models": ("soap", "atom-count")}
    regimes = {"moses": own, "qm9": SETTINGS["regimes"]["qm9"]}
    settings = {**SETTINGS, "regimes": regimes}
    with pytest.raises(JaxalignError, match="has none"):
        study.run_study(study.prepare_study(settings), tmp_path, Manner())
    skipping = study.prepare_study(settings, on_error="skip")
    found = study.run_study(skipping, tmp_path, Manner(on_error="skip"))
    assert list(found.alignments) == ["qm9"]
    assert list(found.facts["failed"]) == ["moses"]
    alone = study.prepare_study({**settings, "regimes": {"moses": own}}, on_error="skip")
    with pytest.raises(JaxalignError, match="no data set of the study could be run"):
        study.run_study(alone, tmp_path, Manner(on_error="skip"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 40}, "k must be"),
        ({"halves": 5}, "at least 4 replicates, in pairs"),
        ({"training_data": {"a": ("soap",), "b": ("soap",)}}, "'soap' under 'a' and under 'b'"),
        ({"metrics": ("cknn",)}, "unknown metric 'cknn'"),
    ],
)
def test_bad_settings_fail_before_anything_is_embedded(change, message):
    with pytest.raises(ValueError, match=message):
        study.prepare_study({**SETTINGS, **change})


@pytest.mark.slow
def test_the_command_runs_a_study(tmp_path):
    config = tmp_path / "small.py"
    config.write_text(
        "from ml_collections import config_dict\n\n\ndef get_config():\n"
        f"    return config_dict.ConfigDict({SETTINGS!r}, sort_keys=False)\n"
    )
    words = ("run", f"--config={config}", f"--workdir={tmp_path / 'w'}", "--noprogress")
    words += ("--config.dataset.n=30", "--config.regimes.qm9.models=('composition','atom-count')")
    done = subprocess.run(
        [sys.executable, "-m", "jaxalign.launch", *words],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "T11 not testable here" in done.stdout
    assert f"report: {tmp_path / 'w' / 'report' / 'index.html'}" in done.stdout
    assert load(tmp_path / "w" / "qm9").diagnostics["n"] == 30


def test_energies_of_models_that_are_not_run():
    own = {**SETTINGS["regimes"]["qm9"], "energies": ("ani-1x-0",)}
    with pytest.raises(ValueError, match=r"not run: \['ani-1x-0'\]"):
        study.prepare_study({**SETTINGS, "regimes": {"qm9": own}})
