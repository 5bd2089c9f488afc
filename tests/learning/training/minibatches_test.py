"""Minibatches: a function of seed and step, every structure once an epoch, made ahead in order."""

import jax
import numpy as np
import pytest

from jaxalign.learning.training.inputs import make_inputs
from jaxalign.learning.training.minibatches import Feed, MinibatchOrder
from jaxalign.parallel.mesh import make_mesh
from tests.learning.training import toys


def test_an_epoch_has_every_structure_once_but_for_the_rest(rng):
    count, size, seed = int(rng.integers(40, 90)), 16, int(rng.integers(2**31))
    order = MinibatchOrder(count, size, seed)
    epochs = [
        np.concatenate([order.rows(e * order.epoch + i) for i in range(order.epoch)])
        for e in range(3)
    ]
    for rows in epochs:
        assert len(np.unique(rows)) == len(rows) == count // size * size
    assert not np.array_equal(epochs[0], epochs[1])
    np.testing.assert_array_equal(MinibatchOrder(count, size, seed).rows(7), order.rows(7))
    assert not np.array_equal(MinibatchOrder(count, size, seed + 1).rows(0), order.rows(0))


def test_a_minibatch_larger_than_the_training_set_is_refused():
    with pytest.raises(ValueError, match="needs as many training structures: got 15"):
        MinibatchOrder(15, 16, 0)


@pytest.mark.parametrize("devices", [1, 4])
def test_the_feed_gives_every_step_its_structures(rng, devices):
    task = toys.quick_task(int(rng.integers(2**31)))
    inputs = make_inputs(toys.network(), task)
    collation = inputs.collation(16, make_mesh(jax.devices()[:devices]))
    order = MinibatchOrder(len(inputs.train), 16, 5)
    labels = rng.normal(size=(len(inputs.train), 2)).astype(np.float32)
    feed = Feed(inputs.train, {"rows": labels}, order, collation)
    for step in range(3, 12):
        batch, targets = feed.take(step, last=12)
        rows = order.rows(step)
        np.testing.assert_array_equal(targets["rows"], labels[rows])
        distances = np.asarray(batch["distance"]).reshape(16, -1)
        for row, found in zip(rows, distances, strict=True):
            wanted = inputs.train[row]["distance"]
            np.testing.assert_array_equal(found[: len(wanted)], wanted)
            assert (found[len(wanted) :] == 0).all()
    feed.close()
    assert feed.made_seconds > 0
