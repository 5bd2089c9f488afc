"""Embed, align and report from one config file: one data set, or a study of several.

    jaxalign run --config=configs/molecules.py --workdir=W
    jaxalign run --config=configs/molecules.py --workdir=W --config.dataset.n=5000 --config.k=25
    jaxalign run --config=configs/regimes.py --workdir=W

The workdir holds embeddings/, alignment/ (table.parquet, table.csv, matrices.nc) and
report/index.html. A config with `regimes` is a study: every data set has a folder of this kind, and
W/claims.csv, claims.md and report/index.html are over all of them. The same command run again
resumes and computes nothing that is finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from absl import flags, logging
from ml_collections import config_flags

from jaxalign import api
from jaxalign.launch import distributed, folders, runtime, study, workflow
from jaxalign.launch.dataset_run import Manner, prepare, run_dataset
from jaxalign.launch.process import run_verb
from jaxalign.parallel.multihost import is_primary_process

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file with get_config(); see configs/.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for everything this run makes.")
_ON_ERROR = flags.DEFINE_enum(
    "on_error",
    "raise",
    ["raise", "skip"],
    "Structures, models or data sets of a study that fail: stop, or list them.",
)
_PROGRESS = flags.DEFINE_bool("progress", True, "Print rows done, rate and time left.")
flags.adopt_module_key_flags(distributed)
flags.adopt_module_key_flags(runtime)
flags.mark_flags_as_required(["config", "workdir"])


def main(words: Sequence[str]) -> None:
    """Runs the whole way once."""
    if words:
        raise ValueError(f"unexpected arguments {list(words)}: options start with --")
    settings, workdir = _CONFIG.value.to_dict(), folders.folder(_WORKDIR.value)
    api.require_sound_jax()
    manner = Manner(_ON_ERROR.value, _PROGRESS.value and is_primary_process())
    page = _study if settings.get("regimes") else _single
    if path := page(settings, workdir, manner):
        print(f"report: {path.resolve()}")


def _single(settings: dict, workdir: Path, manner: Manner) -> Path | None:
    run = prepare(settings, on_error=manner.on_error)
    with runtime.session():
        alignment, done = run_dataset(run, workdir, _on_devices(manner))
    if not is_primary_process():
        return None
    logging.info("%s", done)
    return api.write_report(alignment, workdir / workflow.REPORT)


def _study(settings: dict, workdir: Path, manner: Manner) -> Path | None:
    prepared = study.prepare_study(settings, on_error=manner.on_error)
    with runtime.session():
        found = study.run_study(prepared, workdir, _on_devices(manner))
    if not is_primary_process():
        return None
    print(study.as_text(found))
    return study.write_study(found, workdir)


def _on_devices(manner: Manner) -> Manner:
    return Manner(manner.on_error, manner.progress, distributed.chosen_mesh())


if __name__ == "__main__":
    run_verb(main, "jaxalign.launch.run")
