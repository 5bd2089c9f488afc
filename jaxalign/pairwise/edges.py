"""Values on the edges of a neighbor graph: all that graph metrics need of the embeddings.

The centered value K̄_ij = x_i·(x_j − x̄) is stored, and the row mean m_i = x_i·x̄ beside it, so that
K_ij = K̄_ij + m_i. Stored the other way round, float32 would lose K̄ to cancellation on anisotropic
embeddings (mean cosine .998: K ≈ 1, K̄ ≈ 10⁻³).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float32, Float64, Int, Int32

from jaxalign.pairwise.decide import GATHER_ROWS, pair_values
from jaxalign.pairwise.ordering import padded_width
from jaxalign.pairwise.row_blocks import RowBlocks, column_means, of_rows, row_blocks
from jaxalign.pairwise.search_plan import gathers
from jaxalign.parallel.columns import Column, make_columns, own_columns, place_columns
from jaxalign.parallel.mesh import ROWS, SPLIT, choose_mesh
from jaxalign.parallel.multihost import gather_rows
from jaxalign.parallel.ring import shard_index


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
    rows: Float32[np.ndarray, "n d"] | RowBlocks,
    ids: Int32[np.ndarray, "n k"],
    scores: Float32[np.ndarray, "n k"],
    *,
    mesh: Mesh | None = None,
    gather: bool | None = None,
) -> GraphStatistics:
    """Edge values and reverse positions of a graph over the given (normalized) rows.

    Args:
      rows: the stored rows the graph was built from; a process reads those of its own devices.
      ids: neighbor ids, nearest first; whole in every process.
      scores: ordering scores of the same neighbors.
      mesh: devices that work; None means the default.
      gather: hold all rows on every device, or pass them round; None chooses by memory.

    Returns:
      `GraphStatistics` on the host, whole in every process; sums are taken in float64.
    """
    rows = row_blocks(rows)
    mesh = choose_mesh(mesh, rows.n)
    (graph,) = graph_statistics_of_models([rows], [ids], [scores], mesh=mesh, gather=gather)
    return graph


def graph_statistics_of_models(
    models: Sequence[RowBlocks],
    ids: Sequence[Int32[np.ndarray, "n k"]],
    scores: Sequence[Float32[np.ndarray, "n k"]],
    *,
    mesh: Mesh,
    gather: bool | None = None,
) -> list[GraphStatistics]:
    """`graph_statistics` of several models at once, one on each column of the mesh."""
    columns = make_columns(mesh, [rows.n for rows in models], multiple=GATHER_ROWS)
    inner = _edge_products(models, ids, columns, gather=gather)
    graphs = []
    for rows, column, products, lists, values in zip(
        models, columns, inner, ids, scores, strict=True
    ):
        mean = column_means(rows)
        means = of_rows(
            rows, lambda block, mean=mean: np.einsum("id,d->i", block.astype(np.float64), mean)
        )
        start, stop = column.own
        # Exact products and float64 sums: of K̄, at 10⁻⁶ of K, ten digits are left.
        centered = gather_rows((products - means[start:stop, None]).astype(np.float32))
        graphs.append(GraphStatistics(lists, _reverse_positions(lists), centered, values, means))
    return graphs


def _edge_products(
    models: Sequence[RowBlocks], ids, columns: Sequence[Column], *, gather
) -> list[Float64[np.ndarray, "rows k"]]:
    """K on the edges of the rows of this process."""
    mesh, shards = columns[0].mesh, columns[0].shards
    d = max(rows.d for rows in models)
    if gather is None:
        gather = gathers(shards.padded, d, mesh)

    def padded(rows: RowBlocks):
        missing = padded_width(d) - rows.d
        return lambda a, b: np.pad(rows.read(a, b), ((0, 0), (0, missing)))

    values = place_columns([padded(rows) for rows in models], columns)
    placed = place_columns([lambda a, b, part=part: part[a:b] for part in ids], columns)
    with jax.enable_x64(True):
        found = _edge_program(mesh, shards.n, gather=gather)(values, placed)
        return own_columns(found, columns)


@functools.lru_cache
def _edge_program(mesh: Mesh, n: int, *, gather: bool):
    def local(rows, ids):
        first = shard_index(ROWS) * len(ids)
        own = jnp.arange(len(ids), dtype=jnp.int32)
        tiles = len(ids) // GATHER_ROWS
        valid = jnp.broadcast_to((first + own < n)[:, None], ids.shape)
        values = pair_values(
            rows,
            own.reshape(tiles, GATHER_ROWS),
            ids.reshape(tiles, GATHER_ROWS, -1),
            valid.reshape(tiles, GATHER_ROWS, -1),
            jnp.int32(tiles),
            euclidean=False,
            gather=gather,
        )
        return values.reshape(ids.shape)

    return jax.jit(jax.shard_map(local, mesh=mesh, in_specs=SPLIT, out_specs=SPLIT))


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
