"""The command line as a user meets it: results, resumption, one clear error, exit status."""

import os

import numpy as np
import pandas as pd
import pytest

from tests.commands import run_command

CONFIG = """
from ml_collections import config_dict

def get_config():
    config = config_dict.ConfigDict()
    config.title = "Three controls"
    config.dataset = config_dict.create(name="qm9", path="", n=80, seed=1, elements=())
    config.models = ("composition", "coulomb-matrix", "gaussian-noise")
    config.layer = config_dict.placeholder(str)
    config.pooling = config_dict.placeholder(str)
    config.metrics = ("mutual_knn", "cknna")
    config.k = 6
    config.normalize = config_dict.placeholder(str)
    config.tile_size = config_dict.placeholder(int)
    config.rotation_test = 4
    config.energies = True  # none of these models predicts any
    return config
"""


def jaxalign(*words, code=0, env=None):
    done = run_command(["-m", "jaxalign.launch", *words], env=os.environ | (env or {}))
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def arrays(tmp_path, rng):
    folder = tmp_path / "embeddings"
    folder.mkdir()
    for name in ("one", "two"):
        np.save(folder / f"{name}.npy", rng.normal(size=(90, 8)).astype(np.float32))
    return folder


def test_run_embeds_aligns_reports_and_resumes(tmp_path):
    config = tmp_path / "controls.py"
    config.write_text(CONFIG)
    words = ("run", f"--config={config}", f"--workdir={tmp_path / 'w'}")
    first = jaxalign(*words)
    page = tmp_path / "w" / "report" / "index.html"
    assert f"report: {page}" in first.stdout
    assert "Three controls" in page.read_text()
    assert "Rotations and permutations" in page.read_text()
    drifts = pd.read_csv(tmp_path / "w" / "rotation" / "rotation.csv").set_index("model")
    assert (drifts["rotation_max"].dropna() < 1e-6).all()
    assert "80 rows at" in page.read_text()  # what each model's embeddings cost
    assert "computed 240 embedding rows, 3 neighbor graphs, 12 pair terms" in first.stderr
    table = pd.read_parquet(tmp_path / "w" / "alignment" / "table.parquet")
    assert set(table["dataset"]) == {"qm9"}
    assert set(table["k"]) == {6}
    again = jaxalign(*words)
    assert "nothing was computed again" in again.stderr
    other = jaxalign(*words, "--config.k=9")
    assert "computed 0 embedding rows, 3 neighbor graphs" in other.stderr


@pytest.mark.slow
def test_bad_settings_fail_before_anything_is_embedded(tmp_path):
    config = tmp_path / "controls.py"
    config.write_text(CONFIG)
    words = ("run", f"--config={config}", f"--workdir={tmp_path / 'w'}")
    for override, message in (
        ("--config.metrics=('nosuch',)", "unknown metric 'nosuch'"),
        ("--config.k=80", "got k=80, n=80"),
        ("--config.kk=5", "kk"),
    ):
        done = jaxalign(*words, override, code=1)
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "w").exists()


def test_align_and_report_on_plain_arrays(arrays, tmp_path):
    workdir = tmp_path / "w"
    done = jaxalign("align", f"--embeddings={arrays}", f"--workdir={workdir}", "--k=5")
    assert "one – two" in done.stdout
    assert f"jaxalign report --workdir={workdir}" in done.stdout
    assert "90/90 rows" in done.stderr
    jaxalign("report", f"--workdir={workdir}", "--title=Ours & theirs")
    assert "Ours &amp; theirs" in (workdir / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--k=90",), "k must be smaller than the number of samples: got k=90, n=90; pass k <= 89"),
        pytest.param(
            ("--metrics=cknn",),
            "unknown metric 'cknn', did you mean 'cknna'",
            marks=pytest.mark.slow,
        ),
        pytest.param(("--normalize=l3",), "unknown normalization 'l3'", marks=pytest.mark.slow),
    ],
)
def test_bad_settings_give_one_error_and_no_result(arrays, tmp_path, flags, message):
    workdir = tmp_path / "w"
    done = jaxalign("align", f"--embeddings={arrays}", f"--workdir={workdir}", *flags, code=1)
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(workdir.rglob("table.*"))


@pytest.mark.slow
def test_bad_arrays_give_one_error(arrays, tmp_path):
    words = ("align", f"--embeddings={arrays}", f"--workdir={tmp_path / 'w'}")
    np.save(arrays / "two.npy", np.full((90, 3), np.nan, np.float32))
    assert "'two' holds NaN or infinity in 90 of 90 rows" in jaxalign(*words, code=1).stderr
    np.save(arrays / "two.npy", np.zeros((89, 3), np.float32))
    assert "must have equal length" in jaxalign(*words, code=1).stderr
    (arrays / "two.npy").write_bytes(b"")
    assert "two.npy" in jaxalign(*words, code=1).stderr


@pytest.mark.slow
def test_bad_structures_are_errors_or_listed(tmp_path):
    file = tmp_path / "molecules.smi"
    file.write_text("CCO ethanol\nC1CC broken\nc1ccccc1 benzene\n")
    words = ("embed", "--models=ecfp4", f"--structures={file}", f"--workdir={tmp_path / 'w'}")
    refused = jaxalign(*words, code=1).stderr
    assert "C1CC" in refused
    assert "skip" in refused
    done = jaxalign(*words, "--on_error=skip")
    assert "ecfp4: 2 rows x 2048, 2 computed now" in done.stdout
    assert "skipped:" in done.stdout
    assert "nothing was computed again" in jaxalign(*words, "--on_error=skip").stdout


def test_unknown_model_fails_before_anything_runs(tmp_path):
    words = ("--dataset=qm9", "--n=5", f"--workdir={tmp_path / 'w'}")
    done = jaxalign("embed", "--models=ecfp4,ecfp5", *words, code=1)
    assert "unknown model 'ecfp5'" in done.stderr
    assert "'ecfp4'" in done.stderr
    assert not (tmp_path / "w").exists()


@pytest.mark.slow
def test_empty_cache_without_network_names_the_remedy(tmp_path):
    offline = {
        "JAXALIGN_CACHE": str(tmp_path / "cache"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
        "PIP_CONFIG_FILE": os.devnull,
    }
    words = ("embed", "--models=ani-1x-0", "--dataset=qm9", "--n=5", f"--workdir={tmp_path / 'w'}")
    error = jaxalign(*words, code=1, env=offline).stderr
    assert "torchani" in error
    assert "JAXALIGN_CACHE" in error
    assert not list((tmp_path / "w").rglob("manifest.json"))


def test_verbs_explain_themselves():
    assert "align" in jaxalign("--help").stdout
    assert "Flags:" in jaxalign("align", "--help").stdout
    assert "unknown verb 'algin'" in jaxalign("algin", code=2).stderr
    assert "--workdir" in jaxalign("align", code=1).stderr


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["run", "embed", "report", "sweep", "models", "datasets"])
def test_every_verb_explains_itself(verb):
    assert "Flags:" in jaxalign(verb, "--help").stdout


@pytest.mark.slow
def test_models_are_listed_as_json():
    import json

    rows = json.loads(jaxalign("models", "list", "--format=json").stdout)
    wanted = {"id", "family", "modality", "pretrained", "width", "licence", "verified", "fetched"}
    assert all(set(row) == wanted for row in rows)
    by_id = {row["id"]: row for row in rows}
    assert by_id["ani-1x-0"]["pretrained"] is True
    assert by_id["ani-1x-random"]["pretrained"] is False
    assert by_id["gaussian-noise"]["fetched"] is True
    card = json.loads(jaxalign("models", "show", "ani-1x-0").stdout)
    assert card["licence"] == "MIT"


@pytest.mark.slow
def test_all_metrics_several_k_and_a_memory_budget(arrays, tmp_path):
    workdir = tmp_path / "w"
    flags = ("--metrics=mutual_knn,dcor,id:twonn", "--k=5,10", "--memory_budget=64MiB")
    done = jaxalign("align", f"--embeddings={arrays}", f"--workdir={workdir}", *flags)
    assert "mutual_knn, n=90, k=5:" in done.stdout
    assert "id:twonn, n=90:" in done.stdout
    for flag, message in (
        ("--k=five", "--k must be whole numbers separated by commas: got ['five']"),
        ("--memory_budget=much", "not an amount of memory: 'much'"),
        ("--similarity=dot", "unknown similarity 'dot'"),
    ):
        failed = jaxalign(
            "align", f"--embeddings={arrays}", f"--workdir={tmp_path / 'v'}", flag, code=1
        )
        assert failed.stderr.startswith("error: ")
        assert message in failed.stderr
