"""Scores over random halves of the structures: errors of trees of models and of best pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from jaxalign.alignment import engine
from jaxalign.alignment.confidence import Intervals, interval_columns, interval_settings
from jaxalign.alignment.plan import MetricPlan
from jaxalign.alignment.start import start_run
from jaxalign.analysis.claims.intervals import CONFIDENCE
from jaxalign.analysis.claims.replicates import FACT, METRIC, replicate_facts
from jaxalign.analysis.convergence.trajectories import Halves


def check_halves(halves: int) -> int:
    """Returns a number of halves if it makes sense.

    Raises:
      ValueError: if it is not 0, and odd or below 4.
    """
    if halves:
        interval_settings(CONFIDENCE, replicates=halves)
    return halves


def half_facts(
    embeddings: Mapping[str, Any],
    common: Mapping[str, Any],
    *,
    halves: int,
    metric: str = METRIC,
) -> dict[str, Any]:
    """The fact `replicates` of a run: scores of all pairs at their first k, over every half.

    Random splits of the structures into disjoint halves (of whole groups), as those of intervals.
    This one metric takes a small part of the time of intervals of all scores.

    Args:
      embeddings: model → embeddings.
      common: arguments of `align`; its workdir keeps the scores.
      halves: how many, an even number of at least 4; 0 for none.
      metric: the one metric that is computed, symmetric.

    Returns:
      The fact by its name; nothing without halves, or where the run has not this metric.

    Raises:
      ValueError: a number of halves that makes no sense, or too few structures for k.
    """
    found = _half_scores(embeddings, common, halves, metric)
    if found is None:
        return {}
    intervals, plan, models = found
    facts = replicate_facts(
        intervals.replicates,
        metric=metric,
        k=plan.k,
        models=models,
        taken=float(np.mean(intervals.facts["rows"])),
    )
    return {FACT: facts}


def half_matrices(
    embeddings: Mapping[str, Any], common: Mapping[str, Any], *, halves: int
) -> Halves | None:
    """CKNNA as of `half_facts` as matrices, which are not kept among the facts of a run.

    Args:
      embeddings: model → embeddings.
      common: arguments of `align`.
      halves: how many; 0 for none.

    Returns:
      One matrix a half; None without halves or CKNNA.
    """
    found = _half_scores(embeddings, common, halves, METRIC)
    if found is None:
        return None
    intervals, _, models = found
    upper = np.triu_indices(len(models))
    coords = {"model_a": models, "model_b": models}
    matrices = []
    for scores in intervals.replicates:
        values = np.full((len(models), len(models)), np.nan)
        values[upper] = values.T[upper] = scores
        matrices.append(xr.DataArray(values, coords=coords, dims=("model_a", "model_b")))
    return Halves(matrices, taken=float(np.mean(intervals.facts["rows"])))


def _half_scores(
    embeddings: Mapping[str, Any], common: Mapping[str, Any], halves: int, metric: str
) -> tuple[Intervals, MetricPlan, list[str]] | None:
    if not check_halves(halves) or metric not in common["metrics"]:
        return None
    settings = interval_settings(CONFIDENCE, replicates=halves)
    k = common["k"].get(metric) if isinstance(common["k"], Mapping) else common["k"]
    first = k if k is None or isinstance(k, int) else k[0]
    own = {"metrics": (metric,), "k": first, "progress": False}
    state, plans = start_run(embeddings, **{**common, **own})
    found = interval_columns(state, plans, engine.run(state, plans), settings)
    return found, plans[0], [model.name for model in state.inputs.models]
