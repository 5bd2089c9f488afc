"""`jaxalign compare`: files and encoders against a run, and how a run's structures come back."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import jaxalign as ja
from jaxalign.embeddings.formats import read_embedding_collection
from jaxalign.launch.recipes import (
    StructuresError,
    recipe_facts,
    source_facts,
    structures_of,
)

N = 50


def jaxalign(*words, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "jaxalign.launch", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def workdir(tmp_path, rng):
    latent = rng.normal(size=(N, 6))
    (tmp_path / "run").mkdir()
    for name, noise in (("near", 0.1), ("far", 2.0), ("mine", 0.1)):
        folder = tmp_path if name == "mine" else tmp_path / "run"
        values = latent + noise * rng.normal(size=latent.shape)
        np.save(folder / f"{name}.npy", values.astype(np.float32))
    return tmp_path / "w"


def test_a_file_against_a_run(workdir):
    files = workdir.parent / "run"
    found = read_embedding_collection(files, in_memory=False)
    result = ja.align(found, metrics=("mutual_knn",), k=5, workdir=workdir)
    paths = {name: record.info["location"] for name, record in found.items()}
    result.with_facts(**source_facts(paths, workdir)).save(workdir)
    mine = workdir.parent / "mine.npy"
    done = jaxalign("compare", mine, f"--against={workdir}", "--noprogress")
    assert "mine is closest to near: Mutual kNN" in done.stdout
    assert "computed 1 neighbor graphs, 3 pair terms; reused 2 neighbor graphs" in done.stdout
    folder = workdir / "compare" / "mine"
    assert "mine among 2 models" in (folder / "index.html").read_text()
    assert len(pd.read_csv(folder / "table.csv")) == 2


@pytest.mark.slow
def test_command_line_end_to_end(workdir):
    files = workdir.parent / "run"
    jaxalign("align", f"--embeddings={files}", f"--workdir={workdir}", "--metrics=cknna", "--k=5")
    mine = workdir.parent / "mine.npy"
    words = ("compare", mine, f"--against={workdir}", "--noprogress")
    jaxalign(*words, "--name=ours & theirs", f"--output={workdir.parent / 'out'}")
    assert "ours &amp; theirs" in (workdir.parent / "out" / "index.html").read_text()
    for flags, message in (
        (("compare", f"--against={workdir}"), "name one model to compare"),
        (("compare", "mine.npy", f"--against={workdir}"), "mine.npy: no such file"),
        (("compare", "no-such-model", f"--against={workdir}"), "unknown model 'no-such-model'"),
        (("compare", "atom-count", f"--against={workdir}"), "how its structures were read"),
        (("compare", files, f"--against={workdir}"), "holds 2 embeddings (far, near)"),
        (("compare", mine, f"--against={workdir.parent}"), f"--against={workdir}"),
        ((*words, "--name=near"), "has a model 'near' already"),
    ):
        done = jaxalign(*flags, code=1)
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    placed = jaxalign("compare", "near", f"--against={workdir}", "--noprogress")
    assert "nothing was computed again" in placed.stdout
    (files / "near.npy").unlink()
    done = jaxalign(*words, code=1)
    assert "the embeddings of 'near'" in done.stderr


@pytest.mark.slow
def test_an_encoder_embeds_the_structures_of_the_run(tmp_path):
    config = tmp_path / "controls.py"
    config.write_text(
        "from ml_collections import config_dict\n"
        "def get_config():\n"
        "    return config_dict.create(title='t', k=6, normalize=None, layer=None, pooling=None,\n"
        "        dataset=config_dict.create(name='qm9', path='', n=60, seed=1, elements=()),\n"
        "        models=('composition', 'coulomb-matrix', 'gaussian-noise'), tile_size=None,\n"
        "        metrics=('mutual_knn',), rotation_test=0)\n"
    )
    workdir = tmp_path / "w"
    jaxalign("run", f"--config={config}", f"--workdir={workdir}")
    done = jaxalign("compare", "atom-count", f"--against={workdir}", "--noprogress")
    assert "atom-count is closest to" in done.stdout
    assert "60 rows computed" in done.stderr
    again = jaxalign("compare", "atom-count", f"--against={workdir}", "--noprogress")
    assert "0 rows computed" in again.stderr
    assert "nothing was computed again" in again.stdout


def result_of(structures, recipe, **facts):
    found = ja.Alignment.__new__(ja.Alignment)
    dataset = {"name": structures.name, "content_hash": structures.content_hash}
    known = {"ids": list(structures.ids), "dataset": dataset} | recipe | facts
    object.__setattr__(found, "diagnostics", known)
    return found


def test_structures_of_a_run_come_back():
    settings = {"name": "qm9", "path": "", "n": 12, "seed": 4, "elements": ("H", "C")}
    structures = ja.load_dataset("qm9", n=12, seed=4, elements=("H", "C"))
    noted = result_of(structures, recipe_facts(settings))
    assert structures_of(noted).content_hash == structures.content_hash
    # A run that has not noted how: by the ids.
    looked_up = structures_of(result_of(structures, {}))
    assert looked_up.content_hash == structures.content_hash
    with pytest.raises(StructuresError, match="contents differ"):
        structures_of(result_of(structures, recipe_facts(settings | {"seed": 5})))
    other = dataclasses.replace(structures[0], id="qm9/0#1")
    turned = ja.StructureSet([other, *structures[1:]], name="qm9")
    with pytest.raises(StructuresError, match="qm9/0#1"):
        structures_of(result_of(turned, {}))
    with pytest.raises(StructuresError, match="does not say how its structures were read"):
        structures_of(result_of(structures, {}, dataset="files"))


def test_recipes_are_plain_and_short(tmp_path):
    perturb = {"kind": "rattle", "amplitudes": (0.1,), "copies": 2, "seed": 0}
    settings = {"path": str(tmp_path / "a.xyz"), "n": None, "seed": 0, "perturb": perturb}
    found = recipe_facts(settings)["recipe"]
    assert found == {
        "path": str(tmp_path / "a.xyz"),
        "seed": 0,
        "perturb": perturb | {"amplitudes": [0.1]},
    }
    assert recipe_facts({"name": "qm9", "perturb": {"kind": ""}})["recipe"] == {"name": "qm9"}
