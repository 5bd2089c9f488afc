"""Closed-form nulls of the scores of all pairs: some thirty numbers a model, O(1) a pair.

A null belongs to one score: what it would be if the structures of the second model were relabelled
at random. Scores are linear in the term of the pair, so its moments become the score's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from jaxalign.alignment.inputs import ModelInput
from jaxalign.alignment.plan import GraphSettings, MetricPlan
from jaxalign.alignment.resume import content_key
from jaxalign.alignment.state import Pair, State, is_tied
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
from jaxalign.significance.skewness import edge_triples, third_moment
from jaxalign.structures.structure import draw_rows


class Null(NamedTuple):
    """The scores of independent representations.

    Attributes:
      mean: expected score.
      sd: its standard deviation.
      tail: `"gamma"` (of the null's skewness) or `"quadratic"`: what gives the p-value.
      skewness: of the score, for the gamma tail.
      step: standard deviations between two neighboring values of a score that counts, else 0.
    """

    mean: float
    sd: float
    tail: str
    skewness: float = 0.0
    step: float = 0.0


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
    if state.nulls is None or state.inputs.groups is not None:
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
        triples = _triples(state, settings, k, metric)
        step = 1.0 if _counts(state, settings, k, metric) else 0.0
        for a, b in _untied(state, settings, symmetric=metric.symmetric):
            own = gamma[a, a], gamma[b, b]
            moments = permutation_moments(found[a], found[b])
            shape = _shape(moments, third_moment(state.n, triples[a], triples[b]), step=step)

            def score(term: float, own=own, metric=metric) -> Outcome:
                return metric.score(term, *own, state.n, k)

            _note(state, plan, (a, b), _in_units_of_scores(moments, score, "gamma", *shape))


def _untied(state: State, settings: GraphSettings, *, symmetric: bool) -> list[Pair]:
    """Pairs without those in which both models break many ties, by row number, in one way."""
    tied = {name for name in state.names if is_tied(state, name, settings)}
    return [pair for pair in state.pairs(symmetric=symmetric) if not tied.issuperset(pair)]


def graph_moments(metric: GraphMetric, graph: GraphStatistics) -> MatrixMoments:
    """The sums of one graph under the weights of a metric."""
    ids, reverse = np.asarray(graph.ids), np.asarray(graph.reverse)
    return edge_moments(ids, reverse, np.asarray(metric.weights(graph), np.float64))


def _triples(
    state: State, settings: GraphSettings, k: int, metric: GraphMetric
) -> dict[str, Float64[np.ndarray, " kinds"]]:
    """What the third moments of all pairs need of every graph."""

    def compute(model: ModelInput) -> list[float]:
        graph = state.graph(model, settings, k)
        weights = np.asarray(metric.weights(graph), np.float64)
        return edge_triples(np.asarray(graph.ids), np.asarray(graph.reverse), weights).tolist()

    keys = {m.name: [state.graph_key(m, settings), k] for m in state.usable}
    return _by_model(state, f"null-triples-{metric.id}", keys, compute, np.array)


def _counts(state: State, settings: GraphSettings, k: int, metric: GraphMetric) -> bool:
    """Whether Γ is a number of edges: then it has no values between integers."""
    graph = state.graph(state.usable[0], settings, k)
    return bool((np.asarray(metric.weights(graph)) == 1).all())


def _shape(moments: PermutationMoments, third: float, *, step: float) -> tuple[float, float]:
    """Skewness, and step in standard deviations; normal below six structures."""
    if not moments.sd > 0 or math.isnan(third):
        return 0.0, 0.0
    return third / moments.sd**3, step / moments.sd


def gram_nulls(state: State, plan: MetricPlan, column: int, found: Mapping[Pair, list]) -> None:
    """Nulls of one Gram metric.

    Args:
      state: gains `nulls`.
      plan: the metric.
      column: place of its statistic in the terms.
      found: terms of all pairs, see `gram_scores`; those of a model with itself end with its
        `RowSums`.
    """
    if state.nulls is None:
        return
    statistic = plan.metric.statistic
    for a, b in state.pairs(symmetric=True):
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
    if state.nulls is None or state.inputs.groups is not None:
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
        for a, b in _untied(state, settings, symmetric=False):
            moments = permutation_moments(masks[a], ranks[b])

            def score(term: float, plan=plan) -> Outcome:
                return plan.metric.score(term, state.n, plan.k)

            # Of ranks among all structures: skewness is too small to matter.
            _note(state, plan, (a, b), _in_units_of_scores(moments, score, "gamma"))


def _mask_moments(graph: GraphStatistics) -> MatrixMoments:
    ids = np.asarray(graph.ids)
    return edge_moments(ids, np.asarray(graph.reverse), np.ones(ids.shape))


def _by_model(
    state: State,
    kind: str,
    keys: Mapping[str, list],
    compute: Callable[..., Iterable[float]],
    restore: Callable[[list[float]], Any] = MatrixMoments._make,
) -> dict[str, Any]:
    """Sums of every usable model, from the store or computed."""
    found, fresh = {}, {}
    for model in state.usable:
        key = content_key(kind=kind, parts=keys[model.name])
        stored = state.values.get(kind, key)
        if stored is None:
            stored = fresh[key] = list(compute(model))
        found[model.name] = restore(stored)
    state.values.update(kind, fresh)
    return found


def _in_units_of_scores(
    moments: PermutationMoments,
    score: Callable[[float], Outcome],
    tail: str,
    skewness: float = 0.0,
    step: float = 0.0,
) -> Null:
    mean = score(moments.mean)[0]
    return Null(mean, score(moments.mean + moments.sd)[0] - mean, tail, skewness, step)


def _note(state: State, plan: MetricPlan, pair: Pair, null: Null) -> None:
    if pair[0] != pair[1] and math.isfinite(null.mean) and null.sd > 0:
        state.nulls[plan, *pair] = null
