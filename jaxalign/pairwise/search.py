"""Exact search of one tile of query rows: propose, decide in float64, certify.

Everything here is a pure function under `jax.enable_x64(True)`; `neighbors.py` drives it.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, Float64, Int32

from jaxalign.pairwise import ordering
from jaxalign.pairwise.proposals import Database, propose

# Query rows whose candidates are gathered at once, and columns compared at once in a full search.
_GATHER_ROWS = 32
_FULL_COLUMNS = 512


class Found(NamedTuple):
    """Neighbors of a tile of rows, nearest first, one more than asked for (it shows ties).

    Attributes:
      ids: row numbers.
      keys: ordering values, larger is nearer: inner product, or minus the squared distance.
      certain: the error bound proves that no other row can be among the first k.
    """

    ids: Int32[Array, "t c"]
    keys: Float64[Array, "t c"]
    certain: Bool[Array, " t"]


def _keys(x, y, *, euclidean: bool):
    return -ordering.squared_distances(x, y) if euclidean else ordering.inner_products(x, y)


def _nearest(keys, ids, count: int):
    """The `count` best by (key descending, id ascending): the order of all neighbor lists.

    Equal keys must come in the order of their ids; `top_k` keeps that order.
    """
    keys, place = jax.lax.top_k(keys, count)
    return keys, jnp.take_along_axis(ids, place, axis=1)


@functools.partial(jax.jit, static_argnames=("k", "candidates", "column_tile", "euclidean"))
def search_tile(
    queries: Int32[Array, " t"],
    database: Database,
    *,
    k: int,
    candidates: int,
    column_tile: int,
    euclidean: bool,
) -> Found:
    """Neighbors of the given rows among proposed candidates, and whether they are certain.

    A row is certain when its k-th ordering value beats the last candidate's proposed value by more
    than the error bound: whatever was not proposed then lies strictly behind the k-th.
    """
    with jax.named_scope("propose"):
        proposed, ids = propose(
            database.centered[queries],
            database.codes[queries],
            database,
            candidates=candidates,
            column_tile=column_tile,
        )
    with jax.named_scope("decide"):
        decide = functools.partial(_decide, database.rows, euclidean=euclidean)
        # Columns proposed at −inf are ineligible: they get an id beyond all rows and sort last.
        beyond = jnp.int32(database.rows.shape[0])
        ids = jnp.sort(jnp.where(proposed == -jnp.inf, beyond, ids), axis=1)
        keys = jax.lax.map(decide, (queries, ids), batch_size=_GATHER_ROWS)
        keys = jnp.where(ids == beyond, -jnp.inf, keys)
        keys, ids = _nearest(keys, ids, min(k + 1, candidates))
    kth = keys[:, k - 1]
    shift = database.shifts[queries]
    s_kth = (shift + kth) / 2 if euclidean else kth - shift
    # The last proposed value, by a reduction: a slice of top_k's result makes XLA's CPU compiler
    # replace the selection by a full sort (4 times the time of the whole tile).
    limit = proposed.min(axis=1).astype(jnp.float64)
    certain = (limit == -jnp.inf) | (s_kth > limit + database.errors[queries])
    return Found(ids, keys, certain)


def _decide(rows, query_and_ids, *, euclidean: bool):
    query, ids = query_and_ids
    return _keys(rows[query][None, :], rows.at[ids].get(mode="clip"), euclidean=euclidean)


@functools.partial(jax.jit, static_argnames=("k", "n", "euclidean"))
def search_fully(
    queries: Int32[Array, " t"],
    rows: Float32[Array, "m p"],
    codes: Int32[Array, " m"],
    *,
    k: int,
    n: int,
    euclidean: bool,
) -> Found:
    """Neighbors of the given rows by the ordering value of every pair: no proposals, no bound.

    For rows with more (near) ties than candidates, e.g. large groups of duplicates.
    """
    x, own = rows[queries], codes[queries]
    m = rows.shape[0]
    width = min(_FULL_COLUMNS, m)

    def step(best, start):
        # The last block is shifted left to fit; columns it shares with its predecessor are masked.
        begin = jnp.minimum(start, m - width)
        block = jax.lax.dynamic_slice_in_dim(rows, begin, width)
        others = jax.lax.dynamic_slice_in_dim(codes, begin, width)
        columns = begin.astype(jnp.int32) + jnp.arange(width, dtype=jnp.int32)
        keys = _keys(x[:, None, :], block[None, :, :], euclidean=euclidean)
        usable = (columns >= start.astype(jnp.int32)) & (columns < n)
        usable = usable[None, :] & (own[:, None] != others[None, :])
        keys = jnp.concatenate([best[0], jnp.where(usable, keys, -jnp.inf)], axis=1)
        ids = jnp.concatenate([best[1], jnp.broadcast_to(columns, (x.shape[0], width))], axis=1)
        # Equal keys keep their order: earlier blocks, whose ids are lower, come first.
        return _nearest(keys, ids, k + 1), None

    t = queries.shape[0]
    first = (jnp.full((t, k + 1), -jnp.inf), jnp.full((t, k + 1), n, jnp.int32))
    (keys, ids), _ = jax.lax.scan(step, first, jnp.arange(0, m, width))
    return Found(ids, keys, jnp.ones(t, bool))
