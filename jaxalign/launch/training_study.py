"""What follows training in `jaxalign train`: tracking, distillation, claims and one report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxalign.analysis.claims.study import Study
from jaxalign.launch import distilling, reading, study, tracking
from jaxalign.launch.dataset_run import Manner
from jaxalign.learning.training.ladder import LadderRun
from jaxalign.learning.training.task import Task
from jaxalign.parallel.multihost import is_primary_process


def check_settings(config: Mapping[str, Any]) -> None:
    """Looks at everything that follows training before it begins.

    Args:
      config: of `jaxalign train`; `tracking` and `distillation` may be missing.

    Raises:
      ValueError: a model, an arm or a number that makes no sense.
    """
    if config.get("tracking"):
        tracking.check_settings(config["tracking"])
    if config.get("distillation"):
        distilling.check_settings(config["distillation"])


def follow(
    runs: Sequence[LadderRun],
    task: Task,
    config: Mapping[str, Any],
    workdir: Path,
    manner: Manner,
) -> Path | None:
    """Tracks the checkpoints and teaches the students that a config asks for; prints what came out.

    Args:
      runs: of the ladder.
      task: what they learned.
      config: of `jaxalign train`.
      workdir: of the study.
      manner: how to work.

    Returns:
      Path of the report; None without tracking.
    """
    found: Study | None = None
    if config.get("tracking"):
        found = tracking.track(runs, task, config["tracking"], workdir, manner)
    fact = _distilled(config, workdir, manner) if config.get("distillation") else None
    if found is not None and fact is not None:
        found = _with_fact(found, fact, workdir)  # all processes save together
    if not is_primary_process():
        return None
    if fact is not None:
        print(distilling.as_text(fact))
    if found is None:
        return None
    print(study.as_text(found))
    return study.write_study(found, workdir)


def _distilled(config: Mapping[str, Any], workdir: Path, manner: Manner) -> dict[str, Any]:
    structures = reading.read_dataset(config["dataset"], on_error=manner.on_error)
    return distilling.distill(structures, config["task"], config["distillation"], workdir, manner)


def _with_fact(found: Study, fact: Mapping[str, Any], workdir: Path) -> Study:
    """The study with what distillation found, which the report shows beside the first data set."""
    first, *_ = found.alignments
    alignment = found.alignments[first].with_facts(**{distilling.FACT: fact})
    alignment.save(workdir / first)
    return dataclasses.replace(found, alignments={**found.alignments, first: alignment})
