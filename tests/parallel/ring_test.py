"""Every device meets every block, in the ring and gathered, with the same bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jaxalign.parallel.mesh import SPLIT, make_mesh
from jaxalign.parallel.padding import own_rows, place_rows, row_shards
from jaxalign.parallel.ring import pass_on, visit_shards

N, D = 101, 5


def products(mesh, x, *, gather, count=None, order=None):
    """Row sums of tanh(x xᵀ), block by block."""
    shards = row_shards(len(x), mesh)
    placed = place_rows(lambda a, b: x[a:b], shards, mesh)

    def local(own):
        def step(number, shard, block, total):
            columns = shard * shards.size + jnp.arange(shards.size, dtype=jnp.int32)
            s = jnp.tanh(jnp.matmul(own, block.T)) * (columns < shards.n).astype(own.dtype)[None, :]
            return total + s.sum(1)

        start = jnp.zeros(own.shape[0], own.dtype)
        return visit_shards(step, start, own, gather=gather, count=count, order=order)

    found = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=SPLIT, out_specs=SPLIT))(placed)
    return own_rows(found, shards)


@pytest.mark.parametrize("devices", [1, 2, 3, 4])
@pytest.mark.parametrize("models", [1, 2])
def test_sums_over_all_blocks_are_those_of_numpy(rng, devices, models):
    if devices % models:
        return
    mesh = make_mesh(jax.devices()[:devices], models=models)
    x = rng.normal(size=(N, D)).astype(np.float32)
    expected = np.tanh(x.astype(np.float64) @ x.T.astype(np.float64)).sum(1)
    ring, gathered = (products(mesh, x, gather=gather) for gather in (False, True))
    np.testing.assert_allclose(ring, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(ring, gathered)


def test_half_a_ring_meets_the_following_blocks_alone(rng):
    mesh = make_mesh(jax.devices()[:4])
    x = rng.normal(size=(40, D)).astype(np.float32)
    found = products(mesh, x, gather=False, count=2)
    s = np.tanh(x @ x.T)
    for i in range(40):
        shards = [i // 10, (i // 10 + 1) % 4]
        expected = sum(s[i, 10 * b : 10 * b + 10].sum() for b in shards)
        assert found[i] == pytest.approx(expected, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("gather", [False, True])
def test_a_ring_in_another_order_meets_the_shards_that_follow_there(rng, gather):
    mesh, order = make_mesh(jax.devices()[:4]), (2, 0, 3, 1)
    x = rng.normal(size=(40, D)).astype(np.float32)
    found = products(mesh, x, gather=gather, count=2, order=order)
    s = np.tanh(x @ x.T)
    for i in range(40):
        own = i // 10
        following = order[(order.index(own) + 1) % 4]
        expected = sum(s[i, 10 * b : 10 * b + 10].sum() for b in (own, following))
        assert found[i] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_the_exchange_is_issued_before_the_step_that_uses_the_present_block():
    mesh = make_mesh(jax.devices()[:2])

    def local(own):
        step = lambda number, shard, block, carry: carry + jnp.matmul(own, block.T).sum()  # noqa: E731
        return visit_shards(step, jnp.zeros(()), own)[None]

    program = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=SPLIT, out_specs=P(SPLIT[0])))
    text = str(program.trace(jax.ShapeDtypeStruct((8, 4), jnp.float32)).jaxpr)
    assert text.index("ppermute") < text.index("dot_general")


def test_pass_on_takes_from_further_places():
    mesh = make_mesh(jax.devices()[:4])
    program = jax.shard_map(lambda x: pass_on(x, 3), mesh=mesh, in_specs=SPLIT, out_specs=SPLIT)
    np.testing.assert_array_equal(jax.jit(program)(jnp.arange(4)), [3, 0, 1, 2])
