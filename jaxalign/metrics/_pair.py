"""A single pair of arrays through the same statistics, terms and scores as the engine's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jaxalign.embeddings.sources import ModelRows, model_rows
from jaxalign.metrics._checks import check_pair
from jaxalign.metrics._definition import GraphMetric
from jaxalign.pairwise.diagnostics import row_diagnostics
from jaxalign.pairwise.edges import GraphStatistics, graph_statistics_of_models
from jaxalign.pairwise.graph_pairs import graph_pair_terms, stack_graphs
from jaxalign.pairwise.model_neighbors import neighbors_of_models
from jaxalign.pairwise.ordering import scale_down, scale_exponent
from jaxalign.pairwise.row_blocks import RowBlocks, largest_element, row_blocks
from jaxalign.parallel.columns import Column, deal, make_columns
from jaxalign.parallel.mesh import choose_mesh
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
    settings = {"k": k, "similarity": similarity, "groups": groups, "tile_size": tile_size}
    mesh = choose_mesh(mesh, rows.n)
    ((_, *found),) = model_graphs([rows], progress=progress, mesh=mesh, gather=gather, **settings)
    return tuple(found)


def model_graphs(
    models: Sequence[ModelRows],
    *,
    k: int,
    similarity: str,
    groups: Labels | None = None,
    tile_size: int | None = None,
    progress: str | None = None,
    mesh: Mesh,
    gather: bool | None = None,
) -> Iterator[tuple[int, GraphStatistics, dict]]:
    """`model_graph` of several models, as many at once as the mesh has columns.

    Args:
      models: normalized rows of every model, over the same structures.
      k: see `model_graph`.
      similarity: see `model_graph`.
      groups: see `model_graph`.
      tile_size: see `model_graph`.
      progress: see `model_graph`.
      mesh: devices that work, of `choose_columns`.
      gather: see `model_graph`.

    Yields:
      Number of the model, its graph and its diagnostics; models of similar width follow each other.
    """
    for numbers, grid in deal(mesh, [model.d for model in models]):
        columns = make_columns(grid, [models[number].n for number in numbers])
        values, exponents = zip(
            *(
                _moderate(models[number], column)
                for number, column in zip(numbers, columns, strict=True)
            ),
            strict=True,
        )
        found = neighbors_of_models(
            values,
            k=k,
            similarity=similarity,
            groups=groups,
            tile_size=tile_size,
            progress=progress,
            mesh=grid,
            gather=gather,
        )
        ids, scores = [each.indices for each in found], [each.scores for each in found]
        graphs = graph_statistics_of_models(values, ids, scores, mesh=grid, gather=gather)
        for number, rows, exponent, near, graph in zip(
            numbers, values, exponents, found, graphs, strict=True
        ):
            facts = row_diagnostics(rows) | _hubness(near.indices) | dict(near.diagnostics)
            yield number, graph, facts | ({"scale_exponent": exponent} if exponent else {})


def _moderate(model: ModelRows, column: Column) -> tuple[RowBlocks, int]:
    """Rows whose edge values fit into float32: scores do not depend on one scale for all rows."""
    values = row_blocks(model).kept(*column.kept)
    exponent = scale_exponent(largest_element(values))
    if abs(exponent) <= _EXTREME:
        return values, 0
    return values.changed(lambda block: scale_down(block, exponent)), exponent


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
