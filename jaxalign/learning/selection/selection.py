"""The result of a selection: tables, facts of candidates, and what a page needs of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxalign.archives.atomic import atomic_write, write_json
from jaxalign.learning.selection.criteria import Criterion
from jaxalign.models.card import ModelCard

RECORD = "selection.json"
_OF_CANDIDATES = ("id", "name", "family", "modality", "pretrained", "training_data", "label_level")


@dataclasses.dataclass(frozen=True, eq=False)
class Selection:
    """Candidates ranked for tasks, and how well such rankings predict held-out errors.

    Attributes:
      criteria: what candidates were ranked by, with directions.
      scores: one row a task, candidate, criterion and draw: `value`, `raw`, `p`, `reason`.
      errors: one row a task, candidate, probe and draw: held-out `error` (mean absolute
        error over the labels' mean absolute deviation from their mean), `mae`, `rmse`, `r2`,
        `n`; empty if nothing was held out.
      ranking: one row a task and candidate, in the order of `settings["rank_by"]` on the first
        target set, with held-out errors beside.
      quality: one row a task, criterion and probe of the held-out error; see `ranking_quality`.
      leave_one_task_out: see `leave_one_task_out`.
      cards: data set → candidate → facts.
      tasks: facts of tasks: `name`, `dataset`, `n`, `beyond_composition`, `notes`, …
      settings: what was asked for.
      work: how many values were computed and how many were found finished.
    """

    criteria: tuple[Criterion, ...]
    scores: pd.DataFrame
    errors: pd.DataFrame
    ranking: pd.DataFrame
    quality: pd.DataFrame
    leave_one_task_out: pd.DataFrame
    cards: Mapping[str, Mapping[str, ModelCard]]
    tasks: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Any]
    work: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        """One row a task, candidate and criterion: means over draws and their standard deviation.

        A criterion that one draw lacks has no mean; the reason says why.
        """
        keys = ["dataset", "task", "candidate", "family", "criterion", "kind"]
        groups = self.scores.groupby(keys, sort=False, dropna=False)
        found = groups.agg(
            value=("value", lambda v: v.mean(skipna=False)),
            spread_over_draws=("value", lambda v: v.std(ddof=1, skipna=False)),
            raw=("raw", lambda v: v.mean(skipna=False)),
            draws=("draw", "nunique"),
            n=("n", "first"),
            reason=("reason", "max"),
        )
        return found.reset_index()

    def save(self, workdir: str | Path) -> Path:
        """Writes all tables as csv, the one of scores as parquet too, and the record last.

        Args:
          workdir: folder; it gets `selection.parquet|csv`, `selection_draws.parquet`,
            `held_out.csv`, `ranking.csv`, `quality.csv`, `leave_one_task_out.csv` and
            `selection.json` (`selection_facts`).

        Returns:
          Path of `selection.json`.
        """
        folder = Path(workdir)
        for name, table in (("selection", self.table), ("selection_draws", self.scores)):
            with atomic_write(folder / f"{name}.parquet") as file:
                file.write(table.to_parquet(index=False))
        for name, table in (
            ("selection", self.table),
            ("held_out", self.errors),
            ("ranking", self.ranking),
            ("quality", self.quality),
            ("leave_one_task_out", self.leave_one_task_out),
        ):
            with atomic_write(folder / f"{name}.csv", mode="w") as file:
                table.to_csv(file, index=False)
        write_json(folder / RECORD, selection_facts(self))
        return folder / RECORD


def selection_facts(selection: Selection) -> dict[str, Any]:
    """Everything that a page shows of a selection, as plain JSON values.

    Args:
      selection: the selection.

    Returns:
      `settings`, `work`, `tasks`, `candidates` (per data set, with `training_data`), `criteria`,
      and the tables `selection`, `held_out`, `ranking`, `quality`, `leave_one_task_out` as lists
      of records; None stands for NaN.
    """
    cards = [
        {"dataset": dataset, "candidate": name}
        | {field: getattr(card, field) for field in _OF_CANDIDATES}
        for dataset, of_dataset in selection.cards.items()
        for name, card in of_dataset.items()
    ]
    return _plain(
        {
            "settings": dict(selection.settings),
            "work": dict(selection.work),
            "tasks": [dict(task) for task in selection.tasks],
            "candidates": cards,
            "criteria": [dataclasses.asdict(criterion) for criterion in selection.criteria],
            "selection": selection.table.to_dict("records"),
            "held_out": selection.errors.to_dict("records"),
            "ranking": selection.ranking.to_dict("records"),
            "quality": selection.quality.to_dict("records"),
            "leave_one_task_out": selection.leave_one_task_out.to_dict("records"),
        }
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
