"""Checkpoints as encoders: which ones, with which parameters, under which names."""

import jax
import numpy as np
import pytest

from jaxalign.embeddings.extract import embed_structures
from jaxalign.learning.networks.network import params_digest
from jaxalign.learning.tracking.checkpoint_encoders import tracked_checkpoints
from jaxalign.learning.training.checkpoints import CheckpointError, load_checkpoint
from jaxalign.learning.training.train import train
from tests.learning.training import toys

FACTS = {"training_data": "toys: 80 structures", "label_level": "u0_hartree"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    network, task = toys.network(), toys.quick_task(1)
    folder = tmp_path_factory.mktemp("runs") / "toy-4x1-s0"
    settings = toys.settings(steps=20, checkpoints_per_decade=6)
    return network, task, train(network, task, settings, folder, seed=0)


@pytest.mark.parametrize("count", [2, 4, 50])
def test_the_first_and_the_best_are_among_them(finished, count):
    network, _, run = finished
    found = tracked_checkpoints(run.folder, network, count=count, **FACTS)
    steps = [checkpoint.step for checkpoint in found]
    assert steps == sorted(set(steps))
    assert steps[0] == 0
    assert steps[-1] == run.best_step
    assert len(found) <= count
    assert [c.last for c in found] == [False] * (len(found) - 1) + [True]
    assert found[-1].error_ev == pytest.approx(run.validation_mae_ev)
    assert [c.encoder.card.id for c in found] == [f"toy-4x1-s0@{step}" for step in steps]
    assert [c.encoder.card.pretrained for c in found] == [step > 0 for step in steps]
    assert found[-1].encoder.card.training_data == FACTS["training_data"]


def test_parameters_are_those_of_the_step(finished):
    network, task, run = finished
    found = tracked_checkpoints(run.folder, network, count=3, **FACTS)
    first = network.init(jax.random.key(0))
    assert found[0].fingerprint == params_digest(first)
    assert found[-1].fingerprint == params_digest(
        load_checkpoint(run.folder, None, network=network)
    )
    assert len({c.fingerprint for c in found}) == 3
    test = task.splits.test
    rows = [embed_structures(c.encoder, test, progress=False).values for c in found]
    assert rows[0].shape == (len(test), 4)
    assert np.abs(rows[0] - rows[-1]).max() > 1e-3


def test_other_networks_and_too_few_checkpoints_are_refused(finished):
    network, _, run = finished
    with pytest.raises(CheckpointError, match="width"):
        tracked_checkpoints(run.folder, toys.network(width=6), count=3, **FACTS)
    with pytest.raises(ValueError, match="count=1"):
        tracked_checkpoints(run.folder, network, count=1, **FACTS)
