"""Metrics of ranked distances: the same pairs of structures for all models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxalign.alignment.plan import MetricPlan
from jaxalign.alignment.resume import content_key
from jaxalign.alignment.state import Outcomes, State


def pair_rank_scores(state: State, plans: Sequence[MetricPlan]) -> Outcomes:
    """Scores of all pairs of usable models; standard errors go to `state.facts`.

    A stored result serves only the same models: what fits into memory decides which pairs of
    structures are compared, and one more model changes that.
    """
    outcomes: Outcomes = {}
    for plan in plans:
        found = _found(state, plan)
        state.precision[plan] = "exact" if found["facts"].get("exact") else "sampled"
        place = {name: i for i, name in enumerate(state.names)}
        values = np.array(found["values"], np.float64)  # None becomes NaN
        for a, b in state.pairs(symmetric=plan.metric.symmetric):
            value = float(values[place[a], place[b]])
            outcomes[plan, a, b] = plan.metric.score(value, state.n)
        facts = found["facts"] | {"standard_errors": found["errors"]}
        state.facts.setdefault("sampled", {})[plan.metric.id] = facts
    return outcomes


def _found(state: State, plan: MetricPlan) -> dict:
    kind = plan.metric.id
    key = content_key(
        metric=kind,
        seed=state.seed,
        budget=state.memory_budget,
        sides=[state.rows_key(m, plan.normalize) for m in state.usable],
    )
    found = state.values.get(kind, key)
    count = len(state.pairs(symmetric=plan.metric.symmetric))
    if found is not None:
        state.work.pairs_reused += count
        return found
    values, errors, facts = plan.metric.terms(
        [state.rows(m, plan.normalize) for m in state.usable],
        seed=state.seed,
        memory_budget=state.memory_budget,
        progress=state.label(kind),
    )
    found = {"values": _plain(values), "errors": _plain(errors), "facts": facts}
    state.work.pairs_computed += count
    state.values.update(kind, {key: found})
    return found


def _plain(matrix: np.ndarray) -> list[list[float | None]]:
    """NaN is no JSON number."""
    return [[None if np.isnan(value) else float(value) for value in row] for row in matrix]
