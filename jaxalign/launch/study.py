"""A study: each data set of a config as a run of its own, then the claims over all of them."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import logging

from jaxalign import api
from jaxalign.analysis.claims.claims_table import verdict_table
from jaxalign.analysis.claims.study import Study
from jaxalign.analysis.claims.study_runs import StudyRuns
from jaxalign.launch import workflow
from jaxalign.launch.dataset_run import DatasetRun, Manner, prepare, run_dataset
from jaxalign.launch.run_settings import dataset_settings, model_corpora
from jaxalign.parallel.multihost import DisagreementError
from jaxalign.profiling.machine import machine
from jaxalign.types import JaxalignError


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedStudy:
    """What a study runs, checked.

    Attributes:
      runs: data set → what it is run with.
      title: of the study.
      in_distribution_of: data set → models whose training data are of its kind.
      training_data: model → corpus.
      failed: data set → why it is left out.
    """

    runs: Mapping[str, DatasetRun]
    title: str
    in_distribution_of: Mapping[str, tuple[str, ...]]
    training_data: Mapping[str, str]
    failed: dict[str, str]


def prepare_study(settings: Mapping[str, Any], *, on_error: str = "raise") -> PreparedStudy:
    """Reads all data sets and checks all settings, before the first model runs.

    Args:
      settings: the config as a plain dictionary. `regimes` maps data set → what is different there
        from the rest of the config (`dataset` key by key), and `in_distribution_of`;
        `training_data` maps corpus → models.
      on_error: `"raise"`, or `"skip"` data sets that cannot be read.

    Returns:
      What `run_study` takes.

    Raises:
      ValueError: a setting of any data set that makes no sense, or a model of two corpora.
    """
    runs, failed, home = {}, {}, {}
    for name, own in dataset_settings(settings).items():
        home[name] = tuple(own.get("in_distribution_of", ()))
        try:
            runs[name] = prepare(own, on_error=on_error)
        except JaxalignError as error:
            _leave_out(name, error, failed, on_error=on_error)
    corpora = model_corpora(settings.get("training_data") or {})
    return PreparedStudy(runs, settings.get("title") or "Study", home, corpora, failed)


def run_study(study: PreparedStudy, workdir: Path, manner: Manner) -> Study:
    """Runs every data set into `workdir/NAME`, and tests the claims; finished work is not redone.

    Args:
      study: see `prepare_study`.
      workdir: folder of the study.
      manner: how to work; under `on_error="skip"` a data set that fails is left out and listed.

    Returns:
      The study.

    Raises:
      JaxalignError: no data set could be run, or under `"raise"` the first failure.
    """
    alignments, failed = {}, dict(study.failed)
    for name, run in study.runs.items():
        logging.info("%s: %d models", name, len(run.models))
        try:
            alignments[name] = _run(run, workdir / name, manner)
        except DisagreementError:
            raise
        # A single model left, say, is a ValueError of `align`.
        except (JaxalignError, ValueError) as error:
            _leave_out(name, error, failed, on_error=manner.on_error)
    if not alignments:
        raise JaxalignError(f"no data set of the study could be run: {failed}")
    runs = StudyRuns(alignments, study.in_distribution_of, study.training_data)
    facts = {
        "command": workflow.command_line(),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "seconds": {name: dict(a.diagnostics["seconds"]) for name, a in alignments.items()},
        "failed": failed,
    }
    return Study.of(runs, title=study.title, facts=facts)


def _run(run: DatasetRun, workdir: Path, manner: Manner) -> api.Alignment:
    start = time.perf_counter()
    alignment, done = run_dataset(run, workdir, manner)
    logging.info("%s; %.0f s", done, time.perf_counter() - start)
    return alignment


def _leave_out(name: str, error: Exception, failed: dict[str, str], *, on_error: str) -> None:
    if on_error != "skip":
        raise error
    logging.warning("data set %s is left out: %s", name, error)
    failed[name] = str(error)


def write_study(study: Study, workdir: Path) -> Path:
    """Writes the claims, the record of the study and its report.

    Args:
      study: the study.
      workdir: its folder.

    Returns:
      Path of `report/index.html`.
    """
    study.save(workdir)  # first: a report that cannot be drawn loses no result
    # The report needs packages that are an extra: imported where they are used.
    from jaxalign.report.page import write_report

    return write_report(
        study.alignments, workdir / workflow.REPORT, title=study.title, claims=study.claims
    )


def as_text(study: Study) -> str:
    """The verdicts, one line a claim."""
    rows = verdict_table(study.claims).itertuples(index=False)
    return "\n".join(f"{r.claim:<4}{r.verdict:<19}{r.statement} ({r.tests})" for r in rows)
