"""How well every criterion, computed on few labels, orders candidates by their held-out errors.

The criterion of a draw is compared with the errors of the same draw, whose test rows it has not
seen; numbers are means over draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from jaxalign.analysis.relations.permutations import model_permutations
from jaxalign.learning.selection.points import TaskPoints
from jaxalign.learning.selection.rank_correlation import (
    LEAST_CANDIDATES,
    chance_regret,
    family_interval,
    kendall,
    permuted_p,
    regret,
    spearman,
    without_family,
)

ALL, TRAINED = "all candidates", "trained candidates"
_COLUMNS = (
    *("dataset", "task", "criterion", "truth", "among", "candidates", "families", "draws"),
    *("spearman", "low", "high", "p", "p_blocked", "spread_over_draws"),
    *("kendall", "kendall_low", "kendall_high"),
    *("regret", "regret_least", "regret_most", "regret_by_lot", "reason"),
)


def ranking_quality(
    points: Sequence[TaskPoints],
    *,
    truth: str,
    among: str = ALL,
    permutations: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Rank correlation with small errors and regret of every criterion on every task.

    Args:
      points: tasks.
      truth: name of the errors, for the table.
      among: which candidates the points are of, for the table.
      permutations: of the candidates.
      confidence: of intervals.
      seed: of permutations.

    Returns:
      One row a task and criterion: `among`, `candidates` that have the criterion, `families`,
      `spearman` with `low` and `high` (jackknife over families), `p` (candidates permuted,
      one-sided), `p_blocked` (of the jackknife), `spread_over_draws` (standard deviation),
      `kendall` with its interval, `regret` (error of the choice over the least error, less 1) with
      its least and most over draws, `regret_by_lot` (of a random choice), `reason` (why numbers are
      NaN: fewer than four candidates are not ranked).
    """
    rows = []
    for task in points:
        for number, criterion in enumerate(task.criteria):
            found = _judged(task, number, permutations, confidence, seed)
            rows.append(
                {
                    "dataset": task.dataset,
                    "task": task.task,
                    "criterion": criterion,
                    "truth": truth,
                    "among": among,
                    "draws": len(task.errors),
                    **found,
                }
            )
    return pd.DataFrame(rows).reindex(columns=list(_COLUMNS))


def _judged(
    task: TaskPoints, number: int, permutations: int, confidence: float, seed: int
) -> dict[str, Any]:
    scores = task.scores[:, number]
    known = np.isfinite(scores).all(axis=0)
    families = [f for f, kept in zip(task.families, known, strict=True) if kept]
    found = {"candidates": int(known.sum()), "families": len(set(families)), "reason": ""}
    if known.sum() < LEAST_CANDIDATES:
        few = f"{int(known.sum())} candidates have it, of at least {LEAST_CANDIDATES}"
        return {**found, "reason": f"not ranked: {few}"}
    scores, errors = scores[:, known], task.errors[:, known]
    if np.ptp(scores, axis=1).max() == 0:
        return {**found, "reason": "orders nothing: all candidates have the same value"}
    orders = model_permutations(scores.shape[1], permutations, seed=seed)
    return (
        found
        | {"p": permuted_p(scores, errors, orders)}
        | _correlations(scores, errors, families, confidence)
        | _regrets(scores, errors)
    )


def _correlations(
    scores: Float64[np.ndarray, "draws m"],
    errors: Float64[np.ndarray, "draws m"],
    families: Sequence[str],
    confidence: float,
) -> dict[str, Any]:
    def statistic(left_out: str | None) -> np.ndarray:
        kept = without_family(families, left_out)
        if not kept.any():
            return np.full(2, math.nan)
        pair = scores[:, kept], -errors[:, kept]
        return np.array([spearman(*pair).mean(), kendall(*pair).mean()])

    low, high, p, reason = family_interval(statistic, families, confidence=confidence)
    draws = spearman(scores, -errors)
    return {
        "spearman": float(draws.mean()),
        "low": low[0],
        "high": high[0],
        "p_blocked": p[0],
        "spread_over_draws": float(np.std(draws, ddof=1)) if len(draws) > 1 else math.nan,
        "kendall": float(kendall(scores, -errors).mean()),
        "kendall_low": low[1],
        "kendall_high": high[1],
        "reason": reason,
    }


def _regrets(
    scores: Float64[np.ndarray, "draws m"], errors: Float64[np.ndarray, "draws m"]
) -> dict[str, float]:
    costs = regret(scores, errors)
    return {
        "regret": float(costs.mean()),
        "regret_least": float(costs.min()),
        "regret_most": float(costs.max()),
        "regret_by_lot": float(chance_regret(errors).mean()),
    }
