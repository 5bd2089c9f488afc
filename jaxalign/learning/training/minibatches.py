"""Minibatches: which structures an update sees, and their inputs on the devices, made ahead.

The order of an epoch is a function of seed and epoch alone, so that training resumes from the
number of a step. What is left of an epoch after its last full minibatch is dropped; another
permutation, another rest.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from jaxalign.models.encoder import Batching, Example, Shape
from jaxalign.parallel.padding import own_shards, place_shards, place_whole

PlacedBatch = Mapping[str, jax.Array]  # batches stacked on a leading axis, one a device

_AHEAD = 3  # minibatches that are ready or being made while the devices compute


@dataclasses.dataclass(frozen=True)
class MinibatchOrder:
    """Which structures each update sees.

    Attributes:
      count: training structures.
      size: structures of a minibatch.
      seed: of the permutations.

    Raises:
      ValueError: there are fewer structures than a minibatch takes.
    """

    count: int
    size: int
    seed: int

    def __post_init__(self):
        if self.count < self.size:
            raise ValueError(
                f"a minibatch of {self.size} needs as many training structures: got {self.count}; "
                "choose a smaller minibatch or a larger training set"
            )

    @property
    def epoch(self) -> int:
        """Updates of an epoch."""
        return self.count // self.size

    def rows(self, step: int) -> Int[np.ndarray, " size"]:
        """Rows of the training set that the update after `step` others sees."""
        epoch, number = divmod(step, self.epoch)
        order = _permutation(self.seed, epoch, self.count)
        return order[number * self.size : (number + 1) * self.size]


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> Int[np.ndarray, " count"]:
    return np.random.default_rng([seed, epoch]).permutation(count)


@dataclasses.dataclass(frozen=True, eq=False)
class Collation:
    """How examples become one batch a device, all of one shape.

    Attributes:
      batching: of the network.
      shape: that holds the share of a device.
      share: examples a device.
      mesh: devices, in one column.
    """

    batching: Batching
    shape: Shape
    share: int
    mesh: Mesh

    @property
    def size(self) -> int:
        """Examples on all devices."""
        return self.share * self.mesh.size

    def place(self, examples: Sequence[Example]) -> PlacedBatch:
        """Up to `size` examples as batches, stacked on a leading axis that lies over the devices.

        Device d holds examples d · share, …, and the devices of a process are filled by it alone.
        """
        starts = [shard * self.share for shard in own_shards(self.mesh)]
        batches = [
            self.batching.collate(examples[start : start + self.share], self.shape)
            for start in starts
        ]
        stacked = jax.tree.map(lambda *parts: np.stack(parts), *batches)
        return jax.tree.map(lambda part: place_shards(part, self.mesh), stacked)


class Feed:
    """Minibatches in the order of the updates, made by a thread beside the devices' work.

    Args:
      examples: inputs of all training structures.
      targets: name → rows of all training structures.
      order: which of them an update sees.
      collation: how they are put together.

    Attributes:
      made_seconds: time that the thread has spent.
      waited_seconds: time that `take` had to wait for it.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        targets: Mapping[str, np.ndarray],
        order: MinibatchOrder,
        collation: Collation,
    ):
        self._examples, self._targets = examples, targets
        self._order, self._collation = order, collation
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="minibatches")
        self._ahead: collections.deque[tuple[int, Future]] = collections.deque()
        self.made_seconds = self.waited_seconds = 0.0

    def take(self, step: int, *, last: int) -> tuple[PlacedBatch, Mapping[str, jax.Array]]:
        """Inputs and targets of the update after `step` others.

        Args:
          step: one more than in the call before.
          last: the first step that will not be asked for.
        """
        upcoming = self._ahead[-1][0] + 1 if self._ahead else step
        for number in range(upcoming, min(step + _AHEAD, last)):
            self._ahead.append((number, self._thread.submit(self._make, number)))
        _, future = self._ahead.popleft()
        begin = time.perf_counter()
        made, seconds = future.result()
        self.waited_seconds += time.perf_counter() - begin
        self.made_seconds += seconds
        return made

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _make(self, step: int) -> tuple[Any, float]:
        begin = time.perf_counter()
        rows, mesh = self._order.rows(step), self._collation.mesh
        batch = self._collation.place([self._examples[row] for row in rows])
        targets = {name: place_whole(part[rows], mesh) for name, part in self._targets.items()}
        return (batch, targets), time.perf_counter() - begin
