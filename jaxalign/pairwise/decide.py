"""Ordering values of pairs of rows that devices of one column hold, inside `jax.shard_map`.

In the ring, the pairs of a device are sorted by the shard of their second row, once, so that each
visiting block meets its own pairs alone: the work is one gather a pair, whatever the number of
devices.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, Float64, Int32

from jaxalign.pairwise import ordering
from jaxalign.parallel.mesh import ROWS
from jaxalign.parallel.ring import varying, visit_shards

GATHER_ROWS = 32  # rows whose partners are gathered at once; tiles are multiples of it
_PAIRS = 1024  # pairs of one step in the ring


def pair_values(
    own: Float32[Array, "s p"],
    queries: Int32[Array, "tiles t"],
    ids: Int32[Array, "tiles t c"],
    valid: Bool[Array, "tiles t c"],
    count: Int32[Array, ""],
    *,
    euclidean: bool,
    gather: bool,
    order: tuple[int, ...] | None = None,
) -> Float64[Array, "tiles t c"]:
    """Larger is nearer: inner products, or minus squared distances. Under `jax.enable_x64(True)`.

    Args:
      own: rows of this device's shard, of padded width; shards are numbered along the column.
      queries: numbers of rows within the shard.
      ids: numbers of rows among all; row i is the (i % s)-th of shard i // s.
      valid: pairs wanted; the others get −inf.
      count: tiles wanted.
      euclidean: distances instead of inner products.
      gather: hold all rows of the column on every device.
      order: of the ring, see `visit_shards`.
    """
    if jax.lax.axis_size(ROWS) == 1:
        values = _directly(own, own, queries, ids, count, euclidean=euclidean)
    elif gather:
        rows = jax.lax.all_gather(own, ROWS, tiled=True)
        values = _directly(own, rows, queries, ids, count, euclidean=euclidean)
    else:
        tiles = jnp.arange(ids.shape[0], dtype=jnp.int32) < count
        valid &= tiles[:, None, None]
        return _in_ring(own, queries, ids, valid, euclidean=euclidean, order=order)
    return jnp.where(valid, values, -jnp.inf)


def _value(x, y, *, euclidean: bool):
    return -ordering.squared_distances(x, y) if euclidean else ordering.inner_products(x, y)


def _directly(own, rows, queries, ids, count, *, euclidean: bool):
    t, c = ids.shape[1:]

    def some(part):
        mine, others = part
        y = jax.lax.optimization_barrier(rows.at[others].get(mode="promise_in_bounds"))
        return _value(own[mine][:, None, :], y, euclidean=euclidean)

    def tile(number, values):
        parts = queries[number].reshape(-1, GATHER_ROWS), ids[number].reshape(-1, GATHER_ROWS, c)
        return values.at[number].set(jax.lax.map(some, parts).reshape(t, c))

    start = varying(jnp.zeros(ids.shape, jnp.float64))
    return jax.lax.fori_loop(jnp.int32(0), count, tile, start)


def _in_ring(own, queries, ids, valid, *, euclidean: bool, order: tuple[int, ...] | None):
    size, shards, c = own.shape[0], jax.lax.axis_size(ROWS), ids.shape[-1]
    flat, mine = ids.reshape(-1), queries.reshape(-1)
    with jax.named_scope("sort_pairs"):
        owner = jnp.where(valid.reshape(-1), flat // size, jnp.int32(shards))
        numbers = jnp.arange(len(flat), dtype=jnp.int32)
        owner, pairs = jax.lax.sort((owner, numbers), num_keys=1, is_stable=True)
        edges = jnp.arange(shards + 1, dtype=jnp.int32)
        starts = jnp.searchsorted(owner, edges).astype(jnp.int32)
    # Steps read and write whole segments of `_PAIRS`.
    pairs = jnp.pad(pairs, (0, _PAIRS))

    def step(number, shard, block, keys):
        start, stop = starts[shard], starts[shard + 1]

        def some(chunk, keys):
            begin = start + chunk * _PAIRS
            pair = jax.lax.dynamic_slice_in_dim(pairs, begin, _PAIRS)
            inside = begin + jnp.arange(_PAIRS, dtype=jnp.int32) < stop
            local = jnp.where(inside, flat[pair] - shard * size, 0)
            x = own[mine[pair // c]]
            y = jax.lax.optimization_barrier(block.at[local].get(mode="promise_in_bounds"))
            old = jax.lax.dynamic_slice_in_dim(keys, begin, _PAIRS)
            new = jnp.where(inside, _value(x, y, euclidean=euclidean), old)
            return jax.lax.dynamic_update_slice_in_dim(keys, new, begin, 0)

        chunks = (stop - start + (_PAIRS - 1)) // _PAIRS
        return jax.lax.fori_loop(jnp.int32(0), chunks, some, keys)

    start = jnp.full(len(flat) + _PAIRS, -jnp.inf, jnp.float64)
    keys = visit_shards(step, start, own, order=order, axes=ROWS)
    values = varying(jnp.zeros(len(flat), jnp.float64))
    return (
        values.at[pairs[: len(flat)]].set(keys[: len(flat)], unique_indices=True).reshape(ids.shape)
    )
