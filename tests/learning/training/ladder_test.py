"""A ladder: one row a run, failures listed or raised, nothing finished done again."""

import jax
import pandas as pd
import pytest

from jaxalign.learning.training import ladder
from jaxalign.learning.training.health import TrainingError
from jaxalign.learning.training.ladder import ladder_table, train_ladder, write_ladder
from tests.learning.training import toys


@pytest.fixture
def task(rng):
    return toys.quick_task(int(rng.integers(2**31)))


def climb(task, folder, networks, **options):
    options = {"seeds": (0, 1), "mesh": jax.devices()[:1]} | options
    return train_ladder(networks, task, toys.settings(steps=5), folder, **options)


def test_every_run_has_a_folder_and_a_row(task, tmp_path, monkeypatch):
    networks = [toys.network(4), toys.network(6)]  # an update of each is compiled
    table = ladder_table(climb(task, tmp_path, networks))
    path = write_ladder(table, tmp_path)
    assert list(table["run"]) == ["toy-4x1-s0", "toy-4x1-s1", "toy-6x1-s0", "toy-6x1-s1"]
    assert list(table["parameters"]) == [56, 56, 96, 96]
    assert (tmp_path / "runs" / "toy-6x1-s1" / "result.json").exists()
    assert table["test_mae_ev"].nunique() == 4
    pd.testing.assert_frame_equal(pd.read_parquet(path.with_suffix(".parquet")), table)
    assert list(pd.read_csv(path)["width"]) == [4, 4, 6, 6]
    monkeypatch.setattr(ladder, "make_inputs", lambda *a, **o: pytest.fail("made again"))
    pd.testing.assert_frame_equal(ladder_table(climb(task, tmp_path, networks)), table)


def test_failures_are_raised_or_listed(task, tmp_path):
    bad = toys.network(4, poison=task.splits.train.ids)
    with pytest.raises(TrainingError):
        climb(task, tmp_path / "raise", [bad, toys.network(6)])
    runs = climb(task, tmp_path / "skip", [bad, toys.network(6)], on_error="skip", seeds=(0,))
    table = ladder_table(runs)
    assert table["test_mae_ev"].isna().tolist() == [True, False]
    assert "the loss is nan" in table["reason"][0]
    assert table["reason"][1] == ""
    foreign = toys.network(4, name="odd", foreign=("m1",))
    (failed,) = climb(task, tmp_path / "skip", [foreign], on_error="skip", seeds=(0,))
    assert "m1 (too odd)" in failed.reason


def test_names_must_differ(task, tmp_path):
    with pytest.raises(
        ValueError, match=r"networks, each named once: got \['toy-4x1', 'toy-4x1'\]"
    ):
        climb(task, tmp_path, [toys.network(4), toys.network(4)])
    with pytest.raises(ValueError, match="a ladder needs seeds"):
        climb(task, tmp_path, [toys.network(4)], seeds=())
