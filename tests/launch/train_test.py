"""`jaxalign train` as a user meets it: a table, resumption, one clear error."""

import os
from pathlib import Path

import jax
import pandas as pd
import pytest

from jaxalign.learning.networks.architectures import build_network
from jaxalign.learning.training.checkpoints import list_checkpoints, load_checkpoint
from tests.commands import run_command
from tests.multiprocess.cluster import run_cluster

CONFIGS = Path(__file__).parents[2] / "configs"


def train(folder, *words, code=0):
    config = f"--config={CONFIGS / 'convergence_smoke.py'}"
    command = ["-m", "jaxalign.launch", "train", config, f"--workdir={folder}", *words]
    done = run_command(command, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_the_smoke_ladder_is_climbed_once(tmp_path):
    done = train(tmp_path)
    assert f"table: {tmp_path / 'training.csv'}" in done.stdout
    assert "invariant-8x1-s0: step 40, validation" in done.stderr
    assert "orbax" not in done.stderr
    table = pd.read_csv(tmp_path / "training.csv")
    assert list(table["run"]) == ["invariant-8x1-s0", "dmpnn-8x1-s0"]
    assert (table["best_step"] > 0).all()
    assert (table["validation_mae_ev"] < 0.8).all()
    for architecture in table["architecture"]:
        network = build_network(architecture, width=8, depth=1)
        folder = tmp_path / "runs" / f"{network.card.id}-s0"
        assert len(pd.read_json(folder / "metrics.jsonl", lines=True)) > 8
        assert [c.step for c in list_checkpoints(folder)] == [0, 1, 3, 10, 32, 40]
        params = load_checkpoint(folder, None, network=network)
        assert jax.tree.map(jax.numpy.shape, params) == jax.tree.map(
            jax.numpy.shape, network.init(jax.random.key(1))
        )
    assert "T9b" in done.stdout
    assert "64 labels, distilled: error" in done.stdout
    assert "training" in (tmp_path / "report" / "index.html").read_text()
    trajectories = pd.read_parquet(tmp_path / "test" / "trajectories.parquet")
    assert set(trajectories["architecture"]) == {"invariant", "dmpnn"}
    assert set(trajectories["reference"]) == {
        "other architectures",
        "other seeds",
        "composition",
        "",
    }
    again = train(tmp_path)
    assert again.stdout == done.stdout
    assert ": step " not in again.stderr
    other = train(tmp_path, "--config.training.learning_rate=0.1", code=1)
    assert "training.learning_rate was 0.005 and is now 0.1" in other.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--config.task.validation=0",), "every split needs at least one structure"),
        pytest.param(
            ("--config.ladder=(('unheard', 8, 1),)",),
            "unknown architecture 'unheard'",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--config.training.warmup=40",), "warmup must be 0 or more", marks=pytest.mark.slow
        ),
        pytest.param(
            ("--config.training.minibatch=33", "--cpu_devices=2"),
            "33 structures cannot be divided among 2 devices",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--config.training.learning_rate=1e30", "--config.ladder=(('invariant', 8, 1),)"),
            "error: invariant-8x1-s0: predictions for 32 of 32 validation structures",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_cannot_be_trained_is_one_error(tmp_path, words, message):
    done = train(tmp_path / "w", *words, code=1)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_failed_run_is_listed_beside_the_others(tmp_path):
    ladder = "--config.ladder=(('invariant', 8, 1, {'cutoff': 0.1}), ('dmpnn', 8, 1))"
    words = ("--on_error=skip", "--config.training.learning_rate=1e30", ladder)
    done = train(tmp_path, *words, code=1)
    table = pd.read_csv(tmp_path / "training.csv")
    assert table["reason"].str.contains("Step").all()
    assert "none of the 2 runs could be finished" in done.stderr


@pytest.mark.slow
def test_two_processes_train_as_one_with_two_devices(tmp_path):
    words = ["train", f"--config={CONFIGS / 'convergence_smoke.py'}"]
    words += ["--config.ladder=(('invariant', 8, 1), ('dmpnn', 8, 1))"]
    first, second = run_cluster([*words, f"--workdir={tmp_path / 'two'}"], devices=1, timeout=200)
    assert "table: " in first.stdout
    assert "table: " not in second.stdout
    assert "64 labels, distilled: error" in first.stdout  # tracking and distillation, too
    assert (tmp_path / "two" / "report" / "index.html").is_file()
    one = ["-m", "jaxalign.launch", *words, f"--workdir={tmp_path / 'one'}", "--cpu_devices=2"]
    done = run_command(one, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    assert done.returncode == 0, done.stdout + done.stderr
    curves = [
        pd.read_json(tmp_path / name / "runs" / "invariant-8x1-s0" / "metrics.jsonl", lines=True)
        for name in ("one", "two")
    ]
    pd.testing.assert_frame_equal(*curves, rtol=1e-3)
