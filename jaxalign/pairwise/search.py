"""Exact search of tiles of query rows on the device: propose, then compute ordering values.

`search_tiles` is a pure function under `jax.enable_x64(True)`; `sweep.py` drives it and sorts on
the host: XLA sorts float64 rows on CPU 50 times slower than NumPy does.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Float64, Int, Int32

from jaxalign.pairwise import ordering
from jaxalign.pairwise.proposals import Bounds, Database, propose

GATHER_ROWS = 32  # query rows whose candidates are gathered at once; tiles are multiples of it


class Candidates(NamedTuple):
    """Candidates of query rows, in no order.

    Attributes:
      ids: row numbers.
      keys: ordering values, larger is nearer: inner product, or minus the squared distance; −inf
        where a row has fewer eligible columns than candidates.
      limits: no other column has a larger proposed value.
    """

    ids: Int32[Array, "t c"]
    keys: Float64[Array, "t c"]
    limits: Float32[Array, " t"]


@functools.partial(jax.jit, static_argnames=("candidates", "steps", "block", "euclidean"))
def search_tiles(
    queries: Int32[Array, "tiles t"],
    codes: Int32[Array, "tiles t"],
    count: Int32[Array, ""],
    rows: Float32[Array, "n p"],
    database: Database,
    *,
    candidates: int,
    steps: int,
    block: int,
    euclidean: bool,
) -> Candidates:
    """Candidates of the first `count` tiles of query rows; what is returned of the rest is void.

    One call takes many tiles because memory is given back, and faulted in again, between calls.
    """

    def body(number, found):
        with jax.named_scope("propose"):
            mine = queries[number]
            values, ids, limits = propose(
                database.left[mine],
                codes[number],
                database,
                candidates=candidates,
                steps=steps,
                block=block,
            )
        with jax.named_scope("decide"):
            keys = _keys(rows, mine, ids, euclidean=euclidean)
            keys = jnp.where(values == -jnp.inf, -jnp.inf, keys)
        tile = Candidates(ids, keys, limits)
        return jax.tree.map(lambda whole, part: whole.at[number].set(part), found, tile)

    shape = (*queries.shape, candidates)
    first = Candidates(
        jnp.zeros(shape, jnp.int32), jnp.zeros(shape), jnp.zeros(queries.shape, jnp.float32)
    )
    found = jax.lax.fori_loop(0, count, body, first)
    return jax.tree.map(lambda part: part.reshape(-1, *part.shape[2:]), found)


def _keys(rows, queries, ids, *, euclidean: bool):
    def some(part):
        mine, others = part
        x = rows[mine][:, None, :]
        y = jax.lax.optimization_barrier(rows.at[others].get(mode="promise_in_bounds"))
        if euclidean:
            return -ordering.squared_distances(x, y)
        return ordering.inner_products(x, y)

    t, c = ids.shape
    parts = queries.reshape(-1, GATHER_ROWS), ids.reshape(-1, GATHER_ROWS, c)
    return jax.lax.map(some, parts).reshape(t, c)


def nearest_first(
    keys: Float64[np.ndarray, "t c"], ids: Int[np.ndarray, "t c"], count: int
) -> tuple[Float64[np.ndarray, "t k"], Int[np.ndarray, "t k"]]:
    """The `count` best by (key descending, id ascending): the order of all neighbor lists."""
    order = np.argsort(-keys, axis=1)
    best = np.take_along_axis(keys, order, axis=1)
    ids = np.take_along_axis(ids, order, axis=1)
    # Equal keys are few: only their rows are sorted again, by id within key.
    tied = np.flatnonzero((best[:, 1:] == best[:, :-1]).any(axis=1))
    if len(tied):
        again = np.lexsort((ids[tied], -best[tied]), axis=1)
        ids[tied] = np.take_along_axis(ids[tied], again, axis=1)
    return best[:, :count], ids[:, :count]


def certain_rows(
    kth: Float64[np.ndarray, " t"],
    limits: Float32[np.ndarray, " t"],
    bounds: Bounds,
    queries: Int[np.ndarray, " t"],
    *,
    euclidean: bool,
) -> Bool[np.ndarray, " t"]:
    """Rows whose k-th ordering value beats everything that was not proposed, beyond all error."""
    shift = bounds.shifts[queries]
    value = (shift + kth) / 2 if euclidean else kth - shift
    return (limits == -np.inf) | (value > limits + bounds.errors[queries])
