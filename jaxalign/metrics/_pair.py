"""A single pair of arrays through the same statistics, terms and scores as the engine's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jaxalign.embeddings.sources import ModelRows, model_rows
from jaxalign.metrics._checks import check_pair
from jaxalign.metrics._definition import GraphMetric
from jaxalign.pairwise.diagnostics import row_diagnostics
from jaxalign.pairwise.edges import GraphStatistics, graph_statistics
from jaxalign.pairwise.graph_pairs import graph_pair_terms, stack_graphs
from jaxalign.pairwise.neighbors import neighbors_of_rows
from jaxalign.pairwise.ordering import scale_down, scale_exponent
from jaxalign.pairwise.row_blocks import largest_element, row_blocks
from jaxalign.parallel.mesh import choose_mesh
from jaxalign.parallel.padding import row_shards
from jaxalign.types import Labels, Score

_EXTREME = 40  # binary exponent of the largest element beyond which rows are scaled


def model_graph(
    rows: ModelRows,
    *,
    k: int,
    similarity: str,
    groups: Labels | None = None,
    tile_size: int | None = None,
    progress: str | None = None,
    mesh: Mesh | None = None,
    gather: bool | None = None,
) -> tuple[GraphStatistics, dict]:
    """Per-model statistics of all graph metrics, and the diagnostics that travel with them.

    Args:
      rows: normalized rows of one model; the graph is built on these float32 numbers.
      k: neighbors per row.
      similarity: ordering of neighbors.
      groups: see `jaxalign.neighbors`.
      tile_size: see `jaxalign.neighbors`.
      progress: see `jaxalign.neighbors`.
      mesh: devices that work; None means the default. Of several processes, all must call this;
        each reads the rows of its own devices, and ends with the whole graph.
      gather: hold all rows on every device, or pass them round; None chooses by memory.

    Returns:
      Graph statistics and a dictionary of diagnostics. Rows beyond 2^±40 are divided by a power of
      two, which `scale_exponent` states: edge values and scores are of the scaled rows.
    """
    mesh = choose_mesh(mesh, rows.n)
    values = row_blocks(rows).kept(*row_shards(rows.n, mesh).of_process(mesh))
    # Scores do not depend on one scale for all rows, but edge values must fit into float32.
    exponent = scale_exponent(largest_element(values))
    exponent = exponent if abs(exponent) > _EXTREME else 0
    if exponent:
        values = values.changed(lambda block: scale_down(block, exponent))
    found = neighbors_of_rows(
        values,
        k=k,
        similarity=similarity,
        groups=groups,
        tile_size=tile_size,
        progress=progress,
        mesh=mesh,
        gather=gather,
    )
    diagnostics = row_diagnostics(values) | _hubness(found.indices) | dict(found.diagnostics)
    diagnostics |= {"scale_exponent": exponent} if exponent else {}
    graph = graph_statistics(values, found.indices, found.scores, mesh=mesh, gather=gather)
    return graph, diagnostics


def degenerate(diagnostics: Mapping[str, Any]) -> str:
    """Why a model has no neighbors to speak of; "" if it has."""
    if diagnostics["duplicate_groups"] == 1 and diagnostics["duplicate_rows"] == diagnostics["n"]:
        return "all rows are equal: no structure is nearer to another than the rest"
    return ""


def _hubness(ids) -> dict[str, float]:
    """Skewness of the k-occurrence and the share of rows that are nobody's neighbor."""
    counts = np.bincount(ids.ravel(), minlength=len(ids)).astype(np.float64)
    centered = counts - counts.mean()
    spread = counts.std()
    skewness = float((centered**3).mean() / spread**3) if spread > 0 else 0.0
    return {"hubness_skewness": skewness, "antihub_share": float((counts == 0).mean())}


def pair_score(
    metric: GraphMetric, x, y, *, k: int, normalize: str | None, similarity: str | None = None
) -> Score:
    """Score of one pair of arrays; checks first, then the path that the engine takes too.

    Args:
      metric: definition of the metric.
      x: `[n, dx]` embeddings.
      y: `[n, dy]` embeddings.
      k: neighbors per structure.
      normalize: row normalization; None means the metric's default.
      similarity: ordering of neighbors; None means the metric's default.

    Returns:
      Score with diagnostics.

    Raises:
      ValueError: see `check_pair`.
    """
    x, y = check_pair(metric, x, y, k=k)
    normalize = normalize or metric.default_normalize
    similarity = similarity or metric.similarity
    graphs, sides = [], {}
    for name, side in (("x", x), ("y", y)):
        graph, seen = model_graph(model_rows(side, normalize), k=int(k), similarity=similarity)
        graphs.append(graph)
        sides[name] = seen | {"dtype": str(side.dtype)}
    pairs = np.array([[0, 1], [0, 0], [1, 1]])
    terms = graph_pair_terms(stack_graphs(graphs), pairs, (metric.term,))
    value, reason = metric.score(*terms[:, 0].tolist(), len(x), int(k))
    for name, seen in sides.items():
        if blocked := degenerate(seen):
            value, reason = math.nan, f"{name}: {blocked}"
    diagnostics = {
        "n": len(x),
        "k": int(k),
        "normalization": normalize,
        "similarity": similarity,
        "variant": metric.variant,
        "precision": "float64 decides",
        **sides,
    }
    return Score(value, metric.id, diagnostics | ({"reason": reason} if reason else {}))
