"""A folder holds one run; another is refused with what differs."""

import json
import logging

import jax
import pytest

from jaxalign.learning.training.trained_run import TrainedRun, claim_folder, load_run
from jaxalign.parallel.mesh import make_mesh

ASKED = {"network": {"width": 4, "radii": (1, 2)}, "seed": 0}


def claim(folder, devices=1, **changes):
    return claim_folder(folder, ASKED | changes, make_mesh(jax.devices()[:devices]))


def test_the_same_run_may_come_again(tmp_path):
    assert claim(tmp_path / "run") == claim(tmp_path / "run")
    assert claim(tmp_path / "other", seed=1) != claim(tmp_path / "run")


def test_another_run_is_refused(tmp_path):
    claim(tmp_path)
    with pytest.raises(ValueError, match=r"network.width was 4 and is now 8; seed was 0"):
        claim(tmp_path, network={"width": 8, "radii": [1, 2]}, seed=1)


def test_other_devices_are_told(tmp_path, caplog):
    claim(tmp_path)
    with caplog.at_level(logging.WARNING, logger="absl"):
        claim(tmp_path, devices=2)
    assert "may differ by rounding" in caplog.text


def test_results_come_back(tmp_path):
    assert load_run(tmp_path) is None
    facts = {"network": "a", "settings": {"width": 4}, "seed": 1, "parameters": 7, "steps": 9}
    facts |= {"stopped": "steps", "best_step": 8, "validation_mae_ev": 0.1 + 0.2}
    facts |= {"seconds": 1.5, "molecules_per_second": None, "input_wait_share": None}
    run = TrainedRun(folder=tmp_path, test_mae_ev=0.25, **facts)
    run.save()
    assert load_run(tmp_path) == run
    assert "folder" not in json.loads((tmp_path / "result.json").read_text())
