"""Leave one task out: a criterion is chosen on the other tasks and applied to the one left out.

Tasks of one data set share candidates and structures, so a second choice is made on other data sets
alone. Intervals are of a jackknife over families in which the choice is made anew every time; they
say what other candidates would do, not what other tasks would.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64
from scipy.stats import rankdata

from jaxalign.analysis.relations.permutations import model_permutations
from jaxalign.learning.selection.criteria import KINDS, Criterion
from jaxalign.learning.selection.points import TaskPoints
from jaxalign.learning.selection.rank_correlation import (
    LEAST_CANDIDATES,
    family_interval,
    permuted_p,
    regret,
    spearman,
    without_family,
)

ANY, WEIGHTED = "best of all", "weighted mean of ranks"
MEAN = "mean over tasks"
SCOPES = ("other tasks", "other data sets")
_COLUMNS = (
    *("task", "truth", "chosen_on", "rule", "criterion", "candidates"),
    *(
        "spearman",
        "low",
        "high",
        "p",
        "p_blocked",
        "regret",
        "regret_least",
        "regret_most",
        "reason",
    ),
)
Kept = Mapping[str, Bool[np.ndarray, " m"]]


def leave_one_task_out(
    points: Sequence[TaskPoints],
    criteria: Sequence[Criterion],
    *,
    truth: str,
    permutations: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Rank correlation and regret on every task of a criterion that others chose.

    Rules: the criterion with the greatest mean Spearman correlation on the other tasks, of all or
    of one kind; and a weighted mean of ranks, with these correlations as weights (0 if negative).
    Criteria that some candidate of some task lacks take no part.

    Args:
      points: tasks.
      criteria: of the points, in their order.
      truth: name of the errors, for the table.
      permutations: of the candidates.
      confidence: of intervals.
      seed: of permutations.

    Returns:
      One row a rule, scope (`chosen_on`) and task, and one of the mean over tasks, with `criterion`
      (what was chosen), `spearman`, `low`, `high`, `p` (candidates permuted after the choice,
      one-sided), `p_blocked` (of the jackknife), `regret` with its least and most over draws, and
      `reason`. A single row with the reason where it is not possible.
    """
    complete = [
        number
        for number in range(len(criteria))
        if all(np.isfinite(task.scores[:, number]).all() for task in points)
    ]
    if reason := _impossible(points, complete):
        return pd.DataFrame([{"truth": truth, "reason": reason}]).reindex(columns=list(_COLUMNS))
    orders = {
        task.task: model_permutations(len(task.candidates), permutations, seed=seed)
        for task in points
    }
    rows = []
    for scope in SCOPES:
        if scope == SCOPES[1] and len({task.dataset for task in points}) < 2:
            continue
        for rule in (ANY, *KINDS, WEIGHTED):
            allowed = [n for n in complete if rule in (ANY, WEIGHTED, criteria[n].kind)]
            if allowed:
                rows += _transferred(points, allowed, scope, rule, orders, confidence)
    return pd.DataFrame(rows).assign(truth=truth).reindex(columns=list(_COLUMNS))


def _impossible(points: Sequence[TaskPoints], complete: Sequence[int]) -> str:
    if len(points) < 2:
        return f"not possible: {'one task' if points else 'no task with held-out errors'}"
    few = [task.task for task in points if len(task.candidates) < LEAST_CANDIDATES]
    if few:
        return f"not possible: {few[0]} has fewer than {LEAST_CANDIDATES} candidates"
    return "" if complete else "not possible: no criterion is known of all candidates"


def _transferred(
    points: Sequence[TaskPoints],
    allowed: list[int],
    scope: str,
    rule: str,
    orders: Mapping[str, Int64[np.ndarray, "count m"]],
    confidence: float,
) -> list[dict[str, Any]]:
    """Rows of one rule: all tasks, and their mean."""

    def statistic(left_out: str | None) -> Float64[np.ndarray, " values"]:
        kept = {task.task: without_family(task.families, left_out) for task in points}
        if not all(mask.any() for mask in kept.values()):
            return np.full(len(points) + 1, math.nan)
        values = []
        for task in points:
            weights = _weights(points, task, kept, allowed, scope, rule)
            values.append(spearman(*_on(task, kept[task.task], weights)).mean())
        return np.array([*values, np.mean(values)])

    families = sorted({family for task in points for family in task.families})
    low, high, p, reason = family_interval(statistic, families, confidence=confidence)
    rows = [_applied(points, task, allowed, scope, rule, orders[task.task]) for task in points]
    mean = float(np.mean([row["regret"] for row in rows]))
    rows.append({"task": MEAN, "criterion": "", "regret": mean})
    facts = {"chosen_on": scope, "rule": rule, "reason": reason}
    return [
        {**row, **facts, "spearman": value, "low": low[i], "high": high[i], "p_blocked": p[i]}
        for i, (row, value) in enumerate(zip(rows, statistic(None), strict=True))
    ]


def _applied(
    points: Sequence[TaskPoints],
    task: TaskPoints,
    allowed: list[int],
    scope: str,
    rule: str,
    orders: Int64[np.ndarray, "count m"],
) -> dict[str, Any]:
    """What was chosen for a task with all candidates, its p-value and the regret of choosing."""
    whole = {other.task: np.ones(len(other.candidates), bool) for other in points}
    weights = _weights(points, task, whole, allowed, scope, rule)
    mixed, promised = _on(task, whole[task.task], weights)
    costs = regret(mixed, -promised)
    return {
        "task": task.task,
        "criterion": rule if rule == WEIGHTED else task.criteria[int(np.argmax(weights))],
        "candidates": len(task.candidates),
        "p": permuted_p(mixed, -promised, orders),
        "regret": float(costs.mean()),
        "regret_least": float(costs.min()),
        "regret_most": float(costs.max()),
    }


def _weights(
    points: Sequence[TaskPoints],
    held_out: TaskPoints,
    kept: Kept,
    allowed: list[int],
    scope: str,
    rule: str,
) -> Float64[np.ndarray, " criteria"]:
    """Weight of every criterion: 1 for the one that is chosen, or correlations on other tasks."""
    others = [
        task
        for task in points
        if task is not held_out and (scope == SCOPES[0] or task.dataset != held_out.dataset)
    ]
    found = np.full(len(held_out.criteria), -math.inf)
    found[allowed] = np.mean([_correlations(t, kept[t.task])[allowed] for t in others], axis=0)
    if rule == WEIGHTED:
        return np.maximum(found, 0.0)
    return np.eye(len(found))[int(np.argmax(found))]


def _correlations(
    task: TaskPoints, kept: Bool[np.ndarray, " m"]
) -> Float64[np.ndarray, " criteria"]:
    scores = np.nan_to_num(task.scores[..., kept])  # incomplete criteria are not allowed anyway
    errors = np.broadcast_to(task.errors[:, None, kept], scores.shape)
    return spearman(scores, -errors).mean(axis=0)


def _on(
    task: TaskPoints, kept: Bool[np.ndarray, " m"], weights: Float64[np.ndarray, " criteria"]
) -> tuple[Float64[np.ndarray, "draws m"], Float64[np.ndarray, "draws m"]]:
    """Weighted means of ranks (one criterion alone keeps its order), and errors with a minus."""
    used = np.flatnonzero(weights)
    ranks = rankdata(task.scores[:, used][..., kept], axis=-1)
    return np.einsum("c,rcm->rm", weights[used], ranks), -task.errors[:, kept]
