"""Intervals of every score of a run, from its scores without some of the structures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from jaxalign.alignment.engine import PairScore
from jaxalign.alignment.plan import MetricPlan
from jaxalign.alignment.resampled import scores_of_rows, store_scores
from jaxalign.alignment.state import State
from jaxalign.metrics._definition import GramMetric, ModelMetric, PairRankMetric
from jaxalign.progress import Progress
from jaxalign.significance.intervals import (
    ScoreIntervals,
    check_confidence,
    jackknife_errors,
    score_intervals,
    subset_errors,
)
from jaxalign.significance.subsets import disjoint_pairs, row_blocks
from jaxalign.types import Labels

METHODS = ("subsample", "jackknife")
REPLICATES = {"subsample": 40, "jackknife": 20}
"""Runs over fewer structures: 20 pairs of halves cost about 10 runs, 20 blocks 18."""

FRACTION = 0.5
"""Share of the structures in a subset, at most one half."""

_OF_TUPLES = (GramMetric, PairRankMetric)  # made of averages over all pairs of structures
_SHOWN = 20  # scores without interval that are listed


class IntervalSettings(NamedTuple):
    """What decides the replicates.

    Attributes:
      confidence: probability that an interval covers the expected score of n structures.
      method: `"subsample"` (pairs of disjoint random subsets) or `"jackknife"` (one block left out
        at a time).
      replicates: subsets, or blocks.
      fraction: share of the structures in a subset.
    """

    confidence: float
    method: str
    replicates: int
    fraction: float


class Intervals(NamedTuple):
    """Intervals of scores and the replicates that they come from.

    Attributes:
      columns: `ci_low` and `ci_high` of each score.
      replicates: scores of all replicates, of the same structures for all pairs: the error of a
        difference of scores is that of the differences of their replicates.
      errors: standard errors.
      facts: method, sizes, why some scores have no interval; plain values.
    """

    columns: list[dict[str, float]]
    replicates: Float64[np.ndarray, "replicates scores"]
    errors: Float64[np.ndarray, " scores"]
    facts: dict[str, Any]


def interval_settings(
    confidence: float | int,
    *,
    method: str = "subsample",
    replicates: int | None = None,
    fraction: float = FRACTION,
) -> IntervalSettings:
    """Checks settings and fills in defaults.

    Raises:
      ValueError: a setting that makes no sense.
    """
    check_confidence(confidence)
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r} of intervals: choose one of {METHODS}")
    if not 0 < fraction <= 0.5:
        raise ValueError(
            f"fraction must be above 0 and at most 0.5, for two disjoint subsets: got {fraction!r}"
        )
    count = REPLICATES[method] if replicates is None else replicates
    if count < 4 or (method == "subsample" and count % 2):
        raise ValueError(
            f"intervals need at least 4 replicates, in pairs for subsets: got {count}; 20 or more "
            "are good"
        )
    return IntervalSettings(confidence, method, count, fraction)


def replicate_rows(
    plans: Sequence[MetricPlan],
    settings: IntervalSettings,
    *,
    n: int,
    seed: int,
    groups: Labels | None = None,
) -> list[Int[np.ndarray, " _"]]:
    """The structures of every replicate; checks that all metrics are defined on them.

    Args:
      plans: metrics; their k stay as they are.
      settings: see `interval_settings`.
      n: structures of the run.
      seed: of the draws.
      groups: one label a structure: replicates then lack whole groups.

    Raises:
      ValueError: too few structures for a subset or for blocks; the message says how many would do.
    """
    least, whose = _least_rows(plans)
    if settings.method == "jackknife":
        blocks = row_blocks(n, count=settings.replicates, seed=seed, groups=groups)
        rows = [np.setdiff1d(np.arange(n), block) for block in blocks]
    else:
        size = math.floor(settings.fraction * n)
        if size < least:
            enough = math.ceil(least / settings.fraction)
            raise ValueError(
                f"intervals of {whose} need subsets of at least {least} structures: got {size}, "
                f"which is {settings.fraction:g} of n = {n}; align {enough} structures or lower k"
            )
        count = settings.replicates // 2
        rows = disjoint_pairs(n, size=size, count=count, seed=seed, groups=groups)
    if (smallest := min(map(len, rows))) < least:
        raise ValueError(
            f"intervals of {whose} need at least {least} structures in every replicate: got "
            f"{smallest} of n = {n}; align more structures or lower k"
        )
    return rows


def interval_columns(
    state: State,
    plans: Sequence[MetricPlan],
    scores: Sequence[PairScore],
    settings: IntervalSettings,
) -> Intervals:
    """Intervals of all scores of a run; one run over fewer structures a replicate.

    A model with itself has none, but where a metric is of single models.

    Args:
      state: the run; replicates are seeded by its seed and kept in its store.
      plans: its metrics.
      scores: its scores.
      settings: see `interval_settings`.

    Returns:
      Intervals in the order of the scores.

    Raises:
      ValueError: see `replicate_rows`.
    """
    groups = state.inputs.groups
    rows = replicate_rows(plans, settings, n=state.n, seed=state.seed, groups=groups)
    replicates = _replicates(state, plans, scores, rows)
    values = np.array([score.value for score in scores], np.float64)
    if settings.method == "jackknife":
        sizes = [state.n - len(kept) for kept in rows]
        errors, freedom = jackknife_errors(values, replicates, sizes=sizes), len(rows) - 1
    else:
        freedom = len(rows) // 2
        errors = subset_errors(
            replicates,
            taken=float(np.mean([len(kept) for kept in rows])),
            total=state.n,
            of_tuples=np.array([isinstance(s.plan.metric, _OF_TUPLES) for s in scores], bool),
        )
    found = score_intervals(
        values,
        errors,
        confidence=settings.confidence,
        freedom=freedom,
        low=np.array([score.plan.metric.low for score in scores], np.float64),
        high=np.array([score.plan.metric.high for score in scores], np.float64),
    )
    wanted = np.array([s.a != s.b or isinstance(s.plan.metric, ModelMetric) for s in scores], bool)
    ends = (np.where(wanted, end, np.nan).tolist() for end in (found.low, found.high))
    columns = [{"ci_low": a, "ci_high": b} for a, b in zip(*ends, strict=True)]
    facts = _facts(settings, rows, scores, found, wanted)
    return Intervals(columns, replicates, errors, facts)


def _replicates(
    state: State,
    plans: Sequence[MetricPlan],
    scores: Sequence[PairScore],
    rows: Sequence[Int[np.ndarray, " _"]],
) -> Float64[np.ndarray, "replicates scores"]:
    found = np.empty((len(rows), len(scores)))
    with (
        Progress("intervals", total=len(rows), unit="replicates", enabled=state.progress) as shown,
        state.timed("intervals"),
    ):
        for number, kept in enumerate(rows):
            fitted = {plan: _fitted(plan, len(kept)) for plan in plans}
            values = scores_of_rows(state, tuple(dict.fromkeys(fitted.values())), kept)
            found[number] = [values[fitted[s.plan], s.a, s.b] for s in scores]
            shown.advance(1)
        store_scores(state)
    return found


def _fitted(plan: MetricPlan, n: int) -> MetricPlan:
    """A plan over fewer structures: k stays, but where the value does not depend on it."""
    if plan.k is None or not getattr(plan.metric, "any_k", False):
        return plan
    return dataclasses.replace(plan, k=min(plan.k, n - 1))


def _least_rows(plans: Sequence[MetricPlan]) -> tuple[int, str]:
    """Structures that every plan is defined on, and the plan that needs most."""
    needs = []
    for plan in plans:
        k = 0 if plan.k is None else plan.k
        k = plan.metric.least_k if getattr(plan.metric, "any_k", False) else k
        label = plan.metric.id if plan.k is None else f"{plan.metric.id} with k = {plan.k}"
        needs.append((max(plan.metric.least_n, k + 1), label))
    return max(needs)


def _facts(
    settings: IntervalSettings,
    rows: Sequence[Int[np.ndarray, " _"]],
    scores: Sequence[PairScore],
    found: ScoreIntervals,
    wanted: np.ndarray,
) -> dict[str, Any]:
    missing = [
        (f"{score.plan.metric.id}: {score.a} – {score.b}", reason)
        for score, reason, asked in zip(scores, found.reasons, wanted.tolist(), strict=True)
        if reason and asked
    ]
    sizes = sorted({len(kept) for kept in rows})
    return {
        **settings._asdict(),
        "replicates": len(rows),
        "rows": sizes if len(sizes) > 1 else sizes[0],
    } | ({"without": dict(missing[:_SHOWN]), "without_count": len(missing)} if missing else {})
