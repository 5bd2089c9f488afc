"""Contributions of structures to the scores of a result: finds the graphs and rows they need."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from jaxalign.alignment.plan import GraphSettings
from jaxalign.alignment.results import Alignment, ResultError
from jaxalign.analysis.precision.influences import edge_influence, gram_influences, rank_influence
from jaxalign.embeddings.sources import ModelRows, model_rows
from jaxalign.metrics._definition import GramMetric, GraphMetric, Metric, RankMetric
from jaxalign.metrics.registry import metric_definition
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.significance.paired import Influence

Pair = tuple[str, str]


def score_influences(
    result: Alignment, metric: str, pairs: Sequence[Pair], k: int | None
) -> dict[Pair, Influence] | None:
    """Contributions of structures and edges to the scores of pairs of models.

    Args:
      result: scores, graphs and embeddings.
      metric: one of its metrics.
      pairs: ordered pairs of different models.
      k: which k; None for metrics without.

    Returns:
      Influences by pair; None for metrics that have none.

    Raises:
      ResultError: a graph, or the embeddings, are not at hand.
    """
    definition = metric_definition(metric)
    settings = result.diagnostics["metrics"][metric]
    if isinstance(definition, GraphMetric) and definition.weights is not None:
        graph = _graphs(result, settings, k)
        return {(a, b): edge_influence(definition, graph(a), graph(b)) for a, b in pairs}
    if isinstance(definition, RankMetric):
        graph = _graphs(result, settings, k)
        rows = _rows(result, definition, {b for _, b in pairs}, settings["normalization"])
        return {
            (a, b): rank_influence(definition, np.asarray(graph(a).ids), rows[b]) for a, b in pairs
        }
    if isinstance(definition, GramMetric):
        names = sorted(set(itertools.chain(*pairs)))
        rows = _rows(result, definition, names, settings["normalization"])
        numbers = [(names.index(a), names.index(b)) for a, b in pairs]
        seed = int(result.diagnostics["seed"])
        found = gram_influences(definition, [rows[name] for name in names], numbers, seed=seed)
        return dict(zip(pairs, found, strict=True))
    return None


def _graphs(
    result: Alignment, settings: Mapping[str, Any], k: int | None
) -> Callable[[str], GraphStatistics]:
    label = GraphSettings(settings["normalization"], settings["similarity"]).label

    def graph(name: str) -> GraphStatistics:
        key = result.diagnostics["graph_keys"].get(name, {}).get(label)
        found = key and result.graphs.get(key, k=k)
        if not found:
            raise ResultError(f"no stored neighbor graph of {name!r}; run align again")
        return found[0]

    return graph


def _rows(
    result: Alignment, definition: Metric, names: Collection[str], normalize: str
) -> dict[str, ModelRows]:
    if missing := sorted(set(names) - set(result.rows)):
        raise ResultError(
            f"differences of {definition.id} need the embeddings of {missing[:3]}, which a loaded "
            "result does not hold; call align with the embeddings and ask its result"
        )
    return {name: model_rows(result.rows[name], normalize) for name in names}
