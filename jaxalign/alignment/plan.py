"""What is to be computed: metrics with their settings, and the graphs that serve them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxalign.embeddings.preprocess import NORMALIZATIONS
from jaxalign.metrics._checks import check_n
from jaxalign.metrics._definition import GraphMetric, Metric, ModelMetric
from jaxalign.metrics.registry import metric_definition
from jaxalign.pairwise.search_arguments import SIMILARITIES
from jaxalign.validation import check_k

MAX_GRAPH_K = 512
"""Neighbors that a stored graph can hold; larger k go by thresholds, where a metric has that."""

EDGE_BYTES = 14
"""Of a stored graph: int32 id, int16 reverse position, float32 value and score."""


@dataclasses.dataclass(frozen=True)
class GraphSettings:
    """What decides a neighbor graph apart from its rows and its size."""

    normalize: str
    similarity: str

    @property
    def label(self) -> str:
        """Name under which diagnostics and stored keys of this graph are found."""
        return f"{self.normalize}/{self.similarity}"


@dataclasses.dataclass(frozen=True)
class MetricPlan:
    """One metric with every setting resolved.

    Attributes:
      metric: definition.
      k: neighbors, or None for metrics without.
      normalize: row normalization.
      similarity: ordering of neighbors, or None for metrics that read no neighbors.
    """

    metric: Metric
    k: int | None
    normalize: str
    similarity: str | None

    @property
    def graph(self) -> GraphSettings | None:
        """The neighbor graph that serves it; None if there is none, or k is beyond any graph."""
        if self.similarity is None or self.k is None or self.k > MAX_GRAPH_K:
            return None
        return GraphSettings(self.normalize, self.similarity)


def plan_metrics(
    metrics: Sequence[str],
    *,
    k: int | Sequence[int] | Mapping[str, Any] | None,
    normalize: str | None,
    n: int,
    similarity: str | None = None,
) -> tuple[MetricPlan, ...]:
    """Resolves defaults and checks every setting before anything is computed.

    Args:
      metrics: metric ids.
      k: None for each metric's default; one number, or several, for all metrics that compare
        neighbors; or metric id → number or numbers.
      normalize: row normalization of all metrics; None for each metric's default.
      n: number of structures.
      similarity: ordering of neighbors for metrics of neighbor graphs; None for each metric's own.

    Returns:
      One plan a metric and k.

    Raises:
      ValueError: unknown metric, normalization or similarity, a repeated metric, k or n out of
        range.
    """
    if isinstance(metrics, str):
        raise ValueError(f"metrics must be a sequence of ids: got {metrics!r}; pass ({metrics!r},)")
    if not metrics or len(set(metrics)) < len(metrics):
        raise ValueError(f"metrics must name each metric once, and at least one: got {metrics}")
    if normalize is not None and normalize not in NORMALIZATIONS:
        raise ValueError(f"unknown normalization {normalize!r}: choose one of {NORMALIZATIONS}")
    normalize, similarity = _resolve_similarity(normalize, similarity)
    definitions = [metric_definition(name) for name in metrics]
    if isinstance(k, Mapping) and (unknown := set(k) - set(metrics)):
        raise ValueError(f"k names metrics that are not computed: {sorted(unknown)}")
    plans = tuple(
        MetricPlan(metric, chosen, normalize or metric.default_normalize, order)
        for metric in definitions
        for chosen in _chosen(metric, k, n)
        for order in (_ordering(metric, similarity),)
    )
    for plan in plans:
        if plan.similarity == "euclidean" and plan.k is not None and plan.k > MAX_GRAPH_K:
            raise ValueError(
                f"{plan.metric.id}: k beyond {MAX_GRAPH_K} needs similarity 'inner' or 'cosine': "
                f"got k={plan.k} with 'euclidean'"
            )
    return plans


def graph_sizes(plans: Sequence[MetricPlan]) -> dict[GraphSettings, int]:
    """The largest k each graph is asked for: one graph serves every smaller k."""
    sizes: dict[GraphSettings, int] = {}
    for plan in plans:
        if plan.graph is not None:
            sizes[plan.graph] = max(plan.k, sizes.get(plan.graph, 0))
    return sizes


def _resolve_similarity(normalize: str | None, similarity: str | None):
    if similarity is None or similarity in ("inner", "euclidean"):
        return normalize, similarity
    if similarity != "cosine":
        raise ValueError(f"unknown similarity {similarity!r}: choose one of {SIMILARITIES}")
    if normalize not in (None, "l2"):
        raise ValueError(
            f"similarity 'cosine' normalizes rows by 'l2': got normalize={normalize!r}; pass "
            "similarity='inner' to compare rows normalized otherwise"
        )
    return "l2", "inner"


def _ordering(metric: Metric, similarity: str | None) -> str | None:
    # Ranks and dimensions are defined by distances: the choice is for neighbor graphs alone.
    if isinstance(metric, GraphMetric) and similarity is not None:
        return similarity
    return getattr(metric, "similarity", None)


def _chosen(metric: Metric, k, n: int) -> tuple[int | None, ...]:
    check_n(metric, n)
    if metric.default_k is None:
        return (None,)
    if isinstance(k, Mapping):
        wanted = k.get(metric.id)
    else:  # k for all: of those that compare neighbors of two models
        wanted = None if isinstance(metric, ModelMetric) else k
    if wanted is None:
        wanted = metric.default_k
        if getattr(metric, "any_k", False):
            wanted = max(metric.least_k, min(wanted, n - 1))
    several = tuple(wanted) if isinstance(wanted, Sequence) else (wanted,)
    if not several or len(set(several)) < len(several):
        raise ValueError(f"{metric.id}: name each k once, and at least one: got k={wanted}")
    for one in several:
        try:
            check_k(one, n, least=metric.least_k)
        except ValueError as error:
            raise ValueError(f"{metric.id}: {error}") from None
        if one > MAX_GRAPH_K and not _reaches(metric):
            raise ValueError(
                f"{metric.id}: k must be at most {MAX_GRAPH_K}: got k={one}; mutual_knn and cknna "
                "have no such limit"
            )
    return tuple(int(one) for one in several)


def _reaches(metric: Metric) -> bool:
    return isinstance(metric, GraphMetric) and metric.beyond is not None
