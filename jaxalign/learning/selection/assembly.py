"""Values of all pools → the tables of a selection."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from jaxalign.learning.selection.criteria import Criterion
from jaxalign.learning.selection.draws import Draw
from jaxalign.learning.selection.held_out import HELD_OUT_PROBES
from jaxalign.learning.selection.leave_one_out import leave_one_task_out
from jaxalign.learning.selection.points import TaskPoints, task_points
from jaxalign.learning.selection.pool import Pool
from jaxalign.learning.selection.quality import TRAINED, ranking_quality
from jaxalign.learning.selection.ranking import held_out_columns, ranking
from jaxalign.learning.selection.selection import Selection


@dataclasses.dataclass(frozen=True, eq=False)
class Values:
    """What was computed for all pools.

    Attributes:
      scores: one row a task, candidate, criterion and draw.
      errors: one row a task, candidate, probe and draw; empty if nothing was held out.
      absolute: task, criterion and candidate → absolute errors in the first target set.
      work: numbers of values computed and reused.
    """

    scores: pd.DataFrame
    errors: pd.DataFrame
    absolute: Mapping[tuple[str, str, str], Float64[np.ndarray, " target"]]
    work: Mapping[str, int]


def assemble(
    values: Values,
    pools: Sequence[Pool],
    drawn: Sequence[Sequence[Draw]],
    criteria: tuple[Criterion, ...],
    chosen: Criterion,
    settings: Mapping[str, Any],
) -> Selection:
    """Ranks, judges the rankings and gathers facts.

    Args:
      values: of all pools.
      pools: candidates and tasks.
      drawn: draws of every pool.
      criteria: with their directions.
      chosen: the criterion that ranks.
      settings: what was asked for.

    Returns:
      The selection.
    """
    quality, transfer = _judged(values, pools, criteria, settings)
    rankings = [
        table
        for pool, draws in zip(pools, drawn, strict=True)
        for table in _rankings(values, pool, draws[0], chosen, settings["confidence"])
    ]
    return Selection(
        criteria=criteria,
        scores=_described(values.scores, pools, criteria),
        errors=values.errors,
        ranking=pd.concat(rankings, ignore_index=True),
        quality=quality,
        leave_one_task_out=transfer,
        cards={pool.dataset: pool.cards for pool in pools},
        tasks=tuple(_task_facts(pools, drawn)),
        settings=settings,
        work=values.work,
    )


def _judged(
    values: Values,
    pools: Sequence[Pool],
    criteria: tuple[Criterion, ...],
    settings: Mapping[str, Any],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of quality and of leaving one task out; empty where nothing was held out."""
    if not len(values.errors):
        return pd.DataFrame(), pd.DataFrame()
    families = {pool.dataset: pool.families() for pool in pools}
    seeds = {name: settings[name] for name in ("permutations", "seed")}
    quality, transfer = [], []
    for probe in HELD_OUT_PROBES:
        points = task_points(values.scores, values.errors, families, criteria, probe=probe)
        judged = {"truth": probe, "confidence": settings["confidence"]}
        quality.append(ranking_quality(points, **judged, **seeds))
        trained = [task.among(_trained(task, pools)) for task in points]
        fewer = [
            own
            for own, task in zip(trained, points, strict=True)
            if own.candidates != task.candidates
        ]
        if fewer:
            quality.append(ranking_quality(fewer, among=TRAINED, **judged, **seeds))
        transfer.append(leave_one_task_out(points, criteria, **judged, **seeds))
    return pd.concat(quality, ignore_index=True), pd.concat(transfer, ignore_index=True)


def _trained(task: TaskPoints, pools: Sequence[Pool]) -> Bool[np.ndarray, " m"]:
    """Candidates with trained weights: controls and untrained twins make orders easy."""
    cards = next(pool.cards for pool in pools if pool.dataset == task.dataset)
    return np.array([cards[name].pretrained for name in task.candidates], bool)


def _described(
    scores: pd.DataFrame, pools: Sequence[Pool], criteria: Sequence[Criterion]
) -> pd.DataFrame:
    """Scores with family and kind, in the order of tasks and criteria."""
    families = {pool.dataset: pool.families() for pool in pools}
    kinds = {criterion.id: criterion.kind for criterion in criteria}
    tasks = [task.name for pool in pools for task in pool.tasks]
    places = [
        scores["task"].map(tasks.index),
        scores["criterion"].map(list(kinds).index),
        scores["draw"],
    ]
    family = [families[d][c] for d, c in zip(scores["dataset"], scores["candidate"], strict=True)]
    ordered = scores.assign(family=family, kind=scores["criterion"].map(kinds))
    return ordered.iloc[np.lexsort(places[::-1])].reset_index(drop=True)


def _rankings(
    values: Values, pool: Pool, draw: Draw, chosen: Criterion, confidence: float
) -> Iterator[pd.DataFrame]:
    """The ranking of every task of a pool, with held-out errors and training data beside."""
    scores = values.scores[(values.scores["draw"] == 0) & (values.scores["criterion"] == chosen.id)]
    for task in pool.tasks:
        own = scores[scores["task"] == task.name].set_index("candidate")["value"]
        absolute = {
            name: values.absolute[task.name, chosen.id, name]
            for name in pool.rows
            if (task.name, chosen.id, name) in values.absolute
        }
        known = {name: float(own[name]) for name in pool.rows}
        table = ranking(known, chosen, absolute, pool.groups[draw.target])
        errors = values.errors[values.errors["task"] == task.name]
        if len(errors):
            held_out = held_out_columns(errors, confidence=confidence)
            table = table.merge(held_out, on="candidate", how="left")
        cards = [pool.cards[name] for name in table["candidate"]]
        table.insert(0, "dataset", pool.dataset)
        table.insert(1, "task", task.name)
        table.insert(2, "criterion", chosen.id)
        yield table.assign(
            family=[pool.families()[name] for name in table["candidate"]],
            pretrained=[card.pretrained for card in cards],
            training_data=[card.training_data for card in cards],
        )


def _task_facts(pools: Sequence[Pool], drawn: Sequence[Sequence[Draw]]) -> Iterator[dict[str, Any]]:
    for pool, draws in zip(pools, drawn, strict=True):
        sizes = {name: len(getattr(draws[0], name)) for name in ("target", "train", "test")}
        for task in pool.tasks:
            unseen = [
                int((~task.beyond_composition(draw.train)[1][draw.test]).sum()) for draw in draws
            ]
            notes = list(pool.notes)
            if max(unseen):
                notes.append(
                    f"up to {max(unseen)} test structures of a draw hold elements that its "
                    "training rows lack: they are left out of errors"
                )
            yield {
                **{"name": task.name, "dataset": pool.dataset, "n": len(pool.ids)},
                **{"candidates": len(pool.rows), "groups": len(np.unique(pool.groups))},
                **{"beyond_composition": task.counts is not None, "notes": notes, **sizes},
            }
