"""Scores of candidates and their held-out errors as arrays, one record a task."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from jaxalign.learning.selection.criteria import Criterion


@dataclasses.dataclass(frozen=True, eq=False)
class TaskPoints:
    """One task: every criterion and the held-out error of every candidate, in every draw.

    Attributes:
      task: its name.
      dataset: its data set.
      candidates: labels, in order.
      families: of the candidates.
      criteria: ids, in order.
      scores: `[draws, criteria, m]`; larger promises a smaller error; NaN where not computed.
      errors: `[draws, m]`.
    """

    task: str
    dataset: str
    candidates: tuple[str, ...]
    families: tuple[str, ...]
    criteria: tuple[str, ...]
    scores: Float64[np.ndarray, "draws criteria m"]
    errors: Float64[np.ndarray, "draws m"]

    def among(self, kept: Bool[np.ndarray, " m"]) -> TaskPoints:
        """The same of some candidates."""
        return dataclasses.replace(
            self,
            candidates=tuple(itertools.compress(self.candidates, kept)),
            families=tuple(itertools.compress(self.families, kept)),
            scores=self.scores[..., kept],
            errors=self.errors[:, kept],
        )


def task_points(
    scores: pd.DataFrame,
    errors: pd.DataFrame,
    families: Mapping[str, Mapping[str, str]],
    criteria: tuple[Criterion, ...],
    *,
    probe: str,
) -> tuple[TaskPoints, ...]:
    """Arrays of all tasks.

    Args:
      scores: one row a task, candidate, criterion and draw, with `value`.
      errors: one row a task, candidate, probe and draw, with `error`.
      families: data set → candidate → family.
      criteria: with their directions.
      probe: whose errors.

    Returns:
      One record a task, in the order of the errors.
    """
    found = []
    errors = errors[errors["probe"] == probe]
    for task, own in errors.groupby("task", sort=False):
        dataset = own["dataset"].iloc[0]
        names = list(families[dataset])
        wide = own.pivot(index="draw", columns="candidate", values="error")[names]
        of_task = scores[scores["task"] == task]
        cube = [
            c.sign
            * of_task[of_task["criterion"] == c.id]
            .pivot(index="draw", columns="candidate", values="value")
            .reindex(index=wide.index, columns=names)
            .to_numpy(np.float64)
            for c in criteria
        ]
        found.append(
            TaskPoints(
                task=str(task),
                dataset=dataset,
                candidates=tuple(names),
                families=tuple(families[dataset].values()),
                criteria=tuple(c.id for c in criteria),
                scores=np.stack(cube, axis=1),
                errors=wide.to_numpy(np.float64),
            )
        )
    return tuple(found)
