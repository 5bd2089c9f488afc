"""Errors on held-out structures against NumPy, in batches that they do not fill."""

import jax
import numpy as np
import pytest
import scipy.special

from jaxalign.learning.training.evaluation import HeldOut
from jaxalign.learning.training.inputs import make_inputs
from jaxalign.learning.training.update import on_devices
from jaxalign.parallel.mesh import make_mesh
from tests.learning.training import toys


@pytest.mark.parametrize("devices", [1, 4])
def test_errors_are_those_of_all_structures(rng, devices):
    task = toys.quick_task(int(rng.integers(2**31)), validation=int(rng.integers(17, 31)))
    network, mesh = toys.network(), make_mesh(jax.devices()[:devices])
    inputs = make_inputs(network, task)
    targets = task.targets(task.splits.validation)
    held = HeldOut(
        network.predict,
        inputs.validation,
        targets,
        inputs.collation(16, mesh),
        std_ev=task.std,
        loss="huber",
    )
    params = network.init(jax.random.key(int(rng.integers(2**31))))
    params["outer"] = rng.normal(size=4).astype(np.float32)
    batch = toys.collate(inputs.validation, 8, len(inputs.validation))
    residual = np.asarray(toys.predict(params, batch), np.float64) - targets
    errors = held.errors(on_devices(params, mesh))
    assert errors.mae_ev == pytest.approx(np.abs(residual).mean() * task.std, rel=1e-5)
    assert errors.loss == pytest.approx(scipy.special.huber(1, residual).mean(), rel=1e-5)
    assert errors.broken == ()
    params["embed"] = np.full((9, 4), np.nan, np.float32)
    assert held.errors(on_devices(params, mesh)).broken == tuple(range(len(targets)))
