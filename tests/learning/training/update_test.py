"""One update against NumPy and plain optax, and the same on any number of devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxalign.learning.training.inputs import make_inputs
from jaxalign.learning.training.objective import TARGET, Objective, regression
from jaxalign.learning.training.update import CompiledUpdate, init_state, on_devices, on_host
from jaxalign.parallel.mesh import make_mesh
from tests.learning.training import toys


def contrast(network):
    """A loss that compares the structures of a minibatch with each other, as alignment does."""

    def loss(outputs, targets):
        x = outputs["x"] - jnp.mean(outputs["x"], axis=0, keepdims=True)
        y = targets["teacher"] - jnp.mean(targets["teacher"], axis=0, keepdims=True)
        value = jnp.mean((outputs["y"] - targets[TARGET]) ** 2)
        return value - jnp.sum((x.T @ y) ** 2) / 16**2, {"value": value}

    def outputs(params, batch):
        found = network.features(params, batch)
        x = jnp.sum(jnp.where(found.mask[..., None], found.values, 0), axis=1)
        return {"x": x, "y": network.predict(params, batch)}

    return Objective({}, outputs, loss)


OBJECTIVES = {"regression": regression, "contrast": contrast}


def updates(kind, devices, seed, steps=3):
    """Losses and parameters of some updates on so many devices."""
    network, settings = toys.network(), toys.settings(warmup=0)
    inputs = make_inputs(network, toys.quick_task(seed))
    mesh = make_mesh(jax.devices()[:devices])
    collation = inputs.collation(16, mesh)
    update = CompiledUpdate(OBJECTIVES[kind](network), settings, share=collation.share, mesh=mesh)
    params = network.init(jax.random.key(seed))
    # Readouts of zero would leave some gradients at zero.
    params["outer"] = jnp.linspace(0.1, 0.5, 4)
    state = on_devices(init_state(params, settings), mesh)
    rng, losses = np.random.default_rng(seed), []
    for step in range(steps):
        rows = slice(16 * step, 16 * (step + 1))
        targets = {TARGET: rng.normal(size=16), "teacher": rng.normal(size=(16, 3))}
        targets = {name: jnp.asarray(rows, jnp.float32) for name, rows in targets.items()}
        state, numbers = update.run(state, collation.place(inputs.train[rows]), targets)
        losses.append(float(numbers["loss"]))
    assert update.count == 1
    return losses, on_host(state.params)


@pytest.mark.parametrize("kind", ["contrast", pytest.param("regression", marks=pytest.mark.slow)])
def test_the_number_of_devices_changes_nothing_but_rounding(rng, kind):
    seed = int(rng.integers(2**31))
    losses, params = updates(kind, 1, seed)
    others, found = updates(kind, 4, seed)
    np.testing.assert_allclose(others, losses, rtol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found, params)


def test_the_first_update_is_that_of_optax_on_all_structures(rng):
    seed = int(rng.integers(2**31))
    _, found = updates("regression", 4, seed, steps=1)
    network, settings = toys.network(), toys.settings(warmup=0)
    inputs = make_inputs(network, toys.quick_task(seed))
    params = network.init(jax.random.key(seed))
    params["outer"] = jnp.linspace(0.1, 0.5, 4)
    batch = toys.collate(inputs.train[:16], 8, 16)
    target = jnp.asarray(np.random.default_rng(seed).normal(size=16), jnp.float32)

    def loss(params):
        return jnp.mean(optax.losses.huber_loss(toys.predict(params, batch), target))

    @jax.jit
    def by_hand(params):
        chain = optax.chain(
            optax.clip_by_global_norm(settings.clip),
            optax.adamw(settings.learning_rate, weight_decay=settings.weight_decay),
        )
        step, _ = chain.update(jax.grad(loss)(params), chain.init(params), params)
        return optax.apply_updates(params, step)

    with jax.numpy_dtype_promotion("standard"):
        expected = by_hand(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


def test_what_the_host_has_is_not_written_over(rng):
    network, settings = toys.network(), toys.settings()
    mesh = make_mesh(jax.devices()[:1])
    first = init_state(network.init(jax.random.key(0)), settings)
    copies = jax.tree.map(np.copy, first)
    state = on_devices(first, mesh)
    kept = on_host(state)
    doubled = jax.jit(lambda s: jax.tree.map(lambda x: x + x + 1, s), donate_argnums=0)(state)
    jax.block_until_ready(doubled)
    for tree in (first, kept):
        jax.tree.map(np.testing.assert_array_equal, tree, copies)
