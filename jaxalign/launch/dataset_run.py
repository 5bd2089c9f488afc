"""One data set of a run: structures in; embeddings, energies, scores and facts out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import logging

from jaxalign import api
from jaxalign.alignment.plan import plan_metrics
from jaxalign.analysis.disagreement_facts import disagreement_facts
from jaxalign.analysis.halves import check_halves, half_facts
from jaxalign.analysis.rotation_table import check_count, rotation_table
from jaxalign.launch import explaining, reading, recipes, workflow
from jaxalign.launch.energy_table import write_energies
from jaxalign.launch.labeled_energies import energy_records

_SCORES = ("k", "normalize", "similarity")


@dataclasses.dataclass(frozen=True, eq=False)
class DatasetRun:
    """What one data set is run with, checked.

    Attributes:
      structures: what is embedded.
      models: registry ids.
      settings: the config as a plain dictionary.
      scores: settings of `align` that decide scores.
      explain: arguments of `explain`; empty for no explanations.
      strata: what may change places under permutations, if that is restricted.
      energy_models: models whose energies are predicted too, as far as they predict any.
    """

    structures: api.StructureSet
    models: list[str]
    settings: Mapping[str, Any]
    scores: dict[str, Any]
    explain: dict[str, Any]
    strata: api.Strata | None
    energy_models: list[str]


@dataclasses.dataclass(frozen=True)
class Manner:
    """How a run goes about its work, whatever it is.

    Attributes:
      on_error: `"raise"`, or `"skip"` structures and models that fail (they are listed).
      progress: print progress lines.
      mesh: devices that work; None means all.
    """

    on_error: str = "raise"
    progress: bool = False
    mesh: Any = None


def prepare(settings: Mapping[str, Any], *, on_error: str = "raise") -> DatasetRun:
    """Reads the structures and checks every setting, before the first model runs.

    Args:
      settings: the config of one data set as a plain dictionary.
      on_error: `"raise"` or `"skip"` records that cannot be parsed.

    Returns:
      What `run_dataset` takes.

    Raises:
      ValueError: an unknown model, metric or setting, an impossible k, too few structures.
      JaxalignError: structures that cannot be read.
    """
    structures = reading.read_dataset(settings["dataset"], on_error=on_error)
    logging.info("%d structures of %s", len(structures), structures.name)
    scores = {"metrics": tuple(settings["metrics"])}
    scores |= {name: settings.get(name) for name in _SCORES}
    plan_metrics(**scores, n=len(structures))
    check_count(settings.get("rotation_test") or 0)
    check_halves(settings.get("halves") or 0)
    by, models = settings.get("permute_within"), workflow.model_ids(settings["models"])
    return DatasetRun(
        structures=structures,
        models=models,
        settings=settings,
        scores=scores,
        explain=explaining.check_settings(settings.get("explain")),
        strata=api.strata(structures, by) if by else None,
        energy_models=_energy_models(settings.get("energies"), models),
    )


def _energy_models(wanted: bool | Sequence[str] | None, models: list[str]) -> list[str]:
    if isinstance(wanted, bool) or not wanted:
        return models if wanted else []
    if unknown := sorted(set(wanted) - set(models)):
        raise ValueError(f"energies names models that are not run: {unknown}; add them to models")
    return list(wanted)


def run_dataset(run: DatasetRun, workdir: Path, manner: Manner) -> tuple[api.Alignment, str]:
    """Embeds, predicts energies, aligns and gathers the facts; what is finished is not redone.

    Args:
      run: see `prepare`.
      workdir: folder of the data set's results.
      manner: how to work.

    Returns:
      The alignment, saved in `workdir/alignment`, and a sentence about the work done and reused.
    """
    settings, structures = run.settings, run.structures
    shape = {"layer": settings.get("layer"), "pooling": settings.get("pooling")}
    embedded = workflow.embed_models(
        run.models, structures, workdir, **shape, **dataclasses.asdict(manner)
    )
    common = _common(run, workdir, manner)
    alignment = api.align(
        embedded.embeddings,
        **common,
        permutations=settings.get("permutations") or 0,
        permute_within=run.strata and run.strata.by_id(),
        confidence=settings.get("confidence"),
    )
    facts = _embedding_facts(embedded, alignment) | _run_facts(run)
    facts |= recipes.source_facts(embedded.stores, workdir)
    facts |= _energy_facts(run, workdir, manner)
    facts |= _further_facts(run, embedded, alignment, common, shape)
    alignment = alignment.with_facts(**facts)
    alignment.save(workdir)
    done = workflow.describe_work(alignment.diagnostics["work"], embedded.rows_computed)
    return alignment, done


def _common(run: DatasetRun, workdir: Path, manner: Manner) -> dict[str, Any]:
    """Arguments that everything computed from the embeddings shares."""
    return {
        **run.scores,
        "groups": reading.groups(run.structures),
        "seed": run.settings["dataset"].get("seed", 0),
        "mesh": manner.mesh,
        "tile_size": run.settings.get("tile_size"),
        "memory_budget": run.settings.get("memory_budget"),
        "workdir": workdir,
        "progress": manner.progress,
    }


def _energy_facts(run: DatasetRun, workdir: Path, manner: Manner) -> dict[str, Any]:
    if not run.energy_models:
        return {}
    models = run.energy_models
    table = write_energies(models, run.structures, workdir, **dataclasses.asdict(manner))
    if table is None:
        return {}
    wanted = run.settings.get("energy_label") or None
    return {"energy_errors": energy_records(table, run.structures, label=wanted)}


def _further_facts(
    run: DatasetRun,
    embedded: workflow.Embedded,
    alignment: api.Alignment,
    common: Mapping[str, Any],
    shape: Mapping[str, Any],
) -> dict[str, Any]:
    """Disputed structures, and the halves, curves and the like that are asked for."""
    curves = None
    if run.settings.get("score_curves"):
        curves = api.score_curves(embedded.embeddings, **common)
    explanations = explaining.explanations_of(
        embedded.embeddings,
        alignment,
        run.structures,
        run.explain,
        **{name: value for name, value in common.items() if name != "metrics"},
    )
    drifts = rotation_table(
        list(embedded.embeddings),
        run.structures,
        count=run.settings.get("rotation_test") or 0,
        **shape,
        seed=common["seed"],
        workdir=common["workdir"],
    )
    halves = run.settings.get("halves") or 0
    return half_facts(embedded.embeddings, common, halves=halves) | {
        "explanations": explanations,
        "rotations": [drift.to_json() for drift in drifts],
        "score_curves": curves and curves.summary(),
        "disagreements": disagreement_facts(alignment, run.structures),
    }


def _embedding_facts(embedded: workflow.Embedded, alignment: api.Alignment) -> dict[str, Any]:
    known = alignment.diagnostics
    return {
        "skipped": embedded.skipped,
        "unseen_inputs": embedded.unseen,
        "failed_models": {**known["failed_models"], **embedded.failed},
        "embedding": embedded.work,
        "seconds": {"embed": embedded.seconds, **known["seconds"]},
    }


def _run_facts(run: DatasetRun) -> dict[str, Any]:
    structures = run.structures
    return {
        "dataset": {"name": structures.name, "content_hash": structures.content_hash},
        "title": run.settings.get("title"),
        "exchangeable": run.strata and run.strata.assumption,
        "command": workflow.command_line(),
    } | recipes.recipe_facts(run.settings["dataset"])
