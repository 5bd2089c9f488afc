"""All pairs of all models: per-model statistics once, then one pass a family of metrics.

No metric is known by name here: a plan's family decides which module evaluates it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from jaxalign.alignment.feature_scores import feature_scores
from jaxalign.alignment.gram_scores import gram_scores
from jaxalign.alignment.graph_scores import graph_scores
from jaxalign.alignment.model_scores import model_scores
from jaxalign.alignment.pair_rank_scores import pair_rank_scores
from jaxalign.alignment.plan import MetricPlan, graph_sizes
from jaxalign.alignment.rank_scores import rank_scores
from jaxalign.alignment.state import Outcomes, Pair, State, pairs
from jaxalign.metrics._definition import (
    FeatureMetric,
    GramMetric,
    GraphMetric,
    Metric,
    ModelMetric,
    PairRankMetric,
    RankMetric,
)
from jaxalign.metrics._pair import degenerate

_FAMILIES: dict[type[Metric], tuple[str, Callable[[State, Sequence[MetricPlan]], Outcomes]]] = {
    GraphMetric: ("graph metrics", graph_scores),
    GramMetric: ("gram metrics", gram_scores),
    RankMetric: ("rank metrics", rank_scores),
    PairRankMetric: ("ranked distances", pair_rank_scores),
    FeatureMetric: ("feature metrics", feature_scores),
    ModelMetric: ("model metrics", model_scores),
}


@dataclasses.dataclass(frozen=True)
class PairScore:
    """One score of one ordered pair of models; a = b where a metric is of single models."""

    plan: MetricPlan
    a: str
    b: str
    value: float
    reason: str


def run(state: State, plans: Sequence[MetricPlan]) -> list[PairScore]:
    """Scores of all pairs under all plans.

    Args:
      state: inputs, stored work and settings; gains diagnostics, counts and timings.
      plans: metrics with their settings.

    Returns:
      Scores in the order of the plans; models that cannot be scored are NaN with a reason.
    """
    with state.timed("neighbors"):
        for settings, k in graph_sizes(plans).items():
            state.build_graphs(settings, k)
    with state.timed("rows"):
        for normalize in dict.fromkeys(plan.normalize for plan in plans):
            for model in state.usable:
                state.inspect(model, normalize)
    found = outcomes(state, plans)
    return [score for plan in plans for score in _collect(state, plan, found)]


def outcomes(state: State, plans: Sequence[MetricPlan]) -> Outcomes:
    """Scores with reasons of all pairs of usable models; their graphs are built."""
    found: Outcomes = {}
    for family, (stage, scores) in _FAMILIES.items():
        mine = [plan for plan in plans if isinstance(plan.metric, family)]
        if mine and state.usable:
            with state.timed(stage):
                found |= scores(state, mine)
    return found


def _collect(state: State, plan: MetricPlan, found: Outcomes) -> list[PairScore]:
    reasons = {m.name: m.reason or _equal_rows(state, plan, m.name) for m in state.inputs.models}
    scores = []
    for a, b in cells(plan.metric, list(reasons)):
        if blocked := reasons[a] or reasons[b]:
            culprit = a if reasons[a] else b
            scores.append(PairScore(plan, a, b, math.nan, f"{culprit}: {blocked}"))
        else:
            scores.append(PairScore(plan, a, b, *found[plan, a, b]))
    return scores


def cells(metric: Metric, names: list[str]) -> list[Pair]:
    """The pairs that a metric scores, in the order of the table."""
    if isinstance(metric, ModelMetric):
        return [(name, name) for name in names]
    return pairs(names, symmetric=metric.symmetric)


def _equal_rows(state: State, plan: MetricPlan, name: str) -> str:
    seen = state.model_diagnostics[name]
    return degenerate(next(v for k, v in seen.items() if k.split("/")[0] == plan.normalize))
