"""Graph metrics: terms of pairs of neighbor graphs, all metrics of a pair at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from jax.sharding import Mesh

from jaxalign.alignment.nulls import graph_nulls
from jaxalign.alignment.plan import EDGE_BYTES, MAX_GRAPH_K, GraphSettings, MetricPlan
from jaxalign.alignment.resume import content_key
from jaxalign.alignment.state import Outcomes, Pair, State, block_pairs, covering, pick
from jaxalign.metrics._definition import GraphMetric
from jaxalign.pairwise.graph_pairs import graph_pair_terms, stack_graphs
from jaxalign.pairwise.thresholds import threshold_terms_of_several
from jaxalign.progress import Progress

_DECIDED = "float64 decides"
_PAIRS = 256  # pairs between two looks at the clock


def graph_scores(state: State, plans: Sequence[MetricPlan]) -> Outcomes:
    """Scores of all pairs of usable models."""
    groups: dict[tuple, list[MetricPlan]] = defaultdict(list)
    for plan in plans:
        groups[plan.normalize, plan.similarity, plan.k].append(plan)
        state.precision[plan] = _DECIDED
    outcomes: Outcomes = {}
    masked = _masked(state, {key: group for key, group in groups.items() if key[2] > MAX_GRAPH_K})
    for key, group in groups.items():
        normalize, similarity, k = key
        settings = GraphSettings(normalize, similarity)
        metrics = [plan.metric for plan in group]
        terms = masked[key] if key in masked else _listed(state, settings, k, metrics)
        if key not in masked:
            graph_nulls(state, settings, k, group, terms)
        for plan in group:
            gamma = terms[plan.metric.id]
            for a, b in state.pairs(symmetric=plan.metric.symmetric):
                sides = gamma[a, b], gamma[a, a], gamma[b, b]
                outcomes[plan, a, b] = plan.metric.score(*sides, state.n, k)
    return outcomes


def _keys(state: State, settings: GraphSettings, k: int, metric: GraphMetric) -> dict[Pair, str]:
    graphs = {m.name: state.graph_key(m, settings) for m in state.usable}
    keys = {}
    for a, b in state.pairs(symmetric=metric.symmetric):
        sides = [graphs[a], graphs[b]]
        # A symmetric term has one key whichever model comes first.
        sides = sorted(sides) if metric.symmetric else sides
        keys[a, b] = content_key(metric=metric.id, k=k, sides=sides)
    return keys


def _listed(
    state: State, settings: GraphSettings, k: int, metrics: Sequence[GraphMetric]
) -> dict[str, dict[Pair, float]]:
    """Γ of all pairs from neighbor lists; only what has no stored value is computed."""
    keys = {metric.id: _keys(state, settings, k, metric) for metric in metrics}
    terms, wanted = {}, defaultdict(list)
    for metric in metrics:
        terms[metric.id], missing = state.stored(metric.id, keys[metric.id])
        for pair in missing:
            wanted[pair].append(metric)
    with Progress(
        f"graph metrics, k = {k}", total=len(wanted), unit="pairs", enabled=state.progress
    ) as shown:
        for metric_ids, found, values in _computed(state, settings, k, wanted):
            for name, column in zip(metric_ids, values.T, strict=True):
                fresh = dict(zip(found, column.tolist(), strict=True))
                terms[name] |= fresh
                stored = {keys[name][pair]: value for pair, value in fresh.items()}
                state.values.update(name, stored, last=False)
            shown.advance(len(found))
    for metric in metrics:
        state.values.update(metric.id, {})
    return terms


def _computed(
    state: State, settings: GraphSettings, k: int, wanted: dict[Pair, list[GraphMetric]]
) -> Iterator[tuple[list[str], list[Pair], np.ndarray]]:
    """Metric ids, some pairs, their terms `[pairs, metrics]`: until all that is wanted is there."""
    size = max(1, state.memory_budget // (2 * _graph_bytes(state.n, k)))
    for first, second in block_pairs(len(state.usable), size) if wanted else ():
        inside = _between(state, first, second)
        part = {pair: wanted[pair] for pair in inside if pair in wanted}
        if not part:
            continue
        members = sorted({*first, *second})
        stacked = stack_graphs([state.graph(state.usable[i], settings, k) for i in members])
        place = {state.names[i]: row for row, i in enumerate(members)}
        for metrics, found in _by_metrics(part):
            for start in range(0, len(found), _PAIRS):
                some = found[start : start + _PAIRS]
                values = _compute(stacked, place, some, metrics, state.mesh)
                yield [metric.id for metric in metrics], some, values


def _graph_bytes(n: int, k: int) -> int:
    """Of one graph as it is read, and stacked without its scores beside that."""
    return n * (k * (EDGE_BYTES + 10) + 16)


def _between(state: State, first: Sequence[int], second: Sequence[int]) -> set[Pair]:
    """Ordered pairs of two blocks of models, in both orders."""
    ab = {(state.names[i], state.names[j]) for i in first for j in second}
    return ab | {(b, a) for a, b in ab}


def _by_metrics(wanted: dict[Pair, list[GraphMetric]]):
    """Pairs grouped by the metrics that miss them: two graphs are compared once for all of these.

    Sorted, so that the first graph of consecutive pairs stays the same.
    """
    groups: dict[tuple, tuple[list, list]] = {}
    for pair, metrics in wanted.items():
        entry = groups.setdefault(tuple(m.id for m in metrics), (metrics, []))
        entry[1].append(pair)
    for metrics, found in groups.values():
        yield metrics, sorted(found)


def _compute(
    stacked, place, found: Sequence[Pair], metrics: Sequence[GraphMetric], mesh: Mesh
) -> np.ndarray:
    rows = np.array([[place[a], place[b]] for a, b in found], np.int32)
    return graph_pair_terms(stacked, rows, tuple(metric.term for metric in metrics), mesh=mesh)


def _masked(state: State, groups: dict[tuple, list[MetricPlan]]) -> dict[tuple, dict]:
    """Γ of all pairs for k beyond any graph: masks from thresholds, products of masked tiles.

    One sweep serves all k of the same rows.
    """
    terms, keys, missing = {}, {}, defaultdict(set)
    for key, plans in groups.items():
        normalize, similarity, k = key
        settings, terms[key], keys[key] = GraphSettings(normalize, similarity), {}, {}
        for metric in (plan.metric for plan in plans):
            keys[key][metric] = _keys(state, settings, k, metric)
            terms[key][metric.id], absent = state.stored(metric.id, keys[key][metric])
            missing[normalize, similarity].update(absent)
    for (normalize, similarity), absent in missing.items():
        if not absent:
            continue
        new = covering(sorted(absent), state.names)
        mine = [key for key in groups if key[:2] == (normalize, similarity)]
        found = threshold_terms_of_several(
            [state.rows(m, normalize) for m in state.usable],
            ks=[k for *_, k in mine],
            similarity=similarity,
            groups=state.inputs.groups,
            new=new,
            tile_size=state.tile_size,
            memory_budget=state.memory_budget,
            progress=state.label("graph metrics of large k"),
            mesh=state.mesh,
        )
        state.count_sweep(len(new) * len(state.usable))
        for key in mine:
            for metric, stored in keys[key].items():
                values = getattr(found[key[2]], metric.beyond)
                fresh = pick(values, new, state.names, [p for p in stored if p in absent])
                terms[key][metric.id] |= fresh
                state.values.update(metric.id, {stored[p]: v for p, v in fresh.items()})
    return terms
