"""What one run is made of, and what follows from it: minibatches, learning rates, records."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxalign.learning.networks.network import Params
from jaxalign.learning.training.evaluation import HeldOut
from jaxalign.learning.training.inputs import Inputs
from jaxalign.learning.training.minibatches import Collation, Feed, MinibatchOrder
from jaxalign.learning.training.objective import TARGET, Objective
from jaxalign.learning.training.settings import TrainingSettings
from jaxalign.learning.training.update import CompiledUpdate, compiled_update


@dataclasses.dataclass(frozen=True, eq=False)
class RunSetup:
    """One network, task, manner of training and seed.

    Attributes:
      inputs: of the network, for the task.
      settings: how it is trained.
      seed: of the first parameters and of the order of the structures.
      objective: what is minimized.
      collation: how minibatches lie on the devices.
      folder: of the run.
      initial: first parameters; None for those that the seed draws.
    """

    inputs: Inputs
    settings: TrainingSettings
    seed: int
    objective: Objective
    collation: Collation
    folder: Path
    initial: Params | None = None

    def first_params(self) -> Params:
        """Parameters before the first update."""
        if self.initial is not None:
            return self.initial
        return self.inputs.network.init(jax.random.key(self.seed))

    @property
    def name(self) -> str:
        """Of the run, in messages."""
        return run_name(self.inputs.network.card.id, self.seed)

    @property
    def order(self) -> MinibatchOrder:
        """Which structures every update sees."""
        return MinibatchOrder(len(self.inputs.train), self.settings.minibatch, self.seed)

    def update(self) -> CompiledUpdate:
        """The update, shared with other seeds."""
        return compiled_update(
            self.objective, self.settings, share=self.collation.share, mesh=self.collation.mesh
        )

    def feed(self) -> Feed:
        """Minibatches with their targets."""
        task = self.inputs.task
        targets = {TARGET: task.targets(task.splits.train).astype(np.float32)}
        targets |= self.objective.extra_rows(task.splits.train.ids)
        return Feed(self.inputs.train, targets, self.order, self.collation)

    def held_out(self, split: str) -> HeldOut:
        """Structures of `"validation"` or `"test"`."""
        task = self.inputs.task
        return HeldOut(
            self.inputs.network.predict,
            getattr(self.inputs, split),
            task.targets(getattr(task.splits, split)),
            self.collation,
            std_ev=task.std,
            loss=self.settings.loss,
        )

    def learning_rate(self, step: int) -> float:
        """Of the update after `step` others; before the first one, that of the first."""
        return float(self.settings.learning_rates()[max(step, 0)])

    def minibatch_ids(self, step: int) -> list[str]:
        """Structures of the update after `step` others; none before the first."""
        ids = self.inputs.task.splits.train.ids
        return [] if step < 0 else [ids[row] for row in self.order.rows(step)]

    def record(self, step: int, split: str, *, loss: float, mae_ev: float | None) -> dict[str, Any]:
        """A record of the curve after so many updates."""
        return {
            "step": step,
            "epoch": step / self.order.epoch,
            "split": split,
            "loss": loss,
            "mae_ev": mae_ev,
            "learning_rate": self.learning_rate(step - 1),
        }


def run_name(network: str, seed: int) -> str:
    """Name of a run, and of its folder in a ladder."""
    return f"{network}-s{seed}"
