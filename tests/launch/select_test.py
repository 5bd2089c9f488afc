"""`jaxalign select` as a user meets it; nothing is downloaded."""

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jaxalign.alignment.plan import plan_metrics
from jaxalign.models.registry import model_entry
from jaxalign.structures.datasets import list_datasets
from tests.commands import run_command

CONFIGS = Path(__file__).parents[2] / "configs"
OWN = """
from ml_collections import config_dict

def get_config():
    own = dict(dataset=dict(name="", path=""), models=(), embeddings="{folder}",
               labels=("y",), label_file="{folder}/labels.csv", group_by="")
    config = config_dict.ConfigDict()
    config.datasets = dict(mine=own)
    config.beyond_composition = ()
    config.target = 0
    config.test, config.draws, config.metrics = 0, 1, ("cka",)
    config.k = config_dict.placeholder(int)
    config.rank_by, config.permutations = "probe:ridge", 99
    config.confidence, config.seed = 0.95, 0
    return config
"""


def jaxalign(*words, code=0):
    done = run_command(["-m", "jaxalign.launch", "select", *words], env=dict(os.environ))
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_smoke_config_embeds_selects_and_resumes(tmp_path):
    config = f"--config={CONFIGS / 'selection_smoke.py'}"
    words = (config, f"--workdir={tmp_path / 'w'}", "--config.draws=1")
    first = jaxalign(*words)
    assert "u0_hartree beyond composition: 4 candidates, 40 of 120 labels seen" in first.stdout
    assert "leave one task out" in first.stdout
    table = pd.read_parquet(tmp_path / "w" / "selection.parquet")
    assert table.groupby("task")["candidate"].nunique().tolist() == [4, 4, 4, 4]
    ranking = pd.read_csv(tmp_path / "w" / "ranking.csv")
    energies = ranking[ranking["task"] == "u0_hartree"].set_index("candidate")
    # Beyond composition, composition cannot tell much more than noise.
    assert energies.loc["soap", "ridge"] < 0.8 * energies.loc["composition", "ridge"]
    formation = ranking[ranking["task"] == "formation_energy_ev_per_atom"].set_index("candidate")
    assert formation.loc["composition", "ridge"] < 0.9 * formation.loc["gaussian-noise", "ridge"]
    facts = json.loads((tmp_path / "w" / "selection.json").read_text())
    assert len(facts["candidates"]) == 8
    assert "Candidates for u0_hartree" in (tmp_path / "w" / "report" / "index.html").read_text()
    again = jaxalign(*words)
    assert "nothing was computed again" in again.stderr
    assert again.stdout == first.stdout


@pytest.fixture
def own(tmp_path):
    rng = np.random.default_rng(3)
    y = rng.normal(size=40)
    ids = [f"s{i}" for i in range(40)]
    for name, x in (
        ("good", y[:, None] + 0.1 * rng.normal(size=(40, 2))),
        ("bad", rng.normal(size=(40, 2))),
    ):
        np.savez(tmp_path / f"{name}.npz", values=x.astype(np.float32), ids=np.array(ids))
    pd.DataFrame({"id": ids, "y": y}).to_csv(tmp_path / "labels.csv", index=False)
    (tmp_path / "config.py").write_text(OWN.format(folder=tmp_path))
    return tmp_path


def test_bad_settings_fail_before_anything_is_embedded(tmp_path):
    config = f"--config={CONFIGS / 'selection_smoke.py'}"
    for override, message in (
        ("--config.k=40", "got k=40, n=40"),
        ("--config.target=100", "100 target and 40 test structures"),
        ("--config.datasets.qm9.labels=('gap',)", "has the label 'gap'"),
    ):
        metrics = "--config.metrics=('mutual_knn',)"
        done = jaxalign(config, f"--workdir={tmp_path / 'w'}", metrics, override, code=1)
        assert message in done.stderr
        assert "embed" not in done.stderr
        assert "Traceback" not in done.stderr


def test_own_embeddings_with_own_labels(own):
    done = jaxalign(f"--config={own / 'config.py'}", f"--workdir={own / 'w'}")
    assert "y: 2 candidates, 40 of 40 labels seen" in done.stdout
    assert "choose good: probe:ridge" in done.stdout
    assert "nothing was held out" in done.stdout


def test_bad_labels_are_one_clear_error(own):
    labels = pd.read_csv(own / "labels.csv")
    labels.loc[7, "y"] = np.nan
    labels.to_csv(own / "labels.csv", index=False)
    done = jaxalign(f"--config={own / 'config.py'}", f"--workdir={own / 'w'}", code=1)
    assert "y: 1 labels are not finite, e.g. of ['s7']" in done.stderr
    assert "Traceback" not in done.stderr
    words = (f"--config={own / 'config.py'}", f"--workdir={own / 'w'}")
    done = jaxalign(*words, "--config.datasets.mine.label_file=", code=1)
    assert "there are no labels" in done.stderr


@pytest.mark.parametrize("name", ["selection", "selection_smoke"])
def test_configs_name_what_there_is(name):
    spec = importlib.util.spec_from_file_location(name, CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    settings = module.get_config().to_dict()
    cards = {card.name: card for card in list_datasets()}
    plan_metrics(settings["metrics"], k=settings["k"], normalize=None, n=settings["target"])
    for own in settings["datasets"].values():
        card = cards[own["dataset"]["name"]]
        assert settings["target"] + settings["test"] <= own["dataset"]["n"] <= card.size
        assert set(own["labels"]) <= set(card.labels)
        assert len({model_entry(model).card.id for model in own["models"]}) == len(own["models"])
