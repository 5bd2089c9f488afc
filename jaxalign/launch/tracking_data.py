"""Structures on which checkpoints are compared: those kept out of training, and others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxalign import api
from jaxalign.launch import reading
from jaxalign.learning.training.task import Task
from jaxalign.structures.conformers import conformers
from jaxalign.structures.element_filter import with_elements
from jaxalign.structures.structure import draw_rows

HELD_OUT = "test"
_KNOWN = {"split", "dataset", "n", "seed", "within", "containing", "conformers"}
_COORDINATES = "conformers.npz"


def tracked_structures(
    settings: Mapping[str, Any],
    task: Task,
    folder: Path,
    *,
    on_error: str = "raise",
    progress: bool = False,
) -> api.StructureSet:
    """The structures of one tracked data set.

    Args:
      settings: `split` (`"test"` or `"validation"`: that of the task), or `dataset` (as of
        `jaxalign run`, all of it); `within` and `containing`, symbols of allowed and of wanted
        elements; `n` and `seed` of a random subset of what is left; `conformers` (True: coordinates
        for molecules that have none).
      task: whose splits are meant.
      folder: of the data set; coordinates are kept there.
      on_error: `"raise"`, or `"skip"` records and molecules that cannot be used.
      progress: print progress lines.

    Raises:
      ValueError: settings that make no sense, or too few structures.
    """
    if unknown := sorted(set(settings) - _KNOWN):
        raise ValueError(f"a tracked data set has no setting {unknown}; known: {sorted(_KNOWN)}")
    structures = _source(settings, task, on_error)
    if settings.get("within") or settings.get("containing"):
        wanted = {name: settings.get(name) or () for name in ("within", "containing")}
        structures = with_elements(structures, **wanted)
    structures = _draw(structures, settings.get("n"), settings.get("seed") or 0)
    if settings.get("conformers"):
        folder.mkdir(parents=True, exist_ok=True)
        store = folder / _COORDINATES
        structures = conformers(structures, store=store, on_error=on_error, progress=progress)
    return structures


def _source(settings: Mapping[str, Any], task: Task, on_error: str) -> api.StructureSet:
    split, dataset = settings.get("split"), settings.get("dataset")
    if bool(split) == bool(dataset):
        raise ValueError(
            "a tracked data set is either a split of the task ('test', 'validation') or a dataset: "
            f"got split={split!r} and dataset={dataset!r}"
        )
    if dataset:
        return reading.read_dataset(dataset, on_error=on_error)
    parts = dict(task.splits)
    if split not in parts:
        raise ValueError(f"a split of the task is one of {sorted(parts)}: got {split!r}")
    return parts[split]


def _draw(structures: api.StructureSet, n: int | None, seed: int) -> api.StructureSet:
    """At most n of them at random: a split is as large as it is."""
    if n is None or n >= len(structures):
        return structures
    rows = draw_rows(len(structures), n=n, seed=seed)
    chosen = [structures[row] for row in rows]
    return api.StructureSet(chosen, name=structures.name, skipped=structures.skipped)
