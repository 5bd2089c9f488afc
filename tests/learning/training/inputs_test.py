"""Inputs of a network: all structures of a task, one shape, refusals by name."""

import jax
import pytest

from jaxalign.learning.training.inputs import make_inputs
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.parallel.mesh import make_mesh
from tests.learning.training import toys


def test_one_shape_holds_the_share_of_a_device(rng):
    task = toys.quick_task(int(rng.integers(2**31)))
    inputs = make_inputs(toys.network(), task)
    assert [len(inputs.train), len(inputs.validation), len(inputs.test)] == [80, 20, 20]
    collation = inputs.collation(16, make_mesh(jax.devices()[:4]))
    assert (collation.share, collation.size) == (4, 16)
    largest = max(len(s.atomic_numbers) for _, part in task.splits for s in part)
    assert collation.shape == (largest, 4)
    # Fewer examples than slots: the last devices have none.
    assert collation.place(inputs.test[:5])["numbers"].shape == (4, 4, largest)


def test_devices_must_divide_a_minibatch(rng):
    inputs = make_inputs(toys.network(), toys.quick_task(int(rng.integers(2**31))))
    with pytest.raises(ValueError, match="16 structures cannot be divided among 3 devices"):
        inputs.collation(16, make_mesh(jax.devices()[:3]))


def test_structures_that_a_network_refuses_are_named(rng):
    task = toys.quick_task(int(rng.integers(2**31)))
    with pytest.raises(
        UnsupportedStructureError, match=r"2 of 120 structures: m3 \(too odd\); m70"
    ):
        make_inputs(toys.network(foreign=("m3", "m70")), task)
