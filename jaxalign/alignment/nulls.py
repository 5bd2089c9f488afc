"""Closed-form nulls of the scores of all pairs: six numbers a model, O(1) a pair.

A null belongs to one score: what it would be if the structures of the second model were relabelled
at random. Scores are linear in the term of the pair, so its moments become the score's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxalign.alignment.plan import GraphSettings, MetricPlan
from jaxalign.alignment.resume import content_key
from jaxalign.alignment.state import Pair, State, pairs
from jaxalign.metrics._definition import GraphMetric, Outcome
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.significance.moments import (
    CenteredMoments,
    MatrixMoments,
    PermutationMoments,
    centered_pair,
    edge_moments,
    permutation_moments,
    symmetric_moments,
)
from jaxalign.significance.rank_moments import SAMPLE, rank_moments
from jaxalign.structures.structure import draw_rows


class Null(NamedTuple):
    """The scores of independent representations.

    Attributes:
      mean: expected score.
      sd: its standard deviation.
      tail: `"normal"` or `"quadratic"`: which bound gives the p-value, see `significance.p_values`.
    """

    mean: float
    sd: float
    tail: str


def graph_nulls(
    state: State, settings: GraphSettings, k: int, plans: Sequence[MetricPlan], terms: Mapping
) -> None:
    """Nulls of graph metrics whose term is a sum over shared edges.

    Args:
      state: gains `nulls`.
      settings: of the graphs.
      k: neighbors.
      plans: metrics over these graphs.
      terms: metric id → Γ by pair.
    """
    if state.inputs.groups is not None:
        return  # relabelling would pair rows that the search kept apart
    for plan in plans:
        metric = plan.metric
        if metric.weights is None:
            continue
        found = _by_model(
            state,
            f"null-{metric.id}",
            {m.name: [state.graph_key(m, settings), k] for m in state.usable},
            lambda model, metric=metric: graph_moments(metric, state.graph(model, settings, k)),
        )
        gamma = terms[metric.id]
        for a, b in pairs(state.names, symmetric=metric.symmetric):
            own = gamma[a, a], gamma[b, b]
            moments = permutation_moments(found[a], found[b])

            def score(term: float, own=own, metric=metric) -> Outcome:
                return metric.score(term, *own, state.n, k)

            _note(state, plan, (a, b), _in_units_of_scores(moments, score, "normal"))


def graph_moments(metric: GraphMetric, graph: GraphStatistics) -> MatrixMoments:
    """The sums of one graph under the weights of a metric."""
    ids, reverse = np.asarray(graph.ids), np.asarray(graph.reverse)
    return edge_moments(ids, reverse, np.asarray(metric.weights(graph), np.float64))


def gram_nulls(state: State, plan: MetricPlan, column: int, found: Mapping[Pair, list]) -> None:
    """Nulls of one Gram metric.

    Args:
      state: gains `nulls`.
      plan: the metric.
      column: place of its statistic in the terms.
      found: terms of all pairs, see `gram_scores`; those of a model with itself end with its
        `RowSums`.
    """
    statistic = plan.metric.statistic
    for a, b in pairs(state.names, symmetric=True):
        own = found[a, a][column], found[b, b][column]
        if not min(own) > 0:
            continue
        facts = [_GRAM_MOMENTS[statistic](state.n, found[m, m]) for m in (a, b)]
        of_pair = centered_pair if statistic == "biased" else permutation_moments
        moments = of_pair(*facts)
        if statistic == "pairs":  # over i < j alone
            moments = PermutationMoments(moments.mean / 2, moments.sd / 2)

        def score(term: float, own=own) -> Outcome:
            return plan.metric.score(term, *own, state.n)

        _note(state, plan, (a, b), _in_units_of_scores(moments, score, "quadratic"))


_GRAM_MOMENTS: Mapping[str, Callable[[int, list], MatrixMoments | CenteredMoments]] = {
    "biased": lambda n, own: CenteredMoments(n, own[4], own[0], own[5]),
    "debiased": lambda n, own: symmetric_moments(n, squares=own[1], row_squares=0.0),
    "pairs": lambda n, own: symmetric_moments(n, squares=2 * own[2], row_squares=own[6]),
}


def rank_nulls(state: State, settings: GraphSettings, plans: Sequence[MetricPlan]) -> None:
    """Nulls of rank metrics; their standard deviation is of a sample of structures.

    Args:
      state: gains `nulls`.
      settings: of the graphs.
      plans: metrics over them.
    """
    if state.inputs.groups is not None:
        return
    rows = draw_rows(state.n, n=min(state.n, SAMPLE), seed=state.seed)
    ranks = _by_model(
        state,
        "null-ranks",
        {m.name: [state.rows_key(m, settings.normalize), state.seed] for m in state.usable},
        lambda model: rank_moments(state.rows(model, settings.normalize).take(rows), state.n),
    )
    for plan in plans:
        masks = _by_model(
            state,
            "null-neighbors",
            {m.name: [state.graph_key(m, settings), plan.k] for m in state.usable},
            lambda model, k=plan.k: _mask_moments(state.graph(model, settings, k)),
        )
        for a, b in pairs(state.names, symmetric=False):
            moments = permutation_moments(masks[a], ranks[b])

            def score(term: float, plan=plan) -> Outcome:
                return plan.metric.score(term, state.n, plan.k)

            _note(state, plan, (a, b), _in_units_of_scores(moments, score, "normal"))


def _mask_moments(graph: GraphStatistics) -> MatrixMoments:
    ids = np.asarray(graph.ids)
    return edge_moments(ids, np.asarray(graph.reverse), np.ones(ids.shape))


def _by_model(
    state: State, kind: str, keys: Mapping[str, list], compute: Callable[..., MatrixMoments]
) -> dict[str, MatrixMoments]:
    """Sums of every usable model, from the store or computed."""
    found, fresh = {}, {}
    for model in state.usable:
        key = content_key(kind=kind, parts=keys[model.name])
        stored = state.values.get(kind, key)
        if stored is None:
            stored = fresh[key] = list(compute(model))
        found[model.name] = MatrixMoments(*stored)
    state.values.update(kind, fresh)
    return found


def _in_units_of_scores(
    moments: PermutationMoments, score: Callable[[float], Outcome], tail: str
) -> Null:
    mean = score(moments.mean)[0]
    return Null(mean, score(moments.mean + moments.sd)[0] - mean, tail)


def _note(state: State, plan: MetricPlan, pair: Pair, null: Null) -> None:
    if pair[0] != pair[1] and math.isfinite(null.mean) and null.sd > 0:
        state.nulls[plan, *pair] = null
