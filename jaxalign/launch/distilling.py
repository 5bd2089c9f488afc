"""The distillation of a config: teachers embedded, students of all arms trained, ratios written.

W/distillation holds the runs, `runs.csv|parquet` (one row a run) and `comparisons.csv|parquet`
(every arm beside the student alone).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from absl import logging

from jaxalign import api
from jaxalign.analysis.claims.convergence import trajectory_facts as plain_columns
from jaxalign.archives.atomic import atomic_write
from jaxalign.embeddings.record import Embeddings
from jaxalign.launch.dataset_run import Manner
from jaxalign.learning.distillation.arms import Arm, Lesson, teach
from jaxalign.learning.distillation.efficiency import compare_arms
from jaxalign.learning.networks.architectures import build_network
from jaxalign.learning.training.settings import TrainingSettings
from jaxalign.learning.training.task import Task, make_task
from jaxalign.models.registry import model_entry
from jaxalign.parallel.multihost import is_primary_process

FOLDER = "distillation"
FACT = "distillation"
_TASK = ("label", "validation", "test", "composition", "seed")


def read_arms(settings: Sequence[Mapping[str, Any]]) -> list[Arm]:
    """Arms as a config states them; teachers are looked up, so that a misspelled name fails early.

    Raises:
      ValueError: an arm that makes no sense, or an unknown teacher.
    """
    arms = [Arm(**{name: value for name, value in own.items()}) for own in settings]
    for arm in arms:
        if arm.teacher is not None:
            model_entry(arm.teacher)
    return arms


def check_settings(settings: Mapping[str, Any]) -> None:
    """Makes sure that students can be built, that arms make sense and that teachers exist.

    Raises:
      ValueError: what does not.
    """
    read_arms(settings["arms"])
    TrainingSettings(**settings["training"])
    for architecture, width, depth in settings["students"]:
        build_network(architecture, width=width, depth=depth)


def distill(
    structures: api.StructureSet,
    task: Mapping[str, Any],
    settings: Mapping[str, Any],
    workdir: Path,
    manner: Manner,
) -> dict[str, Any]:
    """Trains all students and compares the arms; what is finished is read back.

    Args:
      structures: those of the task.
      task: arguments of `make_task`; its training set is the pool.
      settings: `students` ((architecture, width, depth), …), `labels` (numbers of labels), `arms`,
        `seeds`, `training`.
      workdir: of the study.
      manner: how to work.

    Returns:
      The fact `distillation`: columns of both tables, and how the students were trained.

    Raises:
      ValueError: settings that make no sense, more labels than training structures, or a teacher
        that lacks rows.
    """
    arms, training = read_arms(settings["arms"]), TrainingSettings(**settings["training"])
    pool = make_task(structures, **task)
    tasks = {count: _of_labels(structures, task, pool, count) for count in settings["labels"]}
    folder = workdir / FOLDER
    teachers = _teachers(arms, structures, folder, manner)
    tables = []
    for architecture, width, depth in settings["students"]:
        network = build_network(architecture, width=width, depth=depth)
        lesson = Lesson(network, tasks, pool, training, teachers)
        how = {"mesh": manner.mesh, "progress": manner.progress}
        tables.append(teach(lesson, arms, folder, seeds=range(settings["seeds"]), **how))
    runs = pd.concat(tables, ignore_index=True)
    comparisons = compare_arms(runs)
    if is_primary_process():
        _write(runs, folder / "runs")
        _write(comparisons, folder / "comparisons")
    return {
        "runs": plain_columns(runs),
        "comparisons": plain_columns(comparisons),
        "label": pool.label,
        "pool": len(pool.splits.train),
        "training": training.to_json(),
    }


def as_text(fact: Mapping[str, Any]) -> str:
    """The comparisons, one line each."""
    lines = []
    for row in pd.DataFrame(dict(fact["comparisons"])).to_dict("records"):
        interval = "" if row["low"] is None else f" ({row['low']:.3f} to {row['high']:.3f})"
        lines.append(
            f"{row['student']}, {row['labels']:,} labels, {row['arm']}: error × {row['ratio']:.3f}"
            f"{interval}: {row['verdict']}"
        )
    return "\n".join(lines)


def _of_labels(
    structures: api.StructureSet, task: Mapping[str, Any], pool: Task, count: int
) -> Task:
    available = len(pool.splits.train)
    if not 1 <= count <= available:
        raise ValueError(
            f"{count} labels were asked for, and the training set has {available}: choose fewer"
        )
    return make_task(
        structures, **{name: task[name] for name in _TASK if name in task}, train=count
    )


def _teachers(
    arms: Sequence[Arm], structures: api.StructureSet, folder: Path, manner: Manner
) -> dict[str, Embeddings]:
    found = {}
    for name in dict.fromkeys(arm.teacher for arm in arms if arm.teacher):
        key = structures.content_hash[:12]
        found[name] = api.embed(
            name,
            structures,
            store=folder / "embeddings" / f"{name}-{key}",
            progress=manner.progress,
            mesh=manner.mesh,
        )
        logging.info("teacher %s: %d structures", name, len(found[name].ids))
    return found


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic_write(path.with_suffix(".parquet")) as file:
        table.to_parquet(file, index=False)
    with atomic_write(path.with_suffix(".csv"), mode="w") as file:
        table.to_csv(file, index=False)
