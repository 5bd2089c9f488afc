"""Checkpoints: the same bits back, of the right network only, whole or not at all."""

import json

import jax
import numpy as np
import pytest

from jaxalign.learning.training.checkpoints import (
    CheckpointError,
    CheckpointWriter,
    best_checkpoint,
    list_checkpoints,
    load_checkpoint,
    load_resume,
    resume_steps,
)
from jaxalign.learning.training.update import init_state
from tests.learning.training import toys


@pytest.fixture
def params(rng):
    return toys.network().init(jax.random.key(int(rng.integers(2**31))))


@pytest.fixture
def writer(tmp_path):
    settings = json.loads(json.dumps(toys.network().settings))
    writer = CheckpointWriter(tmp_path, {"network": settings})
    yield writer
    writer.close()


def equal(one, two):
    jax.tree.map(np.testing.assert_array_equal, one, two)
    return jax.tree.structure(one) == jax.tree.structure(two)


def test_parameters_come_back_bit_for_bit(tmp_path, writer, params):
    writer.save(0, params, validation_mae_ev=0.3)
    changed = jax.tree.map(lambda x: x * 3, params)
    writer.save(120, changed, validation_mae_ev=0.1 + 0.2)
    writer.save_best(120, changed, validation_mae_ev=0.1 + 0.2)
    writer.save_best(0, params, validation_mae_ev=0.3)
    writer.wait()
    found = list_checkpoints(tmp_path)
    assert [(c.step, c.validation_mae_ev) for c in found] == [(0, 0.3), (120, 0.1 + 0.2)]
    assert best_checkpoint(tmp_path).step == 0
    assert equal(load_checkpoint(tmp_path, 120, network=toys.network()), changed)
    assert equal(load_checkpoint(tmp_path, None, network=toys.network()), params)
    writer.clear_after(100)
    assert [c.step for c in list_checkpoints(tmp_path)] == [0]


def test_parameters_of_another_network_are_refused(tmp_path, writer, params):
    writer.save(3, params, validation_mae_ev=0.3)
    writer.wait()
    for other in (toys.network(width=6), toys.network(name="other")):
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(tmp_path, 3, network=other)
        settings = (toys.network().settings, other.settings)
        for wanted in settings:
            assert str(json.loads(json.dumps(wanted))) in str(caught.value)


def test_what_is_missing_or_damaged_is_said(tmp_path, writer, params):
    writer.save(3, params, validation_mae_ev=0.3)
    writer.wait()
    network = toys.network()
    with pytest.raises(CheckpointError, match=r"no checkpoint .*00000004; .*\['00000003'\]"):
        load_checkpoint(tmp_path, 4, network=network)
    with pytest.raises(CheckpointError, match=r"no checkpoint .*; there are none"):
        load_checkpoint(tmp_path / "nowhere", None, network=network)
    folder = tmp_path / "checkpoints" / "00000003"
    # Of damaged arrays orbax also complains in threads of its own, after the error.
    (folder / "_METADATA").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        load_checkpoint(tmp_path, 3, network=network)
    (folder / "_CHECKPOINT_METADATA").write_text("{")
    with pytest.raises(CheckpointError, match="delete it"):
        list_checkpoints(tmp_path)


def test_the_newest_state_is_kept_and_unfinished_ones_are_not(tmp_path, writer, params):
    settings = toys.settings()
    first = init_state(params, settings)
    assert load_resume(tmp_path, first) is None
    for step in (4, 8, 12):
        state = jax.tree.map(lambda x, step=step: x + np.asarray(step, x.dtype), first)
        writer.save_resume(state, first.params, {"step": step, "other": 0.1})
    writer.wait()
    assert resume_steps(tmp_path) == [8, 12]
    unfinished = tmp_path / "resume" / "00000016.orbax-checkpoint-tmp"
    unfinished.mkdir()
    found, best, facts = load_resume(tmp_path, first)
    assert equal(found, state)
    assert equal(best, first.params)
    assert (facts["step"], facts["other"]) == (12, 0.1)
    writer.clear_after(12)
    assert not unfinished.exists()
    writer.drop_resume()
    assert resume_steps(tmp_path) == []
