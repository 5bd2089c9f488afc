"""The scores of a run over some of its structures: replicates for intervals and curves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from jaxalign.alignment import engine
from jaxalign.alignment.inputs import Inputs
from jaxalign.alignment.permuted import digest_of
from jaxalign.alignment.plan import MetricPlan
from jaxalign.alignment.resume import content_key
from jaxalign.alignment.state import State
from jaxalign.embeddings.sources import SelectedRows

_KIND = "scores-of-rows"


def scores_of_rows(
    state: State, plans: Sequence[MetricPlan], rows: Int[np.ndarray, " m"]
) -> dict[tuple[MetricPlan, str, str], float]:
    """Every score of the run, over these structures alone: neighbors are sought among them.

    Args:
      state: the run; its store keeps the scores by content, so that an interrupted run resumes.
      plans: metrics; the k of each must be below m.
      rows: numbers of m of the run's structures, each once.

    Returns:
      The score of each (plan, model a, model b); NaN where there is none.

    Raises:
      ValueError: rows twice or out of range, or too few of them for a k or a metric.
    """
    rows = np.asarray(rows, np.int64)
    _check(state, plans, rows)
    # Plans and scores are stored as text: NaN is no JSON number.
    key = content_key(
        rows=digest_of(rows),
        ids=state.ids_hash,
        models=[[m.name, m.digest, m.reason] for m in state.inputs.models],
        groups=state.groups_hash,
        plans=[[p.metric.id, p.k, p.normalize, p.similarity] for p in plans],
        seed=state.seed,
    )
    stored = state.values.get(_KIND, key)
    selected = _selected(state, rows)
    if stored is None:
        scores = engine.run(selected, plans)
        stored = [None if math.isnan(score.value) else score.value for score in scores]
        state.values.update(_KIND, {key: stored}, last=False)
    cells = [(plan, a, b) for plan in plans for a, b in engine.cells(plan.metric, _names(state))]
    values = [math.nan if value is None else value for value in stored]
    return dict(zip(cells, values, strict=True))


def store_scores(state: State) -> None:
    """Writes all that `scores_of_rows` has found to the store: call it after the last subset."""
    state.values.update(_KIND, {})


def _names(state: State) -> list[str]:
    return [model.name for model in state.inputs.models]


def _check(state: State, plans: Sequence[MetricPlan], rows: Int[np.ndarray, " m"]) -> None:
    inside = len(rows) and rows.min() >= 0 and rows.max() < state.n
    if not inside or len(np.unique(rows)) < len(rows):
        raise ValueError(f"rows must name some of the {state.n} structures, each once")
    for plan in plans:
        least = max(plan.metric.least_n, 0 if plan.k is None else plan.k + 1)
        if len(rows) < least:
            of_k = "" if plan.k is None else f" with k = {plan.k}"
            raise ValueError(
                f"{plan.metric.id}{of_k} needs at least {least} structures: got a subset of "
                f"{len(rows)}; take larger subsets or a smaller k"
            )


def _selected(state: State, rows: Int[np.ndarray, " m"]) -> State:
    """A run over some structures that keeps its work in memory."""
    inputs, digest = state.inputs, digest_of(rows)
    models = tuple(
        dataclasses.replace(
            model,
            rows=SelectedRows(model.rows, rows),
            digest=content_key(rows=digest, of=model.digest),
        )
        for model in inputs.models
    )
    numbers = rows.tolist()
    groups = None if inputs.groups is None else tuple(inputs.groups[i] for i in numbers)
    ids = tuple(inputs.ids[i] for i in numbers)
    return State(
        Inputs(models, ids, groups, inputs.dataset, inputs.matching),
        folder=None,
        tile_size=state.tile_size,
        memory_budget=state.memory_budget,
        progress=False,
        seed=state.seed,
        mesh=state.given_mesh if state.given_mesh and state.given_mesh.size <= len(rows) else None,
        nulls=False,
    )
