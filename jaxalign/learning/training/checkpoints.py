"""Checkpoints of a run: parameters at log-spaced steps, the best ones, and where to resume.

    RUN/checkpoints/00000100/   parameters after 100 updates, with the validation error there
    RUN/checkpoints/best/       those of the least validation error
    RUN/resume/00000100/        the whole state; only the newest is kept

Each is written by orbax beside its place and renamed, so that a killed run leaves whole ones only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.options import MultiprocessingOptions

from jaxalign.learning.networks.network import Network, Params
from jaxalign.learning.training.update import TrainState, on_host
from jaxalign.types import JaxalignError

CHECKPOINTS = "checkpoints"
RESUME = "resume"
BEST = "best"


class CheckpointError(JaxalignError):
    """A checkpoint is missing, damaged, or of another network."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Parameters that a run has left.

    Attributes:
      step: updates done.
      path: its folder.
      validation_mae_ev: error of these parameters on the validation structures.
      network: settings of the network.
    """

    step: int
    path: Path
    validation_mae_ev: float
    network: Mapping[str, Any]


class CheckpointWriter:
    """Writes the checkpoints of one run beside its work, in the order in which they are given.

    Args:
      folder: of the run.
      facts: plain values that every checkpoint carries; `"network"` holds its settings.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]):
        self._folder, self._facts = folder.absolute(), dict(facts)
        self._writer = _checkpointer()

    def save(self, step: int, params: Params, *, validation_mae_ev: float) -> Path:
        """Keeps parameters of the host under their step."""
        return self._save_params(_name(step), step, params, validation_mae_ev)

    def save_best(self, step: int, params: Params, *, validation_mae_ev: float) -> Path:
        """Keeps the best parameters, which are those after some step."""
        return self._save_params(BEST, step, params, validation_mae_ev)

    def save_resume(self, state: TrainState, best: Params, facts: Mapping[str, Any]) -> None:
        """Keeps all that is needed to go on; what was kept before is dropped when this is safe."""
        self.wait()
        kept = resume_steps(self._folder)
        step = int(state.step)
        tree = {"state": state, "best": best}
        self._write(self._folder / RESUME / _name(step), tree, facts)
        for older in kept[:-1]:
            shutil.rmtree(self._folder / RESUME / _name(older))

    def clear_after(self, step: int) -> None:
        """Removes checkpoints beyond a step, which will be made again, and unfinished ones."""
        unfinished = self._folder.glob("*/*.orbax-checkpoint-tmp*")
        later = (c.path for c in list_checkpoints(self._folder) if c.step > step)
        for path in (*unfinished, *later):
            shutil.rmtree(path)

    def drop_resume(self) -> None:
        """Removes what is needed to go on: the run is finished."""
        self.wait()
        shutil.rmtree(self._folder / RESUME, ignore_errors=True)

    def wait(self) -> None:
        """Returns when everything is on disk; raises what went wrong."""
        self._writer.wait_until_finished()

    def close(self) -> None:
        """Ends the threads."""
        self._writer.close()

    def _save_params(self, name: str, step: int, params: Params, error: float) -> Path:
        path = self._folder / CHECKPOINTS / name
        self._write(path, params, {"step": step, "validation_mae_ev": error}, force=True)
        return path

    def _write(self, path: Path, tree: Any, facts: Mapping[str, Any], *, force: bool = False):
        facts = {**self._facts, **facts}
        self._writer.save(path, on_host(tree), custom_metadata=facts, force=force)


def list_checkpoints(folder: str | Path) -> list[Checkpoint]:
    """All checkpoints of a run by their steps; the best one is not listed a second time.

    Args:
      folder: of the run.
    """
    place = Path(folder) / CHECKPOINTS
    found = [path for path in place.glob("[0-9]*") if path.name.isdecimal()]
    return [_describe(path) for path in sorted(found, key=lambda path: int(path.name))]


def best_checkpoint(folder: str | Path) -> Checkpoint:
    """The checkpoint of the least validation error of a finished run.

    Raises:
      CheckpointError: there is none.
    """
    return _describe(Path(folder) / CHECKPOINTS / BEST)


def load_checkpoint(folder: str | Path, step: int | None, *, network: Network) -> Params:
    """Parameters that a run has left, on the host.

    Args:
      folder: of the run.
      step: after how many updates; None for the best ones.
      network: whose parameters they must be.

    Returns:
      Parameters for `network.features` and `network.predict`.

    Raises:
      CheckpointError: there is no such checkpoint, it is damaged, or of another network.
    """
    name = BEST if step is None else _name(step)
    found = _describe(Path(folder) / CHECKPOINTS / name)
    _require_network(found.path, found.network, network)
    target = jax.eval_shape(network.init, jax.random.key(0))
    return _restore(found.path, target)


def resume_steps(folder: Path) -> list[int]:
    """Steps at which a run can be taken up, ascending; the last one counts."""
    found = (folder / RESUME).glob("[0-9]*")
    return sorted(int(path.name) for path in found if path.name.isdecimal())


def load_resume(folder: Path, like: TrainState) -> tuple[TrainState, Params, dict[str, Any]] | None:
    """The newest state of a run, its best parameters, and the facts that go with them.

    Args:
      folder: of the run.
      like: a state of the same structure.

    Returns:
      All on the host; None if the run has not come so far.
    """
    steps = resume_steps(folder)
    if not steps:
        return None
    path = folder.absolute() / RESUME / _name(steps[-1])
    tree = _restore(path, {"state": like, "best": like.params})
    return tree["state"], tree["best"], _facts(path)


def _name(step: int) -> str:
    return f"{step:08d}"


def _checkpointer() -> ocp.StandardCheckpointer:
    # Each process for itself: only process 0 writes, and what all hold alike is on its host.
    mine = jax.process_index()
    return ocp.StandardCheckpointer(
        multiprocessing_options=MultiprocessingOptions(
            primary_host=mine, active_processes={mine}, barrier_sync_key_prefix=f"process{mine}"
        )
    )


def _describe(path: Path) -> Checkpoint:
    facts = _facts(path)
    error = facts["validation_mae_ev"]
    return Checkpoint(facts["step"], path, math.nan if error is None else error, facts["network"])


def _facts(path: Path) -> dict[str, Any]:
    try:
        found = json.loads((path / "_CHECKPOINT_METADATA").read_text())["custom_metadata"]
        return {**found, "step": int(found["step"]), "network": dict(found["network"])}
    except FileNotFoundError:
        there = sorted(p.name for p in path.parent.glob("*") if p.is_dir())
        raise CheckpointError(
            f"there is no checkpoint {path}; there are {there or 'none'}"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(_damaged(path, error)) from error


def _restore(path: Path, target: Any) -> Any:
    with contextlib.closing(_checkpointer()) as reader:
        try:
            found = reader.restore(path.absolute(), target)
        except (ValueError, KeyError, OSError) as error:
            raise CheckpointError(_damaged(path, error)) from error
    wanted, got = (jax.tree.map(lambda x: (x.shape, x.dtype), tree) for tree in (target, found))
    if wanted != got:
        raise CheckpointError(_damaged(path, "arrays of other shapes than the network's"))
    return jax.tree.map(np.asarray, found)


def _require_network(path: Path, stored: Mapping[str, Any], network: Network) -> None:
    wanted = json.loads(json.dumps(network.settings))  # tuples become lists, as in the file
    if dict(stored) != wanted:
        raise CheckpointError(
            f"{path} holds parameters of the network {dict(stored)}, and those of "
            f"{network.card.id} {wanted} are wanted; build the network with the settings of the "
            "checkpoint, or load one of its own runs"
        )


def _damaged(path: Path, reason: object) -> str:
    first = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
    return (
        f"{path} cannot be read as a checkpoint of this network ({first}); delete it and train on"
    )
