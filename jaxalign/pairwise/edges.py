"""Values on the edges of a neighbor graph: all that graph metrics need of the embeddings.

The centered value K̄_ij = x_i·(x_j − x̄) is stored, and the row mean m_i = x_i·x̄ beside it, so that
K_ij = K̄_ij + m_i. Stored the other way round, float32 would lose K̄ to cancellation on anisotropic
embeddings (mean cosine .998: K ≈ 1, K̄ ≈ 10⁻³).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Float64, Int32

_ROWS = 128  # rows gathered at once: bounds memory at rows · k · d


class GraphStatistics(NamedTuple):
    """One model's neighbor graph and the values on its edges: O(n·k), free of the embeddings.

    Lists are sorted, so the first k' columns are the graph of every smaller k'.

    Attributes:
      ids: neighbor ids, nearest first.
      reverse: position of i in the list of ids[i, a], or −1 if i is not in it.
      centered: K̄_ij on the edges.
      means: m_i = mean over all l (l = i included) of K_il.
    """

    ids: Int32[np.ndarray, "*models n k"] | Int32[Array, "*models n k"]
    reverse: Int32[np.ndarray, "*models n k"] | Int32[Array, "*models n k"]
    centered: Float32[np.ndarray, "*models n k"] | Float32[Array, "*models n k"]
    means: Float64[np.ndarray, "*models n"] | Float64[Array, "*models n"]

    def first(self, k: int) -> GraphStatistics:
        """The graph of the k nearest neighbors; k at most the stored number."""
        ids, reverse, centered = (part[..., :k] for part in self[:3])
        return GraphStatistics(ids, np.where(reverse < k, reverse, -1), centered, self.means)


class SharedEdges(NamedTuple):
    """Where the edges of graph a occur in graph b: computed once a pair, read by every metric.

    Attributes:
      shared: whether the edge is one of b too.
      centered: K̄_ij of b on the shared edges, 0 elsewhere.
      mutual: whether the edge and its reverse are edges of both graphs.
    """

    shared: Bool[Array, "n k"]
    centered: Float64[Array, "n k"]
    mutual: Bool[Array, "n k"]


def shared_edges(a: GraphStatistics, b: GraphStatistics) -> SharedEdges:
    """Compares the lists of two graphs over the same structures; traced under float64."""
    same = a.ids[:, :, None] == b.ids[:, None, :]
    centered = jnp.where(same, b.centered.astype(jnp.float64)[:, None, :], 0.0).sum(-1)
    back = (same & (b.reverse >= 0)[:, None, :]).any(-1)
    return SharedEdges(same.any(-1), centered, back & (a.reverse >= 0))


def graph_statistics(
    rows: Float32[np.ndarray, "n d"], ids: Int32[np.ndarray, "n k"]
) -> GraphStatistics:
    """Edge values and reverse positions of a graph over the given (normalized) rows.

    Args:
      rows: the stored rows the graph was built from.
      ids: neighbor ids, nearest first.

    Returns:
      `GraphStatistics` on the host; sums are taken in float64.
    """
    with jax.enable_x64(True):
        centered, means = _edge_values(jnp.asarray(rows), jnp.asarray(ids))
        reverse = _reverse_positions(jnp.asarray(ids))
        return GraphStatistics(ids, *map(np.asarray, (reverse, centered, means)))


@jax.jit
def _edge_values(
    rows: Float32[Array, "n d"], ids: Int32[Array, "n k"]
) -> tuple[Float32[Array, "n k"], Float64[Array, " n"]]:
    mean = rows.astype(jnp.float64).mean(0)

    def edges(row_and_ids):
        row, neighbors = row_and_ids
        x, others = row.astype(jnp.float64), rows[neighbors].astype(jnp.float64)
        return ((others - mean[None, :]) * x[None, :]).sum(-1), (x * mean).sum()

    centered, means = jax.lax.map(edges, (rows, ids), batch_size=_ROWS)
    return centered.astype(jnp.float32), means


@jax.jit
def _reverse_positions(ids: Int32[Array, "n k"]) -> Int32[Array, "n k"]:
    def positions(row_and_ids):
        row, neighbors = row_and_ids
        found = ids[neighbors] == row
        return jnp.where(found.any(-1), found.argmax(-1).astype(jnp.int32), jnp.int32(-1))

    rows = jnp.arange(ids.shape[0], dtype=jnp.int32)
    return jax.lax.map(positions, (rows, ids), batch_size=_ROWS)
