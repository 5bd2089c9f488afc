"""Embedding rows of a list of structures: a network under `jit`, on all devices of a process."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from jaxalign.embeddings.heads import Head, compiled_head
from jaxalign.embeddings.input_counts import count_example
from jaxalign.embeddings.inputs import InputMaker, Span
from jaxalign.models.encoder import BatchPlan, Encoder, Example, Shape, UnsupportedStructureError
from jaxalign.parallel.mesh import make_mesh, split, whole
from jaxalign.structures.structure import SkippedStructure, Structure

# Inputs of so many structures stay in memory after they were checked; larger sets make them anew.
_KEEP_EXAMPLES = 16_384

Advance = Callable[[int], None]  # called with the number of rows that were finished


@dataclasses.dataclass(frozen=True)
class _Job:
    """One batch: its plan, its examples, and the number of the row range it belongs to."""

    plan: BatchPlan
    examples: Sequence[Example]
    part: int


class NetworkRows:
    """What a head of an `Encoder` gives for structures, in batches of few fixed shapes.

    Which rows share a batch does not depend on the number of devices: batches are planned range by
    range, and those of one shape are then dealt to the devices. Inputs of the next ranges are made
    while the devices compute.

    Args:
      encoder: the network.
      head: what is computed of a batch.
      mesh: devices of this process; None means the first one.
    """

    def __init__(self, encoder: Encoder, head: Head, *, mesh: Mesh | None = None):
        self._encoder, self._head = encoder, head
        self._mesh = make_mesh(jax.local_devices()[:1]) if mesh is None else mesh
        self._compiled = compiled_head(head)
        self._compiled_before = self._compiled.count
        self._structures: Sequence[Structure] = ()
        self._examples: dict[str, Example] = {}
        self._inputs = InputMaker(encoder, self._examples)
        self._params: Any = None
        self.computed_work = self.real_work = 0.0
        self.input_counts: Counter[str] = Counter()

    @property
    def window(self) -> int:
        """Row ranges to compute at once, so that no device waits for the last batches of each."""
        return self._mesh.size

    @property
    def compilations(self) -> int:
        """Shapes that were compiled since this object was made."""
        return self._compiled.count - self._compiled_before

    @property
    def input_seconds(self) -> tuple[float, float]:
        """Time spent making inputs, and time that the devices' thread waited for them."""
        return self._inputs.made_seconds, self._inputs.waited_seconds

    def prepare(
        self, structures: Sequence[Structure], *, keep_going: bool
    ) -> list[SkippedStructure]:
        """Looks for structures that the network cannot represent, before anything is computed.

        Args:
          structures: this process's share of what is to be embedded.
          keep_going: for host functions; here all structures are looked at in any case.

        Returns:
          Those that the encoder cannot represent, with reasons.
        """
        skipped = []
        for structure in structures:
            try:
                self._look_at(structure, keep=len(structures) <= _KEEP_EXAMPLES)
            except UnsupportedStructureError as error:
                skipped.append(SkippedStructure(where=structure.id, reason=str(error)))
        return skipped

    def _look_at(self, structure: Structure, *, keep: bool) -> None:
        encoder = self._encoder
        if encoder.check is not None:
            encoder.check(structure)
            return
        example = encoder.featurize(structure)
        encoder.batching.check(example)
        self.input_counts += count_example(example)
        if keep:
            self._examples[structure.id] = example

    def choose(self, structures: Sequence[Structure]) -> None:
        """Takes the structures of all rows, in order: those that no process refused."""
        self._structures = structures

    def width(self) -> int:
        """Embedding width d, without running or compiling the network."""
        encoder = self._encoder
        batch = encoder.batching.collate([], encoder.batching.smallest)
        return jax.eval_shape(self._head, encoder.params, batch).shape[1]

    def compute(
        self, spans: Sequence[Span], advance: Advance, *, upcoming: Sequence[Span] = ()
    ) -> list[Float[np.ndarray, "rows d"]]:
        """Rows of the chosen structures.

        Args:
          spans: first row and one past the last row of each range; none is empty.
          advance: called with the number of rows finished.
          upcoming: ranges of the next call, if they are known.

        Returns:
          float32 `[stop - start, d]` for each range.
        """
        values: list[np.ndarray] = []
        for job, found in self.batches(spans, upcoming=upcoming):
            if not values:
                shapes = [(stop - start, found.shape[-1]) for start, stop in spans]
                values = [np.empty(shape, np.float32) for shape in shapes]
            values[job.part][job.plan.rows] = found[: len(job.plan.rows)]
            advance(len(job.plan.rows))
        return values

    def batches(
        self, spans: Sequence[Span], *, upcoming: Sequence[Span] = ()
    ) -> Iterator[tuple[_Job, Any]]:
        """What the head gives for each batch of some ranges, in the order of computing.

        Args:
          spans: ranges of the chosen structures.
          upcoming: ranges of the next call, if they are known.

        Yields:
          A job (`part`: position in `spans`; `plan.rows`: rows of that range) and the head's
          result as NumPy arrays, slot by slot.
        """
        self._inputs.expect(self._structures, spans)
        self._inputs.expect(self._structures, upcoming)
        jobs = [job for part, span in enumerate(spans) for job in self._plan(part, span)]
        for group, results in self._run(_deal(jobs, self._mesh.size)):
            on_host = jax.tree.map(np.asarray, results)
            for number, job in enumerate(group):
                yield job, jax.tree.map(lambda x, number=number: x[number], on_host)

    def close(self) -> None:
        """Ends the threads that make inputs."""
        self._inputs.close()

    def _plan(self, part: int, span: Span) -> list[_Job]:
        examples = self._inputs.take(self._structures, span)
        plans = self._encoder.batching.plan(examples)
        self.real_work += sum(plan.real for plan in plans)
        return [_Job(plan, [examples[row] for row in plan.rows], part) for plan in plans]

    def _run(self, groups: Sequence[Sequence[_Job]]) -> Iterator[tuple[Sequence[_Job], Any]]:
        if self._params is None:
            self._params = jax.device_put(self._encoder.params, whole(self._mesh))
        # One group ahead: the host collates the next one while the devices compute.
        ahead: tuple[Sequence[_Job], Any] | None = None
        for group in groups:
            batches = jax.device_put(self._stack(group), split(self._mesh))
            results = self._compiled.run(self._params, batches, self._mesh)
            if ahead is not None:
                yield ahead
            ahead = group, results
        if ahead is not None:
            yield ahead

    def _stack(self, group: Sequence[_Job]) -> Any:
        """Batches of one shape on a new leading axis; devices without one repeat the last."""
        plan, devices = group[0].plan, self._mesh.size
        self.computed_work += devices * plan.computed
        batches = [self._encoder.batching.collate(job.examples, plan.shape) for job in group]
        batches += batches[-1:] * (devices - len(batches))
        if devices == 1:  # no copy
            return jax.tree.map(lambda x: np.asarray(x)[None], batches[0])
        return jax.tree.map(lambda *x: np.stack(x), *batches)


def _deal(jobs: Sequence[_Job], devices: int) -> list[list[_Job]]:
    """Groups of at most `devices` batches of one shape, small shapes first."""
    shapes: dict[Shape, list[_Job]] = {}
    for job in jobs:
        shapes.setdefault(job.plan.shape, []).append(job)
    return [
        shapes[shape][start : start + devices]
        for shape in sorted(shapes)
        for start in range(0, len(shapes[shape]), devices)
    ]
