"""Rank metrics: how one model ranks the other's neighbors, all ordered pairs in one sweep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from jaxalign.alignment.nulls import rank_nulls
from jaxalign.alignment.plan import GraphSettings, MetricPlan
from jaxalign.alignment.resume import content_key
from jaxalign.alignment.state import Outcomes, Pair, State, covering
from jaxalign.pairwise.ranks import rank_sums

_KIND = "ranks"


def rank_scores(state: State, plans: Sequence[MetricPlan]) -> Outcomes:
    """Scores of all ordered pairs of usable models."""
    groups: dict[GraphSettings, list[MetricPlan]] = defaultdict(list)
    for plan in plans:
        groups[plan.graph].append(plan)
        state.precision[plan] = "exact ranks"
    outcomes: Outcomes = {}
    for settings, group in groups.items():
        sums = _sums(state, settings, sorted({plan.k for plan in group}))
        for plan in group:
            for a, b in state.pairs(symmetric=False):
                outcome = plan.metric.score(sums[plan.k][a, b], state.n, plan.k)
                outcomes[plan, a, b] = outcome
        rank_nulls(state, settings, group)
    return outcomes


def _sums(state: State, settings: GraphSettings, ks: Sequence[int]) -> dict[int, dict[Pair, float]]:
    """Σ_i Σ_{j ∈ kNN_a(i)} rank_b(i, j) for every k: one sweep at the largest serves all."""
    graphs = {m.name: state.graph_key(m, settings) for m in state.usable}
    rows = {m.name: state.rows_key(m, settings.normalize) for m in state.usable}
    keys, sums, missing = {}, {}, set()
    for k in ks:
        keys[k] = {
            (a, b): content_key(k=k, neighbors=graphs[a], ranked_by=rows[b])
            for a, b in state.pairs(symmetric=False)
        }
        sums[k], absent = state.stored(_KIND, keys[k])
        missing.update(absent)
    if not missing:
        return sums
    new = covering(sorted(missing), state.names)
    found = rank_sums(
        [state.rows(m, settings.normalize) for m in state.usable],
        [state.neighbor_ids(m, settings, max(ks)) for m in state.usable],
        new=new,
        tile_size=state.tile_size,
        memory_budget=state.memory_budget,
        progress=state.label("ranks of all models"),
        mesh=state.mesh,
    ).cumsum(axis=-1)
    state.count_sweep(len(new) * len(state.usable))
    place = {name: i for i, name in enumerate(state.names)}
    for k in ks:
        fresh = {
            (a, b): float(found[place[a], place[b], k - 1]) for a, b in keys[k] if (a, b) in missing
        }
        sums[k] |= fresh
        state.values.update(_KIND, {keys[k][pair]: value for pair, value in fresh.items()})
    return sums
