"""A batch over devices: value and gradient of the whole batch, and no device holds all pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.learning.losses import cka_loss
from jaxalign.parallel.mesh import SPLIT, WHOLE, make_mesh, split
from tests.learning.losses.cases import LOSSES, QUICK, N, evaluate
from tests.oracles import related_pair

SIZE = 16  # rows of the batch, of which N are present
SHARDED = [("cknna", 4, 3), ("cka:rbf", 4, 3), ("cka", 4, 3), ("cka", 7, 5), ("dcor", 4, 3)]
FAST = [*SHARDED[:1], *(pytest.param(*case, marks=pytest.mark.slow) for case in SHARDED[1:])]


def sharded_gradient(name, mesh):
    def local(x, y, mask):
        return LOSSES[name](x, y, mask=mask, axis_name=mesh.axis_names)

    whole = jax.shard_map(local, mesh=mesh, in_specs=SPLIT, out_specs=WHOLE)
    return jax.jit(jax.value_and_grad(whole, argnums=(0, 1)), compiler_options=QUICK)


def check(rng, name, dx, dy, mesh):
    x, y = related_pair(rng, N, dx, dy, 0.5, shared=3)
    values, gradients = evaluate(name, [(x, y, None)])
    places = np.sort(rng.choice(SIZE, N, replace=False))
    mask = np.isin(np.arange(SIZE), places)
    padded = [np.full((SIZE, v.shape[1]), np.nan) for v in (x, y)]
    for side, values_of_side in zip(padded, (x, y), strict=True):
        side[places] = values_of_side
    with jax.enable_x64(True):
        placed = [jax.device_put(v, split(mesh)) for v in (*padded, mask)]
        compiled = sharded_gradient(name, mesh).lower(*placed).compile()
        value, found = compiled(*placed)
        whole_matrix = f"[{SIZE},{SIZE}]"
        assert mesh.size == 1 or whole_matrix not in compiled.as_text()
    assert float(value) == pytest.approx(values[0], abs=1e-11)
    for gradient, expected in zip(found, gradients, strict=True):
        assert gradient.sharding.is_equivalent_to(split(mesh), 2)
        gradient = np.asarray(gradient)
        np.testing.assert_allclose(gradient[places], expected[0], rtol=0, atol=1e-10)
        assert (gradient[~mask] == 0).all()


@pytest.mark.parametrize(("name", "dx", "dy"), FAST)
def test_four_devices_give_value_and_gradient_of_the_whole_batch(rng, name, dx, dy):
    check(rng, name, dx, dy, make_mesh(jax.devices()[:4]))


@pytest.mark.slow
@pytest.mark.parametrize(("devices", "models"), [(1, 1), (2, 1), (8, 1), (8, 2)])
@pytest.mark.parametrize(("name", "dx", "dy"), SHARDED)
def test_any_number_of_devices_gives_the_same(rng, name, dx, dy, devices, models):
    check(rng, name, dx, dy, make_mesh(jax.devices()[:devices], models=models))


def test_gradients_taken_inside_a_mesh_are_those_of_the_whole_batch(rng):
    mesh = make_mesh(jax.devices()[:2])
    x, y = related_pair(rng, N, 5, 3)
    weights = rng.normal(size=(5, 4)).astype(np.float32)

    def local(weights, x, y):
        def loss(weights):
            return cka_loss(jnp.matmul(x, weights), y, axis_name=mesh.axis_names)

        return jax.value_and_grad(loss)(weights)

    sharded = jax.shard_map(local, mesh=mesh, in_specs=(WHOLE, SPLIT, SPLIT), out_specs=WHOLE)
    value, gradient = jax.jit(sharded, compiler_options=QUICK)(weights, x, y)
    (expected,), (slopes, _) = evaluate("cka", [(x.astype(np.float64) @ weights, y, None)])
    slopes = x.T @ slopes[0]
    assert float(value) == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(gradient, slopes, rtol=0, atol=1e-4 * np.abs(slopes).max())
