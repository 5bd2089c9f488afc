"""Scores against the number of structures: does a conclusion hold for fewer, and for many more?

Neighbor metrics depend on N in two ways. With k fixed, neighbors come closer as N grows; with k/N
fixed, they stay as near as they were and only the noise falls. Both curves are measured.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from jaxalign.alignment import engine
from jaxalign.alignment.plan import MetricPlan
from jaxalign.alignment.resampled import scores_of_rows, store_scores
from jaxalign.alignment.state import State
from jaxalign.analysis.precision.sample_size_table import (
    FIXED_K,
    FIXED_SHARE,
    NO_K,
    POINTS,
    ScoreCurves,
)
from jaxalign.metrics._definition import ModelMetric
from jaxalign.progress import Progress
from jaxalign.significance.subsets import disjoint_parts

DRAWS = 8
"""Disjoint subsets of one size, at most."""

_LEAST, _ROOM = 32, 4  # structures in the smallest default subset, and how often these hold k
_HALVINGS = 6


def score_curves(
    state: State,
    plans: Sequence[MetricPlan],
    *,
    sizes: Sequence[int] | None = None,
    draws: int = DRAWS,
) -> ScoreCurves:
    """Scores of all pairs over all structures and over random subsets of fewer.

    Subsets of one size are disjoint, so that their scores are independent, and as many as there are
    up to `draws`: all default sizes together cost about as much as the run itself.

    Args:
      state: the run; its store keeps all scores.
      plans: its metrics; their k belong to all structures.
      sizes: numbers of structures; None halves all of them until 32 or four times k are left.
      draws: subsets of each size, at most.

    Returns:
      Points, limits of many structures, and how far the order of pairs depends on N.

    Raises:
      ValueError: too few structures, or sizes that are none.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1: got {draws}")
    sizes = _sizes(sizes, plans, state.n)
    steps = [(size, part) for size in sizes for part in _parts(state, size, draws)]
    measured: dict[int, list[dict]] = {}
    left_out: list[str] = []
    with (
        Progress(
            "score against N", total=len(steps), unit="subsets", enabled=state.progress
        ) as shown,
        state.timed("score curves"),
    ):
        for size, part in steps:
            if size not in measured:
                measured[size] = []
                left_out += _left_out(plans, size, state.n)
            settings = tuple(_settings(plans, size, state.n))
            measured[size].append(_scores(state, [fitted for *_, fitted in settings], part))
            shown.advance(1)
        store_scores(state)
    names = [model.name for model in state.inputs.models]
    rows = [
        row
        for plan in plans
        for rule in _rules(plan)
        for a, b in _cells(plan, names)
        for size in sizes
        if (fitted := _at(plan, rule, size, state.n)) is not None
        for row in (_point(plan, rule, fitted, (a, b), size, measured[size], state),)
    ]
    table = pd.DataFrame(rows, columns=list(POINTS)).astype({"k": "Int64", "k_full": "Int64"})
    return ScoreCurves.of(table, notes=tuple(left_out))


def _sizes(sizes: Sequence[int] | None, plans: Sequence[MetricPlan], n: int) -> list[int]:
    """Numbers of structures, ascending; all of them come last."""
    if sizes is None:
        ks = [plan.k or 0 for plan in plans if not isinstance(plan.metric, ModelMetric)]
        least = max(_LEAST, _ROOM * max(ks, default=0))
        sizes = [n >> step for step in range(1, _HALVINGS) if n >> step >= least]
        if not sizes:
            raise ValueError(
                f"n = {n} is too few for a curve: its smallest subset should hold {least} "
                f"structures; align at least {2 * least}, lower k, or name the sizes"
            )
    wrong = [size for size in sizes if not 2 <= size <= n]
    if wrong or not any(size < n for size in sizes):
        raise ValueError(
            f"sizes must be numbers of structures from 2 to n = {n}, at least one of them below n: "
            f"got {list(sizes)}"
        )
    return sorted({*map(int, sizes), n})


def _parts(state: State, size: int, draws: int) -> list[Int[np.ndarray, " _"]]:
    groups = state.inputs.groups
    return disjoint_parts(state.n, size=size, count=draws, seed=state.seed, groups=groups)


def _rules(plan: MetricPlan) -> tuple[str, ...]:
    if plan.k is None or getattr(plan.metric, "any_k", False):
        return (NO_K,)
    return (FIXED_K, FIXED_SHARE)


def _at(plan: MetricPlan, rule: str, size: int, n: int) -> MetricPlan | None:
    """The plan over fewer structures; None where it is not defined."""
    metric, k = plan.metric, plan.k
    if k is not None:
        if rule == FIXED_SHARE:
            k = math.floor(k * size / n + 0.5)
        elif rule == NO_K:
            k = min(k, size - 1)
        if not metric.least_k <= k < size:
            return None
    return dataclasses.replace(plan, k=k) if size >= metric.least_n else None


def _settings(
    plans: Sequence[MetricPlan], size: int, n: int
) -> Iterable[tuple[MetricPlan, str, MetricPlan]]:
    for plan in plans:
        for rule in _rules(plan):
            if (fitted := _at(plan, rule, size, n)) is not None:
                yield plan, rule, fitted


def _left_out(plans: Sequence[MetricPlan], size: int, n: int) -> list[str]:
    """Points that do not exist, in words."""
    said = []
    for plan in plans:
        for rule in _rules(plan):
            if _at(plan, rule, size, n) is None:
                k = "" if plan.k is None else f", k = {plan.k} of n = {n}"
                said.append(
                    f"{plan.metric.id}, {rule}{k}: no point at {size} structures, where k would "
                    f"be below {plan.metric.least_k} or not below {size}"
                    if plan.k is not None and size >= plan.metric.least_n
                    else f"{plan.metric.id}: no point at {size} structures, which are too few"
                )
    return said


def _scores(state: State, plans: Sequence[MetricPlan], rows: Int[np.ndarray, " _"]) -> dict:
    plans = tuple(dict.fromkeys(plans))
    if len(rows) < state.n:
        return scores_of_rows(state, plans, rows)
    # All structures: the store has the graphs and terms of the run.
    return {(s.plan, s.a, s.b): s.value for s in engine.run(state, plans)}


def _cells(plan: MetricPlan, names: list[str]) -> list[tuple[str, str]]:
    single = isinstance(plan.metric, ModelMetric)
    return [(a, b) for a, b in engine.cells(plan.metric, names) if single or a != b]


def _point(
    plan: MetricPlan,
    rule: str,
    fitted: MetricPlan,
    pair: tuple[str, str],
    size: int,
    draws: Sequence[dict],
    state: State,
) -> dict[str, Any]:
    values = np.array([found[fitted, *pair] for found in draws], np.float64)
    null: Callable[[int, int | None], float] | None = plan.metric.null
    closed = null is not None and state.inputs.groups is None
    return {
        "metric": plan.metric.id,
        "model_a": pair[0],
        "model_b": pair[1],
        "rule": rule,
        "k_full": plan.k,
        "n": size,
        "k": fitted.k,
        "draws": len(values),
        "score": float(values.mean()),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        "null_mean": null(size, fitted.k) if closed else math.nan,
    }
