"""The median distance of a batch whose distances lie on several devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxalign.learning.losses.batch import Batch
from jaxalign.learning.losses.gram_terms import roots

_MOST_ROWS = 46340  # whose pairs int32 counts


def median_distance(batch: Batch, squared: Float[Array, "b n"]) -> Float[Array, ""]:
    """Median off-diagonal distance; 0 where most rows are equal, or there are fewer than two.

    Both triangles are counted, which changes nothing: the two middle entries of the doubled list
    are the middle one, or two, of the pairs i < j. The derivative is that of the middle distances.

    Args:
      batch: rows of this device among those of all.
      squared: squared distances of own rows to all rows.

    Raises:
      ValueError: more than 46,340 rows.
    """
    if batch.size > _MOST_ROWS:
        raise ValueError(
            f"the median distance is taken of at most {_MOST_ROWS} rows: got n={batch.size}; pass "
            "sigma, the width of both kernels"
        )
    valid = batch.pairs()
    half = batch.everywhere(valid.sum(dtype=jnp.int32)) // 2
    keys = _ordered_bits(jax.lax.stop_gradient(squared))
    found = _order_statistics(batch, keys, valid, jnp.stack([half, half + 1]))
    middle = [_entry(batch, squared, valid & (keys == key)) for key in found]
    return roots(jnp.stack(middle)).sum() / 2


def _ordered_bits(values: Float[Array, "b n"]) -> Int[Array, "b n"]:
    """Integers in the order of non-negative floats: their bits."""
    kind = jnp.int64 if values.dtype == jnp.float64 else jnp.int32
    return jax.lax.bitcast_convert_type(values, kind)


def _order_statistics(
    batch: Batch, keys: Int[Array, "b n"], valid: Bool[Array, "b n"], ranks: Int[Array, " r"]
) -> Int[Array, " r"]:
    """Keys of the given ranks (1 is the smallest), by halving the range of keys."""
    most = jnp.iinfo(keys.dtype).max
    keys = jnp.where(valid, keys, most)

    def halve(_, bounds):
        low, high = bounds
        middle = low + (high - low) // 2
        below = (keys[None] <= middle[:, None, None]).sum((1, 2), dtype=jnp.int32)
        reached = batch.everywhere(below) >= ranks
        return jnp.where(reached, low, middle + 1), jnp.where(reached, middle, high)

    low = jnp.zeros(ranks.shape, keys.dtype)
    bits = jnp.iinfo(keys.dtype).bits - 1
    low, _ = jax.lax.fori_loop(0, bits, halve, (low, jnp.full_like(low, most)))
    return low


def _entry(batch: Batch, values: Float[Array, "b n"], chosen: Bool[Array, "b n"]):
    """Mean of equal entries, which carries their derivatives; 0 where none is chosen."""
    count = jnp.maximum(batch.everywhere(chosen.sum(dtype=jnp.int32)), 1).astype(values.dtype)
    return batch.total(jnp.where(chosen, values, 0).sum(1)) / count
