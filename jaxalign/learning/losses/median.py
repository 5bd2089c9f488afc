"""The median distance of a batch whose distances lie on several devices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int32

from jaxalign.learning.losses.batch import Batch
from jaxalign.learning.losses.gram_terms import roots, row_sums

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
    keys = _ordered_bits(jax.lax.stop_gradient(squared))
    most = jnp.iinfo(keys.dtype).max
    keys = jnp.where(valid, keys, most)
    half = _count(batch, valid) // 2
    lower = _order_statistic(batch, keys, half)
    following = -batch.largest(-jnp.where(keys > lower, keys, most)).max()
    upper = jnp.where(_count(batch, keys <= lower) > half, lower, following)
    middle = [_mean_entry(batch, squared, valid & (keys == key)) for key in (lower, upper)]
    return roots(jnp.stack(middle)).sum() / 2


def _ordered_bits(values: Float[Array, "b n"]) -> Int[Array, "b n"]:
    """Integers in the order of non-negative floats: their bits."""
    kind = jnp.int64 if values.dtype == jnp.float64 else jnp.int32
    return jax.lax.bitcast_convert_type(values, kind)


def _order_statistic(
    batch: Batch, keys: Int[Array, "b n"], rank: Int32[Array, ""]
) -> Int[Array, ""]:
    """Key of the given rank (1 is the smallest), by halving the range of keys."""

    def halve(_, bounds):
        low, high = bounds
        middle = low + (high - low) // 2
        reached = _count(batch, keys <= middle) >= rank
        return jnp.where(reached, low, middle + 1), jnp.where(reached, middle, high)

    limits = jnp.iinfo(keys.dtype)
    bounds = jnp.zeros((), keys.dtype), jnp.full((), limits.max, keys.dtype)
    return jax.lax.fori_loop(0, limits.bits - 1, halve, bounds)[0]


def _count(batch: Batch, chosen: Bool[Array, "b n"]) -> Int32[Array, ""]:
    """Chosen pairs of all devices; numbers of columns are exact in float32."""
    return batch.total(row_sums(chosen.astype(jnp.float32)).astype(jnp.int32))


def _mean_entry(
    batch: Batch, values: Float[Array, "b n"], chosen: Bool[Array, "b n"]
) -> Float[Array, ""]:
    """Mean of equal entries, which carries their derivatives; 0 where none is chosen."""
    count = jnp.maximum(_count(batch, chosen), 1).astype(values.dtype)
    return batch.total(row_sums(jnp.where(chosen, values, 0))) / count
