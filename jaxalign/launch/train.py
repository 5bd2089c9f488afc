r"""Train a ladder of small networks on energies: several architectures, sizes and seeds.

    jaxalign train --config=configs/convergence.py --workdir=W
    jaxalign train --config=configs/convergence.py --workdir=W --on_error=skip \
        --config.ladder="(('invariant', 32, 2), ('transformer', 32, 2))" --config.seeds=5

Every run has a folder W/runs/NETWORK-sSEED with checkpoints at log-spaced steps (checkpoints/, the
best one as checkpoints/best), its curves (metrics.jsonl: one record a line) and its result.
W/training.csv and .parquet list all runs with their errors. With `config.tracking`, checkpoints are
then compared with each other and with pretrained models (W/NAME of every tracked data set,
W/report/index.html); with `config.distillation`, students are taught (W/distillation). The same
command run again goes on where it was killed, to the same bits, and repeats no finished run.

The devices share every minibatch: --config.cpu_devices virtual ones of a CPU, or those that --mesh
names; their number changes curves by rounding alone.
"""

from __future__ import annotations

import logging as standard_logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import pandas as pd
from absl import flags, logging
from ml_collections import config_flags

from jaxalign import api
from jaxalign.launch import distributed, folders, reading, runtime, training_study
from jaxalign.launch.dataset_run import Manner
from jaxalign.launch.process import run_verb
from jaxalign.learning.networks.architectures import build_network
from jaxalign.learning.networks.network import Network
from jaxalign.learning.training.ladder import LadderRun, ladder_table, train_ladder, write_ladder
from jaxalign.learning.training.settings import TrainingSettings
from jaxalign.learning.training.task import Task, make_task
from jaxalign.parallel.multihost import is_primary_process
from jaxalign.types import JaxalignError

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config file with get_config(); see configs/convergence.py.", lock_config=True
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for all runs and their table.")
_ON_ERROR = flags.DEFINE_enum(
    "on_error", "raise", ["raise", "skip"], "Runs that fail: stop, or go on and list them."
)
_PROGRESS = flags.DEFINE_bool("progress", True, "Print steps done, rate and time left.")
flags.adopt_module_key_flags(distributed)
flags.adopt_module_key_flags(runtime)
flags.mark_flags_as_required(["config", "workdir"])

_SHOWN = {
    **{"network": "network", "seed": "seed", "parameters": "parameters", "steps": "steps"},
    **{"best_step": "best step", "validation_mae_ev": "validation eV", "test_mae_ev": "test eV"},
    **{"seconds": "seconds", "molecules_per_second": "molecules/s", "reason": ""},
}


def main(words: Sequence[str]) -> None:
    """Trains what is not trained yet, and prints the table."""
    if words:
        raise ValueError(f"unexpected arguments {list(words)}: options start with --")
    config = _CONFIG.value.to_dict()
    logging.get_absl_logger().addFilter(_worth_telling)
    _make_virtual_devices(config.get("cpu_devices"))  # first: anything may start JAX
    workdir = folders.folder(_WORKDIR.value)
    api.require_sound_jax()
    training_study.check_settings(config)
    networks, settings = ladder_networks(config), TrainingSettings(**config["training"])
    task = read_task(config, on_error=_ON_ERROR.value)
    progress = _PROGRESS.value and is_primary_process()
    with runtime.session():
        runs = train_ladder(
            networks,
            task,
            settings,
            workdir,
            seeds=range(config["seeds"]),
            on_error=_ON_ERROR.value,
            mesh=distributed.chosen_mesh(),
            save_seconds=config["save_seconds"],
            progress=progress,
        )
        _tell(runs, workdir)
        manner = Manner(_ON_ERROR.value, progress, distributed.chosen_mesh())
        page = training_study.follow(runs, task, config, workdir, manner)
    if page is not None:
        print(f"report: {page.resolve()}")


def _tell(runs: Sequence[LadderRun], workdir: Path) -> None:
    """Writes and prints the table of all runs; raises if none came to its end."""
    if is_primary_process():
        table = ladder_table(runs)
        path = write_ladder(table, workdir)
        print(summary(table))
        print(f"table: {path}")
    if not any(run.result for run in runs):
        raise JaxalignError(
            f"none of the {len(runs)} runs could be finished; see {workdir / 'training.csv'}"
        )


def ladder_networks(config: Mapping[str, Any]) -> list[Network]:
    """The networks of a config's `ladder`: (architecture, width, depth), or with more settings."""
    return [
        build_network(architecture, width=width, depth=depth, **(more[0] if more else {}))
        for architecture, width, depth, *more in config["ladder"]
    ]


def read_task(config: Mapping[str, Any], *, on_error: str = "raise") -> Task:
    """Reads the structures of a config and standardizes their label.

    Args:
      config: `dataset` as of `jaxalign run`, and `task`: arguments of `make_task`.
      on_error: `"raise"`, or `"skip"` records of a file that cannot be read.
    """
    structures = reading.read_dataset(config["dataset"], on_error=on_error)
    task = make_task(structures, **config["task"])
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in task.splits)
    logging.info("%s of %s: %s; σ = %.3f eV", task.label, structures.name, sizes, task.std)
    return task


def summary(table: pd.DataFrame) -> str:
    """The table in columns that fit a terminal."""
    shown = table[[*_SHOWN]].rename(columns=_SHOWN)
    numbers = {
        name: shown[name].map(lambda value, form=form: "–" if pd.isna(value) else form % value)
        for name, form in {
            **dict.fromkeys(("validation eV", "test eV"), "%.4f"),
            **dict.fromkeys(("parameters", "steps", "best step", "molecules/s"), "%.0f"),
            "seconds": "%.1f",
        }.items()
    }
    return shown.assign(**numbers).to_string(index=False, max_colwidth=40)


def _worth_telling(record: standard_logging.LogRecord) -> bool:
    """Orbax tells some twenty lines of every checkpoint, by the logger of this program."""
    return record.levelno >= standard_logging.WARNING or "/orbax/" not in record.pathname


def _make_virtual_devices(count: int | None) -> None:
    """CPU devices, before JAX is first used; other platforms do not look at the setting."""
    chosen = jax.config.jax_num_cpu_devices >= 0  # by --cpu_devices
    if count is not None and not chosen and not distributed.several():
        jax.config.update("jax_num_cpu_devices", count)


if __name__ == "__main__":
    run_verb(main, "jaxalign.launch.train")
