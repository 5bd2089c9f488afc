"""Where the edges of one neighbor graph occur in another: the one comparison all metrics read.

Two paths give the same integers. Short lists are compared entry by entry, n·k² comparisons that
compilers vectorize. Long lists go through a table of row × id in O(n·k): the positions of one list
are written, those of the other read.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, Float64, Int32

from jaxalign.pairwise.edges import GraphStatistics

# Longest lists that are compared entry by entry: at k = 25 that takes 3 ms of one core and the
# table 4 (n = 20,480), at k = 100 it takes 500 ms, for the inner loop is no longer unrolled.
COMPARED = 32
_TABLE = 1 << 18  # entries of the table, about: 1 MB stays in a core's own cache
_LEAST_ROWS = 8


class SharedEdges(NamedTuple):
    """Where the edges of graph a occur in graph b: computed once a pair, read by every metric.

    Attributes:
      position: position of a's neighbor in b's list of the same row, −1 where it is not in it.
      shared: whether the edge is one of b too.
      centered: K̄_ij of b on the shared edges, 0 elsewhere.
      mutual: whether the edge and its reverse are edges of both graphs.
    """

    position: Int32[Array, "n k"]
    shared: Bool[Array, "n k"]
    centered: Float32[Array, "n k"]
    mutual: Bool[Array, "n k"]


def shared_edges(a: GraphStatistics, b: GraphStatistics) -> SharedEdges:
    """Compares the lists of two graphs over the same structures; traced under float64."""
    find = compared_positions if a.ids.shape[-1] <= COMPARED else tabled_positions
    # Barriers: what several terms read would else be computed anew inside each of their loops.
    position = jax.lax.optimization_barrier(find(a.ids, b.ids))
    shared = position >= 0
    centered = jnp.where(shared, _along_rows(b.centered, position), jnp.float32(0))
    mutual = shared & (a.reverse >= 0) & (_along_rows(b.reverse, position) >= 0)
    return SharedEdges(
        position,
        shared,
        jax.lax.optimization_barrier(centered),
        jax.lax.optimization_barrier(mutual),
    )


def compared_positions(a: Int32[Array, "n k"], b: Int32[Array, "n k"]) -> Int32[Array, "n k"]:
    """Position of every a[i, ·] in b[i, :], or −1: every entry against every other."""
    same = a[:, :, None] == b[:, None, :]
    numbers = jnp.arange(b.shape[-1], dtype=jnp.int32)[None, None, :]
    return jnp.where(same, numbers, jnp.int32(-1)).max(-1)


def tabled_positions(a: Int32[Array, "n k"], b: Int32[Array, "n k"]) -> Int32[Array, "n k"]:
    """Position of every a[i, ·] in b[i, :], or −1: a table of a few rows × all n ids, written over.

    Entries carry the number of their tile, so that those of earlier tiles count as absent and the
    table is never cleared.
    """
    n, k = a.shape
    rows = min(n, max(_LEAST_ROWS, _TABLE // n))
    tiles = -(-n // rows)
    a, b = (jnp.pad(ids, ((0, tiles * rows - n), (0, 0))).reshape(tiles, rows, k) for ids in (a, b))
    row = jnp.arange(rows, dtype=jnp.int32)[:, None]
    numbers = jnp.arange(k, dtype=jnp.int32)[None, :]

    def tile(table, step):
        start, ours, theirs = step
        table = table.at[row, theirs].set(start + numbers, mode="promise_in_bounds")
        found = table.at[row, ours].get(mode="promise_in_bounds")
        return table, jnp.maximum(found - start, -1)

    starts = jnp.arange(tiles, dtype=jnp.int32) * k
    _, found = jax.lax.scan(tile, jnp.full((rows, n), -1, jnp.int32), (starts, a, b))
    return found.reshape(tiles * rows, k)[:n]


def _along_rows(values: Array, position: Int32[Array, "n k"]) -> Array:
    """values[i, position[i, ·]]; anything where the position is −1."""
    n, k = values.shape
    # Flat, below 2³¹ edges: two-dimensional indices would be written out as int64, 16 bytes each.
    flat = jnp.arange(n, dtype=jnp.int32)[:, None] * k + jnp.maximum(position, 0)
    return values.ravel().at[flat].get(mode="promise_in_bounds")


def sum_edges(values: Float64[Array, "n k"]) -> Float64[Array, " n"]:
    """Row sums as a matrix-vector product: XLA's own reductions of rows are slow on CPUs."""
    return values @ jnp.ones(values.shape[-1], jnp.float64)
