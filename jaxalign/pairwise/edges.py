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
from jaxtyping import Array, Float32, Float64, Int, Int32

_ROWS = 128  # rows gathered at once: bounds memory at rows · k · d


class GraphStatistics(NamedTuple):
    """One model's neighbor graph and the values on its edges: O(n·k), free of the embeddings.

    Lists are sorted, so the first k' columns are the graph of every smaller k'.

    Attributes:
      ids: neighbor ids, nearest first.
      reverse: position of i in the list of ids[i, a], or −1 if i is not in it; int16 where k fits.
      centered: K̄_ij on the edges.
      scores: ordering scores as `neighbors` gives them (Euclidean: distances). No pair reads them.
      means: m_i = mean over all l (l = i included) of K_il.
    """

    ids: Int32[np.ndarray, "*models n k"] | Int32[Array, "*models n k"]
    reverse: Int[np.ndarray, "*models n k"] | Int[Array, "*models n k"]
    centered: Float32[np.ndarray, "*models n k"] | Float32[Array, "*models n k"]
    scores: Float32[np.ndarray, "*models n k"] | Float32[Array, "*models n k"]
    means: Float64[np.ndarray, "*models n"] | Float64[Array, "*models n"]

    def first(self, k: int) -> GraphStatistics:
        """The graph of the k nearest neighbors; k at most the stored number."""
        if k == self.ids.shape[-1]:
            return self
        ids, reverse, centered, scores = (part[..., :k] for part in self[:4])
        where = np.where if isinstance(reverse, np.ndarray) else jnp.where
        known = where(reverse < k, reverse, reverse.dtype.type(-1))
        return GraphStatistics(ids, known, centered, scores, self.means)


def graph_statistics(
    rows: Float32[np.ndarray, "n d"],
    ids: Int32[np.ndarray, "n k"],
    scores: Float32[np.ndarray, "n k"],
) -> GraphStatistics:
    """Edge values and reverse positions of a graph over the given (normalized) rows.

    Args:
      rows: the stored rows the graph was built from.
      ids: neighbor ids, nearest first.
      scores: ordering scores of the same neighbors.

    Returns:
      `GraphStatistics` on the host; sums are taken in float64.
    """
    with jax.enable_x64(True):
        centered, means = map(np.asarray, _edge_values(jnp.asarray(rows), jnp.asarray(ids)))
    return GraphStatistics(ids, _reverse_positions(ids), centered, scores, means)


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


def _reverse_positions(ids: Int32[np.ndarray, "n k"]) -> Int[np.ndarray, "n k"]:
    """Position of i in the list of its neighbor, by sorting the undirected edges.

    The host sorts: 0.05 s for 512,000 edges on one core, whatever k, where comparing lists costs
    n·k² and XLA's sort on the CPU is slower than either.
    """
    n, k = ids.shape
    sources = np.repeat(np.arange(n), k)
    targets = ids.ravel().astype(np.int64)
    low, high = np.minimum(sources, targets), np.maximum(sources, targets)
    # An edge and its reverse differ in the last bit alone, so they are sorted side by side.
    keys = 2 * (low * n + high) + (sources > targets)
    order = np.argsort(keys)
    keys = keys[order]
    first = np.flatnonzero((keys[1:] == keys[:-1] + 1) & (keys[:-1] % 2 == 0))
    one, other = order[first], order[first + 1]
    reverse = np.full(n * k, -1, np.int16 if k <= np.iinfo(np.int16).max else np.int32)
    reverse[one], reverse[other] = other % k, one % k
    return reverse.reshape(n, k)
