"""What is to be computed: metrics with their settings, and the graphs that serve them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from jaxalign.embeddings.preprocess import NORMALIZATIONS
from jaxalign.metrics._definition import GraphMetric
from jaxalign.metrics._checks import check_n
from jaxalign.metrics.registry import metric_definition
from jaxalign.validation import check_k


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
    """One metric with every setting resolved."""

    metric: GraphMetric
    k: int
    graph: GraphSettings


def plan_metrics(
    metrics: Sequence[str],
    *,
    k: int | Mapping[str, int] | None,
    normalize: str | None,
    n: int,
) -> tuple[MetricPlan, ...]:
    """Resolves defaults and checks every setting before anything is computed.

    Args:
      metrics: metric ids.
      k: None for each metric's default, one number for all, or metric id → number.
      normalize: row normalization of all metrics; None for each metric's default.
      n: number of structures.

    Raises:
      ValueError: unknown metric or normalization, a repeated metric, k or n out of range.
    """
    if isinstance(metrics, str):
        raise ValueError(f"metrics must be a sequence of ids: got {metrics!r}; pass ({metrics!r},)")
    if not metrics or len(set(metrics)) < len(metrics):
        raise ValueError(f"metrics must name each metric once, and at least one: got {metrics}")
    if normalize is not None and normalize not in NORMALIZATIONS:
        raise ValueError(f"unknown normalization {normalize!r}: choose one of {NORMALIZATIONS}")
    definitions = [metric_definition(name) for name in metrics]
    if isinstance(k, Mapping) and (unknown := set(k) - set(metrics)):
        raise ValueError(f"k names metrics that are not computed: {sorted(unknown)}")
    return tuple(_plan(metric, k, normalize, n) for metric in definitions)


def _plan(metric: GraphMetric, k, normalize: str | None, n: int) -> MetricPlan:
    chosen = k.get(metric.id) if isinstance(k, Mapping) else k
    chosen = metric.default_k if chosen is None else chosen
    check_n(metric, n)
    try:
        check_k(chosen, n, least=metric.least_k)
    except ValueError as error:
        raise ValueError(f"{metric.id}: {error}") from None
    settings = GraphSettings(normalize or metric.default_normalize, metric.similarity)
    return MetricPlan(metric, int(chosen), settings)


def graph_sizes(plans: Sequence[MetricPlan]) -> dict[GraphSettings, int]:
    """The largest k each graph is asked for: one graph serves every smaller k."""
    sizes: dict[GraphSettings, int] = {}
    for plan in plans:
        sizes[plan.graph] = max(plan.k, sizes.get(plan.graph, 0))
    return sizes
