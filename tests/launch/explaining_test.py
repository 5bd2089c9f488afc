"""Trivial explanations asked for in a config: on the command line, and only once."""

import json
import os

import pandas as pd
import pytest

from jaxalign.launch.explaining import check_settings
from tests.commands import run_command

CONFIG = """
from ml_collections import config_dict

def get_config():
    config = config_dict.ConfigDict()
    config.dataset = config_dict.create(name="qm9", path="", n=96, seed=3, elements=tuple("HCNO"))
    config.models = MODELS
    config.metrics = ("mutual_knn",)
    config.k = {"mutual_knn": (4, 6)}
    config.explain = config_dict.create(permutations=19, given=(), by="atom_count", metrics=())
    return config
"""


def jaxalign_run(folder, *models, **replaced):
    text = CONFIG.replace("MODELS", repr(models))
    for old, new in replaced.items():
        text = text.replace(f"{old}=19", f"{old}={new}")
    config = folder / "explained.py"
    config.write_text(text)
    words = ("run", f"--config={config}", f"--workdir={folder / 'w'}", "--noprogress")
    done = run_command(["-m", "jaxalign.launch", *words], env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_a_run_explains_and_does_not_explain_twice(tmp_path):
    models = ("composition", "atom-count", "gaussian-noise")
    jaxalign_run(tmp_path, *models)
    folder = tmp_path / "w" / "explanations"
    # Noise is the one model here that is no control of the trivial kind.
    controls = pd.read_parquet(folder / "controls.parquet")
    assert list(controls["model"]) == ["gaussian-noise"]
    assert list(controls["k"]) == [4]
    assert set(controls["control"]) <= {"composition", "atom-count"}
    facts = json.loads((folder / "explanations.json").read_text())["facts"]
    assert [row["given"] for row in facts] == ["composition, atom-count", "atom_count"]
    assert all("at least 2 models" in row["reason"] for row in facts)
    written = times(folder)
    assert "nothing was computed again" in jaxalign_run(tmp_path, *models)
    assert times(folder) == written  # tables that are made again are written again
    # Of another length: bytecode of a config is kept by the second it was written and its size.
    jaxalign_run(tmp_path, *models, permutations=120)
    assert times(folder) != written


@pytest.mark.slow
def test_what_networks_share_beyond_composition_is_asked_once(tmp_path):
    models = ("composition", "atom-count", "ani-1x-random", "admet-dmpnn-random")
    jaxalign_run(tmp_path, *models)
    folder = tmp_path / "w" / "explanations"
    conditional = pd.read_parquet(folder / "conditional.parquet")
    assert set(conditional["method"]) == {"residual", "strata"}
    assert conditional["conditional"].notna().all()
    assert len(pd.read_parquet(folder / "paths.parquet")) == 1
    written = times(folder)
    assert "nothing was computed again" in jaxalign_run(tmp_path, *models)
    assert times(folder) == written


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"permutations": 19, "per": 1}, "got per too"),
        ({"permutations": 19, "by": "color"}, "explain.by='color' is unknown"),
        ({"permutations": 19, "given": ("nobody",)}, "nobody"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        check_settings(settings)


def test_no_permutations_mean_no_explanations():
    assert check_settings(None) == check_settings({"permutations": 0, "by": "color"}) == {}
