"""Checkpoints of trained networks as rows of alignments: trajectories, claim T9b, one report.

W/NAME of every tracked data set is a run like those of `jaxalign run`: the networks as they were
when training ended, pretrained models and controls. All checkpoints beside them are aligned in
W/NAME/checkpoints; W/NAME/trajectories.parquet and .csv have their numbers.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from absl import logging

from jaxalign import api
from jaxalign.alignment.resume import content_key
from jaxalign.analysis.claims.convergence import FACT, PRETRAINED, trajectory_facts
from jaxalign.analysis.claims.study import Study
from jaxalign.analysis.claims.study_runs import StudyRuns
from jaxalign.analysis.convergence.trajectories import Checkpoint, trajectories
from jaxalign.analysis.halves import check_halves, half_matrices
from jaxalign.archives.atomic import atomic_write
from jaxalign.embeddings.extract import embed_structures
from jaxalign.launch import recipes, workflow
from jaxalign.launch.dataset_run import Manner
from jaxalign.launch.tracking_data import tracked_structures
from jaxalign.learning.tracking.checkpoint_encoders import TrackedCheckpoint, tracked_checkpoints
from jaxalign.learning.training.ladder import LadderRun
from jaxalign.learning.training.task import Task
from jaxalign.models.registry import model_entry
from jaxalign.parallel.multihost import is_primary_process
from jaxalign.profiling.machine import machine

ALL = "checkpoints"
TABLE = "trajectories"
_METRICS = ("cknna", "cka")  # of trajectories, the first with intervals
_DIMENSIONS = ("id:twonn",)


@dataclasses.dataclass(frozen=True, eq=False)
class Tracked:
    """A finished run with those of its checkpoints that are followed.

    Attributes:
      run: the run.
      checkpoints: in the order of their steps.
    """

    run: LadderRun
    checkpoints: Sequence[TrackedCheckpoint]

    def records(self) -> list[Checkpoint]:
        """What trajectories need to know."""
        settings = self.run.network.settings
        return [
            Checkpoint(
                model=found.encoder.card.id,
                run=self.run.folder.name,
                architecture=str(settings["architecture"]),
                width=int(settings["width"]),
                depth=int(settings["depth"]),
                parameters=int(self.run.network.card.parameters or 0),
                seed=self.run.seed,
                step=found.step,
                last=found.last,
                error_ev=found.error_ev,
            )
            for found in self.checkpoints
        ]


def check_settings(settings: Mapping[str, Any]) -> None:
    """Makes sure that models exist and that numbers make sense, before anything is computed.

    Raises:
      ValueError: what does not.
    """
    check_halves(settings["halves"])
    if settings["checkpoints"] < 2:
        raise ValueError(
            f"tracking follows at least 2 checkpoints of a run: got {settings['checkpoints']}"
        )
    for own in settings["datasets"].values():
        for name in _registered(own):
            model_entry(name)  # a misspelled name fails before the first model runs


def track(
    runs: Sequence[LadderRun],
    task: Task,
    settings: Mapping[str, Any],
    workdir: Path,
    manner: Manner,
) -> Study:
    """Aligns checkpoints of finished runs on every tracked data set, and tests T9b.

    Args:
      runs: of a ladder; those that failed are left out.
      task: what they learned.
      settings: `datasets` (name → see `tracked_structures`, and `references`: family → registry
        ids, `controls`: registry ids), `checkpoints` (of a run), `metrics`, `k`, `halves`,
        `confidence`, `title`.
      workdir: folder of the study.
      manner: how to work.

    Returns:
      The study; each alignment has the fact `trajectories`.
    """
    tracked = _tracked(runs, task, settings["checkpoints"])
    alignments = {}
    for name, own in settings["datasets"].items():
        start = time.perf_counter()
        alignments[name] = _align(name, own, settings, tracked, task, workdir / name, manner)
        logging.info("%s: %.0f s", name, time.perf_counter() - start)
    facts = {
        "command": workflow.command_line(),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "failed": {run.folder.name: run.reason for run in runs if run.result is None},
    }
    title = settings.get("title") or "Trained networks"
    return Study.of(StudyRuns(alignments), title=title, facts=facts)


def _tracked(runs: Sequence[LadderRun], task: Task, count: int) -> list[Tracked]:
    splits = task.splits
    trained_on = f"{splits.train.name}: {len(splits.train):,} structures, {task.label}"
    facts = {"training_data": trained_on, "label_level": task.label}
    return [
        Tracked(run, tracked_checkpoints(run.folder, run.network, count=count, **facts))
        for run in runs
        if run.result is not None
    ]


def _align(
    name: str,
    own: Mapping[str, Any],
    settings: Mapping[str, Any],
    tracked: Sequence[Tracked],
    task: Task,
    folder: Path,
    manner: Manner,
) -> api.Alignment:
    source = {key: value for key, value in own.items() if key not in ("references", "controls")}
    how = {"on_error": manner.on_error, "progress": manner.progress}
    structures = tracked_structures(source, task, folder, **how)
    logging.info("%s: %d structures of %s", name, len(structures), structures.name)
    embedded = workflow.embed_models(
        _registered(own), structures, folder, **dataclasses.asdict(manner)
    )
    checkpoints, stores = _embed(tracked, structures, folder, manner)
    stores |= embedded.stores
    common = {
        "metrics": tuple(settings["metrics"]),
        "k": settings.get("k"),
        "seed": 0,
        "mesh": manner.mesh,
        "progress": manner.progress,
    }
    records = [record for one in tracked for record in one.records()]
    table = _trajectories(records, checkpoints, embedded, own, common, settings, folder)
    last = {r.model: checkpoints[r.model] for r in records if r.last}
    models = {**last, **embedded.embeddings}
    alignment = api.align(
        models, **common, workdir=folder, confidence=settings.get("confidence")
    ).with_facts(
        **{FACT: trajectory_facts(table)},
        dataset={"name": structures.name, "content_hash": structures.content_hash},
        title=f"{settings.get('title') or 'Trained networks'}: {name}",
        command=workflow.command_line(),
        skipped=embedded.skipped,
        **recipes.source_facts({m: stores[m] for m in models}, folder),
    )
    alignment.save(folder)
    return alignment


def _registered(own: Mapping[str, Any]) -> list[str]:
    """Models of the registry that a data set is compared with."""
    families = (own.get("references") or {}).values()
    return [*(model for members in families for model in members), *(own.get("controls") or ())]


def _embed(
    tracked: Sequence[Tracked], structures: api.StructureSet, folder: Path, manner: Manner
) -> tuple[dict[str, Any], dict[str, Path]]:
    """Embeddings of all checkpoints and where they are; finished ones are read back."""
    found, stores = {}, {}
    for one in tracked:
        for checkpoint in one.checkpoints:
            key = content_key(parameters=checkpoint.fingerprint, structures=structures.content_hash)
            name = checkpoint.encoder.card.id
            stores[name] = folder / workflow.EMBEDDINGS / f"{name}-{key[:12]}"
            found[name] = embed_structures(
                checkpoint.encoder,
                structures,
                store_path=stores[name],
                on_error=manner.on_error,
                progress=False,
                mesh=manner.mesh,
                in_memory=False,
            )
        logging.info("embedded the checkpoints of %s", one.run.folder.name)
    return found, stores


def _references(own: Mapping[str, Any], there: set[str]) -> dict[str, dict[str, list[str]]]:
    """What checkpoints are compared with besides each other: models that could be embedded."""
    families = {
        family: [model for model in members if model in there]
        for family, members in (own.get("references") or {}).items()
    }
    controls = {c: {"": [c]} for c in own.get("controls") or () if c in there}
    return ({PRETRAINED: families} if any(families.values()) else {}) | controls


def _trajectories(
    records: Sequence[Checkpoint],
    checkpoints: Mapping[str, Any],
    embedded: workflow.Embedded,
    own: Mapping[str, Any],
    common: Mapping[str, Any],
    settings: Mapping[str, Any],
    folder: Path,
) -> pd.DataFrame:
    models = {**checkpoints, **embedded.embeddings}
    wanted = tuple(m for m in (*_METRICS, *_DIMENSIONS) if m in common["metrics"])
    common = {**common, "metrics": wanted, "workdir": folder / ALL}
    alignment = api.align(models, **common)
    halves = half_matrices(models, common, halves=settings["halves"])
    references = _references(own, set(embedded.embeddings))
    metrics = [m for m in _METRICS if m in wanted]
    table = trajectories(alignment, records, references, metrics=metrics, halves=halves)
    if is_primary_process():
        _write(table, folder / TABLE)
    return table


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic_write(path.with_suffix(".parquet")) as file:
        table.to_parquet(file, index=False)
    with atomic_write(path.with_suffix(".csv"), mode="w") as file:
        table.to_csv(file, index=False)
