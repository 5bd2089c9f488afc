import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxalign.models.ani.sorted_blocks import map_sorted_blocks


@pytest.mark.parametrize(("count", "block"), [(1, 4), (7, 8), (8, 8), (23, 5), (24, 6)])
def test_gives_rows_back_in_their_order(rng, count, block):
    key = rng.integers(-1, 4, count).astype(np.int32)
    rows, numbers = rng.normal(size=(count, 2, 3)).astype(np.float32), np.arange(count)

    def function(x, number):
        return {"sum": jnp.sum(x, axis=(1, 2)), "number": number}

    found = map_sorted_blocks(
        function, jnp.asarray(key), jnp.asarray(rows), jnp.asarray(numbers), block=block
    )
    np.testing.assert_array_equal(found["number"], numbers)
    np.testing.assert_allclose(found["sum"], rows.sum(axis=(1, 2)), rtol=1e-5, atol=1e-6)


def test_a_block_holds_rows_of_similar_keys_and_filling_adds_no_other(rng):
    key = jnp.asarray(rng.permutation(np.repeat(np.arange(3, dtype=np.int32), [8, 8, 5])))

    def spread(key):
        return jnp.broadcast_to(jnp.max(key) - jnp.min(key), key.shape)

    assert not np.asarray(map_sorted_blocks(spread, key, key, block=4)).any()


def test_gradient_reaches_every_row_once(rng):
    key = jnp.asarray(rng.integers(0, 3, 11).astype(np.int32))
    rows = jnp.asarray(rng.normal(size=11).astype(np.float32))

    def total(rows):
        return jnp.sum(map_sorted_blocks(lambda x: x**2, key, rows, block=4))

    np.testing.assert_allclose(jax.jit(jax.grad(total))(rows), 2 * rows, rtol=1e-6)
