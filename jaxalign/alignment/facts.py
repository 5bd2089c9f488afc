"""What a result says of how it was made."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from jaxalign.alignment.inputs import Inputs
from jaxalign.alignment.plan import MetricPlan
from jaxalign.alignment.state import State
from jaxalign.parallel.mesh import describe_mesh


def versions() -> dict[str, str]:
    """Versions of what decides the numbers."""
    names = ("jaxalign", "jax", "jaxlib", "numpy")
    return {name: version(name) for name in names} | {"python": platform.python_version()}


def diagnostics(state: State, plans: Sequence[MetricPlan]) -> dict[str, Any]:
    """Settings, inputs, work and versions of a finished run; plain values."""
    inputs = state.inputs
    settings = {plan.graph for plan in plans} - {None}
    return {
        "n": state.n,
        "ids": list(inputs.ids),
        "matching": inputs.matching,
        "dataset": inputs.dataset,
        "metrics": _settings(plans, state),
        "models": state.model_diagnostics,
        "failed_models": {m.name: m.reason for m in inputs.models if m.reason},
        "graph_keys": {
            m.name: {s.label: state.graph_key(m, s) for s in settings} for m in inputs.models
        },
        "grouped": inputs.groups is not None,
        "labels": _labels(inputs),
        "tile_size": state.tile_size,
        "memory_budget": f"{state.memory_budget / 2**20:,.0f} MiB",
        "precision": ", ".join(sorted(set(state.precision.values()))),
        "seed": state.seed,
        "work": vars(state.work),
        "seconds": state.seconds,
        "versions": versions(),
    } | (describe_mesh(state.grid) | state.facts)


def _labels(inputs: Inputs) -> dict[str, list[str]]:
    """One label a structure, as text, of those that were given: to repeat the run by."""
    given = {"groups": inputs.groups, "permute_within": inputs.strata}
    return {name: list(map(str, found)) for name, found in given.items() if found is not None}


def _settings(plans: Sequence[MetricPlan], state: State) -> dict[str, dict[str, Any]]:
    """Settings by metric id; `k` is a list where several were asked for."""
    found: dict[str, dict[str, Any]] = {}
    for plan in plans:
        entry = found.setdefault(
            plan.metric.id,
            {
                "k": plan.k,
                "normalization": plan.normalize,
                "similarity": plan.similarity,
                "variant": plan.metric.variant,
                "precision": state.precision.get(plan, ""),
            },
        )
        if plan.k != entry["k"]:
            earlier = entry["k"] if isinstance(entry["k"], list) else [entry["k"]]
            entry["k"] = [*earlier, plan.k] if plan.k not in earlier else earlier
    return found
