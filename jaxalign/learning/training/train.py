"""Training of one network: from a seed to its best parameters, resumable at any moment.

Everything that is kept is a function of network, task, settings and seed; a killed run goes on to
the same bits as one that was left alone, on as many devices.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from jaxalign.archives.atomic import require_writable
from jaxalign.learning.networks.network import Network, Params, params_digest
from jaxalign.learning.training.inputs import Inputs, make_inputs
from jaxalign.learning.training.loop import TrainingLoop
from jaxalign.learning.training.objective import Objective, regression
from jaxalign.learning.training.run_files import RunFiles
from jaxalign.learning.training.run_setup import RunSetup
from jaxalign.learning.training.settings import TrainingSettings
from jaxalign.learning.training.task import Task
from jaxalign.learning.training.trained_run import TrainedRun, claim_folder, load_run, plain
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.mesh import check_mesh, choose_mesh, make_mesh
from jaxalign.parallel.multihost import is_primary_process
from jaxalign.progress import Progress


def train(
    network: Network,
    task: Task,
    settings: TrainingSettings,
    folder: str | Path,
    *,
    seed: int = 0,
    objective: Objective | None = None,
    inputs: Inputs | None = None,
    initial: Params | None = None,
    mesh: Any = None,
    save_seconds: float = 15.0,
    progress: bool = False,
) -> TrainedRun:
    """Trains a network, or goes on where an earlier call with the same arguments was interrupted.

    All processes of a run must call this together, with the same arguments.

    Args:
      network: what is trained.
      task: what it learns.
      settings: how.
      folder: of the run; a finished one is not repeated.
      seed: of the first parameters and of the order of the structures.
      objective: what is minimized; None for `regression`.
      inputs: what `make_inputs` gave for this network and task, to be shared by several seeds.
      initial: first parameters, e.g. those that another objective has left; None for random ones.
      mesh: devices that share every minibatch; None for all there are.
      save_seconds: time between states from which a killed run resumes; 0 for every evaluation.
      progress: print progress.

    Returns:
      The finished run.

    Raises:
      TrainingError: a loss that is not finite, or that runs away.
      ValueError: devices that do not divide a minibatch, fewer training structures than a minibatch
        takes, or a folder of another run.
      UnsupportedStructureError: the network cannot represent structures of the task.
    """
    folder = Path(folder)
    if inputs is not None and (inputs.network is not network or inputs.task is not task):
        raise ValueError("the inputs are of another network or task: make them with make_inputs")
    objective = objective or regression(network, loss=settings.loss)
    mesh = choose_mesh(check_mesh(mesh) or make_mesh(), settings.minibatch)
    asked = _asked(network, task, settings, seed, objective)
    if initial is not None:
        asked["initial"] = params_digest(initial)
    with stop_together():
        if is_primary_process():
            require_writable(folder)
    identity = claim_folder(folder, asked, mesh)
    if finished := load_run(folder):
        return finished
    inputs = inputs or make_inputs(network, task, progress=progress)
    collation = inputs.collation(settings.minibatch, mesh)
    setup = RunSetup(inputs, settings, seed, objective, collation, folder, initial)
    facts = {"network": asked["network"], "task": task.identity, "run": identity}
    with contextlib.ExitStack() as stack:
        files = RunFiles(setup, facts, save_seconds=save_seconds)
        stack.enter_context(contextlib.closing(files))
        shown = {"unit": "steps", "enabled": progress and is_primary_process()}
        bar = stack.enter_context(Progress(setup.name, total=settings.steps, **shown))
        run = stack.enter_context(contextlib.closing(TrainingLoop(setup, files, bar)))
        return run.to_the_end()


def _asked(
    network: Network, task: Task, settings: TrainingSettings, seed: int, objective: Objective
) -> dict[str, Any]:
    """All that decides a run, as plain values."""
    return {
        "network": plain(network.settings),
        "label": task.label,
        "task": task.identity,
        "training": settings.to_json(),
        "objective": objective.identity(task.splits.train.ids),
        "seed": seed,
    }
