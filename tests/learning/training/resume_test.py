"""A killed run goes on to the same bits as one that was left alone."""

import json
import os
import signal
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxalign.learning.training.checkpoints import list_checkpoints, load_checkpoint, resume_steps
from jaxalign.learning.training.trained_run import load_run
from tests.commands import run_command, start_command
from tests.learning.training import toys

PROGRAM = Path(__file__).with_name("killed_run.py")
ENV = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "0"}


def program(folder, seed, devices):
    return [str(PROGRAM), str(folder), str(seed), str(devices)]


def killed_after(words, folder, records, delay):
    """Kills a run once its curve has so many records and some time has passed; where it was."""
    log = os.fspath(folder.with_suffix(".log"))
    process = start_command(words, stdout=log, stderr=log, env=ENV)
    curve, limit = folder / "metrics.jsonl", time.monotonic() + 60
    while (curve.read_bytes().count(b"\n") if curve.exists() else 0) < records:
        assert process.is_alive(), Path(log).read_text()
        assert time.monotonic() < limit
        time.sleep(0.005)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode


def finish(words):
    done = run_command(words, env=ENV)
    assert done.returncode == 0, done.stdout + done.stderr


def check_kills(tmp_path, rng, *, kills, devices):
    seed = int(rng.integers(2**31))
    finish(program(tmp_path / "whole", seed, devices))
    records = (tmp_path / "whole" / "metrics.jsonl").read_bytes().count(b"\n")
    folder = tmp_path / "killed"
    died = 0
    for least in sorted(rng.integers(1, records - 8, size=kills).tolist()):
        words = program(folder, seed, devices)
        died += killed_after(words, folder, least, rng.uniform(0, 0.1)) == -signal.SIGKILL
    assert died or kills > 2
    assert load_run(folder) is None or died < kills
    finish(program(folder, seed, devices))
    same_bits(tmp_path / "whole", folder)


def same_bits(one, two):
    assert (one / "metrics.jsonl").read_bytes() == (two / "metrics.jsonl").read_bytes()
    found = [[(c.step, c.validation_mae_ev) for c in list_checkpoints(f)] for f in (one, two)]
    assert found[0] == found[1]
    for step in (*(step for step, _ in found[0]), None):
        params = [load_checkpoint(f, step, network=toys.network()) for f in (one, two)]
        jax.tree.map(np.testing.assert_array_equal, *params)
    results = [json.loads((f / "result.json").read_text()) for f in (one, two)]
    for name in ("steps", "best_step", "validation_mae_ev", "test_mae_ev"):
        assert results[0][name] == results[1][name]
    assert resume_steps(two) == []


def test_a_run_killed_twice_ends_as_one_left_alone(tmp_path, rng):
    check_kills(tmp_path, rng, kills=2, devices=1)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_a_run_killed_many_times_ends_as_one_left_alone(tmp_path, rng, devices):
    check_kills(tmp_path, rng, kills=8, devices=devices)
