"""Several networks, each from several seeds, on one task: a folder a run, and one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from absl import logging

from jaxalign.archives.atomic import atomic_write
from jaxalign.learning.networks.network import Network
from jaxalign.learning.training.inputs import Inputs, make_inputs
from jaxalign.learning.training.run_setup import run_name
from jaxalign.learning.training.settings import TrainingSettings
from jaxalign.learning.training.task import Task
from jaxalign.learning.training.train import train
from jaxalign.learning.training.trained_run import TrainedRun, load_run
from jaxalign.parallel.multihost import DisagreementError
from jaxalign.types import JaxalignError

RUNS = "runs"
TABLE = "training"


@dataclasses.dataclass(frozen=True)
class LadderRun:
    """A network and a seed, and what became of them.

    Attributes:
      network: the network.
      seed: of its run.
      folder: of its run.
      result: of a finished run, else None.
      reason: why it is not finished, else empty.
    """

    network: Network
    seed: int
    folder: Path
    result: TrainedRun | None
    reason: str = ""


def train_ladder(
    networks: Sequence[Network],
    task: Task,
    settings: TrainingSettings,
    workdir: str | Path,
    *,
    seeds: Sequence[int],
    on_error: str = "raise",
    mesh: Any = None,
    save_seconds: float = 15.0,
    progress: bool = False,
) -> list[LadderRun]:
    """Trains every network from every seed; finished runs are not repeated.

    Args:
      networks: of different ids.
      task: what all learn.
      settings: how all are trained.
      workdir: runs go to `workdir/runs/{network}-s{seed}`.
      seeds: of first parameters and of the order of structures; the split is that of the task.
      on_error: `"raise"`, or `"skip"` runs that fail, which are then listed.
      mesh: devices that share every minibatch; None for all there are.
      save_seconds: as in `train`.
      progress: print progress.

    Returns:
      One entry a run, network by network.

    Raises:
      ValueError: no networks or seeds, or some that are named twice.
      JaxalignError: under `"raise"`, the first failure.
    """
    names = [network.card.id for network in networks]
    for what, given in {"networks": names, "seeds": list(seeds)}.items():
        if not given or len(set(given)) < len(given):
            raise ValueError(f"a ladder needs {what}, each named once: got {given}")
    runs, manner = [], {"mesh": mesh, "save_seconds": save_seconds, "progress": progress}
    for network in networks:
        inputs = _Lazily(network, task, progress)
        for seed in seeds:
            folder = Path(workdir) / RUNS / run_name(network.card.id, seed)

            def run(network=network, seed=seed, folder=folder, inputs=inputs) -> TrainedRun:
                # A finished run needs no inputs; `train` makes sure that it is the one asked for.
                made = None if load_run(folder) else inputs()
                return train(network, task, settings, folder, seed=seed, inputs=made, **manner)

            runs.append(_attempt(run, network, seed, folder, on_error=on_error))
    return runs


class _Lazily:
    """Inputs of a network, made when the first seed needs them."""

    def __init__(self, network: Network, task: Task, progress: bool):
        self._asked, self._progress = (network, task), progress
        self._made: Inputs | None = None

    def __call__(self) -> Inputs:
        if self._made is None:
            self._made = make_inputs(*self._asked, progress=self._progress)
        return self._made


def _attempt(
    run: Callable[[], TrainedRun], network: Network, seed: int, folder: Path, *, on_error: str
) -> LadderRun:
    try:
        return LadderRun(network, seed, folder, run())
    except DisagreementError:
        raise
    except JaxalignError as error:
        if on_error != "skip":
            raise
        logging.warning("%s is left out: %s", folder.name, error)
        return LadderRun(network, seed, folder, None, str(error))


def ladder_table(runs: Sequence[LadderRun]) -> pd.DataFrame:
    """One row a run, also for those that failed.

    Returns:
      `run`, `network`, `architecture`, `width`, `depth`, `parameters`, `seed`, `steps`, `stopped`,
      `best_step`, `validation_mae_ev`, `test_mae_ev`, `seconds`, `molecules_per_second`,
      `input_wait_share`, `reason`; NaN or empty where a run failed.
    """
    sizes = ("architecture", "width", "depth")
    names = ("parameters", "steps", "stopped", "best_step", "validation_mae_ev", "test_mae_ev")
    names += ("seconds", "molecules_per_second", "input_wait_share")
    rows = [
        {
            "run": run.folder.name,
            "network": run.network.card.id,
            **{name: run.network.settings.get(name) for name in sizes},
            "seed": run.seed,
            **{name: getattr(run.result, name, None) for name in names},
            "reason": run.reason,
        }
        for run in runs
    ]
    # Numbers also where nothing came out.
    numbers = [name for name in names if name != "stopped"]
    return pd.DataFrame(rows).astype(dict.fromkeys(numbers, "float64"))


def write_ladder(table: pd.DataFrame, workdir: str | Path) -> Path:
    """Writes `training.csv` and `training.parquet`.

    Args:
      table: see `ladder_table`.
      workdir: where they go.

    Returns:
      Path of the csv file.
    """
    path = Path(workdir) / f"{TABLE}.csv"
    with atomic_write(path.with_suffix(".parquet")) as file:
        table.to_parquet(file, index=False)
    with atomic_write(path, mode="w") as file:
        table.to_csv(file, index=False)
    return path
