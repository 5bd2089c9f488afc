"""Metrics of single models, from the distances of one neighbor graph."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxalign.alignment.plan import MetricPlan
from jaxalign.alignment.resume import content_key
from jaxalign.alignment.state import Outcomes, State
from jaxalign.metrics._definition import ModelEstimate


def model_scores(state: State, plans: Sequence[MetricPlan]) -> Outcomes:
    """Estimates of all usable models; errors and details go to `state.facts["estimates"]`."""
    outcomes: Outcomes = {}
    for plan in plans:
        state.precision[plan] = "float64"
        kept = state.facts.setdefault("estimates", {}).setdefault(plan.metric.id, {})
        for model, estimate in _estimates(state, plan).items():
            outcomes[plan, model, model] = (estimate.value, estimate.reason)
            kept[model] = _to_json({"error": estimate.error, **estimate.details})
    return outcomes


def _estimates(state: State, plan: MetricPlan) -> dict[str, ModelEstimate]:
    graphs = {m.name: state.graph_key(m, plan.graph) for m in state.usable}
    keys = {
        (name, name): content_key(metric=plan.metric.id, k=plan.k, graph=key)
        for name, key in graphs.items()
    }
    found, missing = state.stored(plan.metric.id, keys)
    estimates = {a: _from_json(entry) for (a, _), entry in found.items()}
    models = {m.name: m for m in state.usable}
    fresh = {}
    for name, _ in missing:
        graph = state.graph(models[name], plan.graph, plan.k)
        estimates[name] = plan.metric.estimate(graph.scores.astype(np.float64))
        fresh[keys[name, name]] = _to_json(estimates[name])
    state.values.update(plan.metric.id, fresh)
    return {name: estimates[name] for name in state.names}


def _to_json(record: Any) -> Any:
    """Plain values of a record; NaN is no JSON number and becomes None."""
    if dataclasses.is_dataclass(record):
        record = dataclasses.asdict(record)
    if isinstance(record, dict):
        return {name: _to_json(value) for name, value in record.items()}
    if isinstance(record, list | tuple):
        return [_to_json(value) for value in record]
    return None if isinstance(record, float) and math.isnan(record) else record


def _from_json(record: dict) -> ModelEstimate:
    numbers = {name: record[name] for name in ("value", "error")}
    numbers = {k: math.nan if v is None else v for k, v in numbers.items()}
    return ModelEstimate(**(record | numbers))
