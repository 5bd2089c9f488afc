"""Inputs of one network for all structures of a task: made once, used by every seed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from jax.sharding import Mesh

from jaxalign.learning.networks.network import Network
from jaxalign.learning.training.minibatches import Collation
from jaxalign.learning.training.task import Task
from jaxalign.models.encoder import Example, UnsupportedStructureError
from jaxalign.progress import Progress
from jaxalign.structures.structure import Structure, StructureSet

_THREADS = min(4, os.cpu_count() or 1)
_SHOWN = 5  # ids in messages


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """What a network sees of a task.

    Attributes:
      network: whose inputs these are.
      task: of which structures.
      train: examples of the training structures, in order.
      validation: of the validation structures.
      test: of the test structures.
    """

    network: Network
    task: Task
    train: Sequence[Example]
    validation: Sequence[Example]
    test: Sequence[Example]

    def collation(self, minibatch: int, mesh: Mesh) -> Collation:
        """How minibatches of this size lie on devices; all have one shape.

        Raises:
          ValueError: the devices do not divide the minibatch.
        """
        if minibatch % mesh.size:
            raise ValueError(
                f"a minibatch of {minibatch} structures cannot be divided among {mesh.size} "
                "devices; choose a multiple, or a mesh of fewer devices"
            )
        share = minibatch // mesh.size
        every = [*self.train, *self.validation, *self.test]
        shape = self.network.minibatch_shape(every, share)
        return Collation(self.network.batching, shape, share, mesh)


def make_inputs(network: Network, task: Task, *, progress: bool = False) -> Inputs:
    """Makes the inputs of all structures of a task.

    Args:
      network: the network.
      task: the task.
      progress: print progress.

    Raises:
      UnsupportedStructureError: the network cannot represent some of them; it names them.
    """
    refused: dict[str, str] = {}

    def attempt(structure: Structure) -> Example | None:
        try:
            return network.featurize(structure)
        except UnsupportedStructureError as error:
            refused[structure.id] = str(error)
            return None

    total = sum(len(part) for _, part in task.splits)
    label, made = f"inputs of {network.card.id}", {}
    with Progress(label, total=total, unit="structures", enabled=progress) as bar:
        for name, part in task.splits:
            made[name] = _attempt_all(attempt, part, bar)
    if refused:
        shown = [f"{identifier} ({reason})" for identifier, reason in sorted(refused.items())]
        raise UnsupportedStructureError(
            f"{network.card.id} cannot represent {len(refused)} of {total} structures: "
            f"{'; '.join(shown[:_SHOWN])}; leave them out of the data set"
        )
    return Inputs(network, task, **made)


def _attempt_all(attempt, structures: StructureSet, bar: Progress) -> list[Example | None]:
    made = []
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="inputs") as threads:
        for example in threads.map(attempt, structures):
            made.append(example)
            bar.advance()
    return made
