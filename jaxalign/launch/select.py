"""Choose an encoder for a task from a few labels, and see how far such choices can be trusted.

    jaxalign select --config=configs/selection.py --workdir=W
    jaxalign select --config=configs/selection.py --workdir=W --config.target=100
    jaxalign select --config=configs/selection.py --workdir=W --config.rank_by=label:dcor

Criteria see the labels of a small target set alone: probes within it, calibrated alignment of
embedding and label, and what needs no labels. Held-out errors of probes that are trained on many
labels say how well each criterion would have chosen.

Candidates are encoders of the registry, or files of embeddings (.npy, .npz, stores, as `jaxalign
align` reads them) with ids; labels are those of the data set, or columns of a .csv (ids in its
first column). Where all labels are few, --config.target=0 --config.test=0 --config.draws=1
ranks by all of them and judges nothing.

The workdir gets embeddings/, selection.parquet|csv (one row a task, candidate and criterion),
ranking.csv, quality.csv, leave_one_task_out.csv, selection.json, and, with the extra `report`,
report/index.html with all of it. The same command run again resumes and computes nothing that is
finished. Runs in one process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from absl import flags, logging
from ml_collections import config_flags

from jaxalign import api
from jaxalign.embeddings.formats import read_embedding_collection
from jaxalign.launch import folders, reading, runtime, workflow
from jaxalign.launch.process import run_verb
from jaxalign.learning.selection.arguments import check_settings
from jaxalign.learning.selection.extra import require_sklearn
from jaxalign.learning.selection.label_file import read_task_labels
from jaxalign.learning.selection.select import select
from jaxalign.learning.selection.selection import Selection
from jaxalign.learning.selection.task import Task, labeled_task
from jaxalign.learning.selection.wording import describe
from jaxalign.types import MissingExtraError

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file with get_config(); see configs/selection.py.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for everything this run makes.")
_ON_ERROR = flags.DEFINE_enum(
    "on_error",
    "raise",
    ["raise", "skip"],
    "Models that fail, structures that cannot be read or have no label: stop, or leave them out.",
)
_PROGRESS = flags.DEFINE_bool("progress", True, "Print work done, rate and time left.")
flags.adopt_module_key_flags(runtime)
flags.mark_flags_as_required(["config", "workdir"])

_CHECKED = ("target", "test", "draws", "metrics", "k", "rank_by", "permutations", "confidence")
_SETTINGS = (*_CHECKED, "seed")


def main(words: Sequence[str]) -> None:
    """Reads, embeds, selects, writes and prints."""
    if words:
        raise ValueError(f"unexpected arguments {list(words)}: options start with --")
    if jax.process_count() > 1:
        raise ValueError("select runs in one process: start it once")
    settings, workdir = _CONFIG.value.to_dict(), folders.folder(_WORKDIR.value)
    require_sklearn()
    chosen = {name: settings[name] for name in _SETTINGS}
    chosen["target"] = chosen["target"] or None
    prepared = {name: _tasks(own, settings, name) for name, own in settings["datasets"].items()}
    tasks = [task for _, own in prepared.values() for task in own]
    checked = {name: chosen[name] for name in _CHECKED}
    for task in tasks:  # before the first model runs
        check_settings(len(task.labels), **checked)
    with runtime.session():
        candidates = {
            name: _candidates(own, prepared[name][0], workdir)
            for name, own in settings["datasets"].items()
        }
        found = select(candidates, tasks, **chosen, workdir=workdir, progress=_PROGRESS.value)
    path = found.save(workdir)
    print(describe(found))
    logging.info("%s", _work(found.work))
    print(f"\ntables: {path.parent / 'ranking.csv'}, quality.csv, leave_one_task_out.csv")
    _write_page(found, workdir / workflow.REPORT)


def _write_page(found: Selection, folder: Path) -> None:
    """The page, where the extra that draws it is there: the tables are the result."""
    try:
        from jaxalign.report.selection.selection_page import write_selection
    except MissingExtraError as error:
        logging.warning("no page: %s", error)
        return
    page = write_selection(found, folder, version=version("jaxalign"))
    print(f"page: {page.resolve()}")


def _tasks(
    own: Mapping[str, Any], settings: Mapping[str, Any], name: str
) -> tuple[api.StructureSet | None, list[Task]]:
    """Structures of one data set, if it has any, and its tasks.

    Tasks are called by their labels, and by their data sets too where two have a label in common.
    """
    every = [label for other in settings["datasets"].values() for label in other["labels"]]
    titles = {
        label: label if every.count(label) == 1 else f"{name} {label}" for label in own["labels"]
    }
    missing = "drop" if _ON_ERROR.value == "skip" else "error"
    file = own.get("label_file")
    labels = {label: read_task_labels(file, label) if file else None for label in own["labels"]}
    if not (own["dataset"].get("name") or own["dataset"].get("path")):
        if not file:
            raise ValueError(
                f"datasets.{name} names neither a data set, nor a file of structures, nor "
                "label_file: there are no labels"
            )
        return None, [Task(titles[label], values, name) for label, values in labels.items()]
    structures = reading.read_dataset(own["dataset"], on_error=_ON_ERROR.value)
    by = own.get("group_by")
    groups = api.strata(structures, by).by_id() if by else None
    beyond = set(settings["beyond_composition"])
    return structures, [
        labeled_task(
            structures,
            label,
            name=titles[label],
            dataset=name,
            labels=values,
            beyond_composition=label in beyond,
            groups=groups,
            on_missing=missing,
        )
        for label, values in labels.items()
    ]


def _candidates(
    own: Mapping[str, Any], structures: api.StructureSet | None, workdir: Path
) -> dict[str, Any]:
    """Embeddings of files, and those of encoders, which are computed or found in the workdir."""
    found: dict[str, Any] = {}
    if own.get("embeddings"):
        found |= read_embedding_collection(own["embeddings"], in_memory=False)
    if not own["models"]:
        return found
    if structures is None:
        raise ValueError(
            f"models {list(own['models'])} need structures to embed: name a data set or a file"
        )
    models = workflow.model_ids(own["models"])
    if twice := sorted(set(models) & set(found)):
        raise ValueError(f"{twice} are models and files of embeddings: rename the files")
    embedded = workflow.embed_models(
        models, structures, workdir, on_error=_ON_ERROR.value, progress=_PROGRESS.value
    )
    logging.info("%s: %d embedding rows computed", structures.name, embedded.rows_computed)
    return found | embedded.embeddings


def _work(work: Mapping[str, int]) -> str:
    if not work["computed"]:
        return f"nothing was computed again: {work['reused']:,} values were reused"
    return f"computed {work['computed']:,} values; reused {work['reused']:,}"


if __name__ == "__main__":
    run_verb(main, "jaxalign.launch.select")
