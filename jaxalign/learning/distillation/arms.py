"""Students of several arms, numbers of labels and seeds, with equal budgets of updates.

* a student alone: all updates on the labeled structures;
* with a teacher: the same updates, with an alignment loss beside;
* with a teacher and a pool: so many of the updates learn the teacher's geometry on all structures
  of the pool, labeled or not, and need no label; the others are those of the arm before.

All arms of a seed begin with the same parameters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from absl import logging

from jaxalign.embeddings.extract import embed_structures
from jaxalign.embeddings.record import Embeddings
from jaxalign.learning.distillation.efficiency import ALONE
from jaxalign.learning.distillation.objective import distillation
from jaxalign.learning.networks.network import Network, Params
from jaxalign.learning.training.checkpoints import load_checkpoint
from jaxalign.learning.training.inputs import Inputs, make_inputs
from jaxalign.learning.training.objective import Objective, regression
from jaxalign.learning.training.run_setup import run_name
from jaxalign.learning.training.settings import TrainingSettings
from jaxalign.learning.training.task import Task
from jaxalign.learning.training.train import train
from jaxalign.learning.training.trained_run import TrainedRun
from jaxalign.metrics import cka

POOL = "pool"


@dataclasses.dataclass(frozen=True)
class Arm:
    """A way to teach.

    Attributes:
      name: e.g. `"distilled"`; `"alone"` for the student without a teacher.
      teacher: whose embeddings; None for the student alone.
      weight: of the alignment loss.
      alignment: its kind, see `ALIGNMENT_LOSSES`.
      alignment_settings: further settings of it.
      pool: share of the updates that learn the teacher's geometry of all structures first.
    """

    name: str
    teacher: str | None = None
    weight: float = 1.0
    alignment: str = "cka"
    alignment_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pool: float = 0.0

    def __post_init__(self):
        if (self.name == ALONE) != (self.teacher is None):
            raise ValueError(
                f"an arm without a teacher is called {ALONE!r}, and no other one is: got "
                f"name={self.name!r}, teacher={self.teacher!r}"
            )
        if not 0 <= self.pool < 1:
            raise ValueError(f"pool is a share of the updates, below 1: got {self.pool!r}")


@dataclasses.dataclass(frozen=True, eq=False)
class Lesson:
    """One student, with everything that all of its runs share.

    Attributes:
      network: the student.
      tasks: number of labels → the task with so many training structures.
      pool: the task with all training structures, whose labels are not used.
      settings: of all runs; `steps` is the budget.
      teachers: name → embeddings of all structures of the pool and of the test.
    """

    network: Network
    tasks: Mapping[int, Task]
    pool: Task
    settings: TrainingSettings
    teachers: Mapping[str, Embeddings]


def teach(
    lesson: Lesson,
    arms: Sequence[Arm],
    workdir: str | Path,
    *,
    seeds: Sequence[int],
    mesh: Any = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Trains every arm with every number of labels from every seed; finished runs are read back.

    Args:
      lesson: the student.
      arms: of different names, `"alone"` among them.
      workdir: runs go to `workdir/ARM/LABELS/RUN`.
      seeds: of parameters and of the order of structures.
      mesh: devices that share every minibatch.
      progress: print progress.

    Returns:
      One row a run: `student`, `labels`, `arm`, `teacher`, `seed`, `validation_mae_ev`,
      `test_mae_ev`, `steps`, `seconds`, and `cka` (debiased, linear) of the student's embeddings of
      the test structures with the teacher's (of the first teacher, for the student alone).

    Raises:
      ValueError: arms of one name, none that is alone, or a teacher that lacks rows.
    """
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names) or ALONE not in names:
        raise ValueError(f"arms have names of their own, {ALONE!r} among them: got {names}")
    _require_rows(lesson, arms)
    network, rows = lesson.network, []
    first = next((arm.teacher for arm in arms if arm.teacher), None)
    inputs = {n: make_inputs(network, task, progress=progress) for n, task in lesson.tasks.items()}
    pool = None
    for arm in arms:
        phases = _Phases(lesson, arm)
        if arm.pool and pool is None:
            pool = make_inputs(network, lesson.pool, progress=progress)
        for labels in lesson.tasks:
            for seed in seeds:
                folder = Path(workdir) / arm.name.replace(" ", "-")
                how = {"seed": seed, "mesh": mesh, "progress": progress}
                run = phases.run(inputs[labels], pool, folder, labels, **how)
                found = _row(lesson, arm, labels, run, arm.teacher or first)
                rows.append(found)
                logging.info("%s", _line(found))
    return pd.DataFrame(rows)


def _require_rows(lesson: Lesson, arms: Sequence[Arm]) -> None:
    """Every teacher has embedded all structures, before the first student is trained."""
    splits = lesson.pool.splits
    wanted = [*splits.train.ids, *splits.test.ids]
    for name in dict.fromkeys(arm.teacher for arm in arms if arm.teacher is not None):
        if name not in lesson.teachers:
            raise ValueError(f"there are no embeddings of the teacher {name!r}: embed it first")
        known = set(lesson.teachers[name].ids)
        if missing := [identifier for identifier in wanted if identifier not in known]:
            raise ValueError(
                f"the teacher {name} has no rows for {len(missing)} of {len(wanted)} structures, "
                f"{missing[0]!r} among them; embed them all, or leave them out of the task"
            )


class _Phases:
    """The one or two phases of an arm; objectives are made once, and so compiled once."""

    def __init__(self, lesson: Lesson, arm: Arm):
        self._lesson, self._arm = lesson, arm
        kind = lesson.settings.loss
        self._task = regression(lesson.network, loss=kind)
        self._geometry: Objective | None = None
        if arm.teacher is not None:
            how = {
                "weight": arm.weight,
                "alignment": arm.alignment,
                "alignment_settings": arm.alignment_settings,
                "loss": kind,
            }
            teacher = lesson.teachers[arm.teacher]
            self._task = distillation(lesson.network, teacher, **how)
            if arm.pool:
                self._geometry = distillation(lesson.network, teacher, **how, task=0.0)

    def run(
        self, inputs: Inputs, pool: Inputs | None, folder: Path, labels: int, **how: Any
    ) -> TrainedRun:
        """One run with some number of labels."""
        network, settings = self._lesson.network, self._lesson.settings
        name, first = run_name(network.card.id, how["seed"]), None
        if self._geometry is not None and pool is not None:
            first, settings = self._learn_geometry(pool, folder / POOL / name, **how)
        task, objective = inputs.task, self._task
        place = folder / str(labels) / name
        return train(
            *(network, task, settings, place),
            **how,
            objective=objective,
            inputs=inputs,
            initial=first,
        )

    def _learn_geometry(
        self, pool: Inputs, folder: Path, **how: Any
    ) -> tuple[Params, TrainingSettings]:
        """Parameters after the first phase, which all numbers of labels share, and what is left."""
        network, settings = self._lesson.network, self._lesson.settings
        count = max(1, round(self._arm.pool * settings.steps))
        # No label decides here: neither early stopping nor the choice of a best step.
        first = dataclasses.replace(
            settings, steps=count, warmup=min(settings.warmup, count - 1), patience=settings.steps
        )
        objective = self._geometry
        train(network, pool.task, first, folder, **how, objective=objective, inputs=pool)
        left = settings.steps - count
        rest = dataclasses.replace(settings, steps=left, warmup=min(settings.warmup, left - 1))
        return load_checkpoint(folder, count, network=network), rest


def _row(
    lesson: Lesson, arm: Arm, labels: int, run: TrainedRun, teacher: str | None
) -> dict[str, Any]:
    facts = {
        "student": lesson.network.card.id,
        "labels": labels,
        "arm": arm.name,
        "teacher": arm.teacher or "",
        "seed": run.seed,
        "validation_mae_ev": run.validation_mae_ev,
        "test_mae_ev": run.test_mae_ev,
        "steps": run.steps,
        "seconds": run.seconds,
    }
    if teacher is None:
        return facts
    params = load_checkpoint(run.folder, None, network=lesson.network)
    test = lesson.pool.splits.test
    own = embed_structures(lesson.network.encoder(params, id="student"), test, progress=False)
    known = lesson.teachers[teacher]
    place = {name: row for row, name in enumerate(known.ids)}
    theirs = known.values[[place[name] for name in own.ids]]
    return facts | {"cka": float(cka(own.values, theirs))}


def _line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['student']}, {row['labels']:,} labels, {row['arm']}, seed {row['seed']}: test error "
        f"{row['test_mae_ev']:.4f} eV"
    )
