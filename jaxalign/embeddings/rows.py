"""Embedding rows of a list of structures: a network under `jit`, on all devices of a process."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from jaxalign.models.batching import BatchPlan, bucket_batches, choose_bucket
from jaxalign.models.encoder import (
    Encoder,
    Example,
    UnsupportedStructureError,
)
from jaxalign.models.pooling import pool
from jaxalign.parallel.mesh import SPLIT, WHOLE, make_mesh, split, whole
from jaxalign.structures.structure import SkippedStructure, Structure

# Inputs of so many structures stay in memory after they were checked; larger sets make them anew.
_KEEP_EXAMPLES = 16_384

Advance = Callable[[int], None]  # called with the number of rows that were finished


class _Compiled:
    """A network and its pooling as one jitted function that counts its compilations."""

    def __init__(self, apply: Callable):
        self._apply = apply
        self.count = 0
        self.run = jax.jit(self._counted, static_argnums=(2, 3, 4))

    def embed(
        self, params: Any, batch: Mapping[str, Any], layer: str | None, pooling: str
    ) -> Float[Array, "b d"]:
        """One row a slot of the batch."""
        return pool(self._apply(params, batch, layer), pooling)

    def _counted(
        self, params: Any, batches: Any, layer: str | None, pooling: str, mesh: Mesh
    ) -> Float[Array, "devices b d"]:
        """Every device runs one batch of the stacked ones; all have the same shape."""
        self.count += 1  # Python runs only while tracing: once a shape, layer, pooling and mesh

        def run(params, batches):
            with jax.named_scope("encode"):
                batch = jax.tree.map(lambda x: x[0], batches)
                return self.embed(params, batch, layer, pooling)[None]

        # Nothing is exchanged, and networks know nothing of the mesh: their constants need no mark.
        run = jax.shard_map(
            run, mesh=mesh, in_specs=(WHOLE, SPLIT), out_specs=SPLIT, check_vma=False
        )
        return run(params, batches)


@functools.lru_cache(maxsize=64)
def _compiled(apply: Callable) -> _Compiled:
    # Shared by all encoders with one `apply`: a second data set, and a second checkpoint of the
    # same network, compile nothing again.
    return _Compiled(apply)


@dataclasses.dataclass(frozen=True)
class _Job:
    """One batch: its plan, its examples, and the number of the row range it belongs to."""

    plan: BatchPlan
    examples: Sequence[Example]
    part: int


class NetworkRows:
    """Rows of an `Encoder`, in batches of few fixed shapes, one a device at a time.

    Which rows share a batch does not depend on the number of devices: batches are planned range by
    range, and those of one shape are then dealt to the devices.

    Args:
      encoder: the network.
      layer: layer name, or None for the default.
      pooling: a pooling name.
      mesh: devices of this process; None means the first one.
    """

    def __init__(
        self, encoder: Encoder, *, layer: str | None, pooling: str, mesh: Mesh | None = None
    ):
        self._encoder, self._layer, self._pooling = encoder, layer, pooling
        self._mesh = make_mesh(jax.local_devices()[:1]) if mesh is None else mesh
        self._compiled = _compiled(encoder.apply)
        self._compiled_before = self._compiled.count
        self._structures: Sequence[Structure] = ()
        self._examples: dict[str, Example] = {}
        self._params: Any = None
        self.computed_nodes = self.real_nodes = 0
        self.unknown_tokens = 0

    @property
    def window(self) -> int:
        """Row ranges to compute at once, so that no device waits for the last batches of each."""
        return self._mesh.size

    @property
    def compilations(self) -> int:
        """Shapes that were compiled since this object was made."""
        return self._compiled.count - self._compiled_before

    def prepare(
        self, structures: Sequence[Structure], *, keep_going: bool
    ) -> list[SkippedStructure]:
        """Makes the inputs of this process's structures, before anything is computed.

        Args:
          structures: this process's share of what is to be embedded.
          keep_going: for host functions; here all structures are looked at in any case.

        Returns:
          Those that the encoder cannot represent, with reasons.
        """
        skipped = []
        for structure in structures:
            try:
                example = self._encoder.featurize(structure)
                choose_bucket(self._encoder.size(example), self._encoder.buckets)
            except UnsupportedStructureError as error:
                skipped.append(SkippedStructure(where=structure.id, reason=str(error)))
                continue
            self.unknown_tokens += int(example.get("unknown", 0))
            if len(structures) <= _KEEP_EXAMPLES:
                self._examples[structure.id] = example
        return skipped

    def choose(self, structures: Sequence[Structure]) -> None:
        """Takes the structures of all rows, in order: those that no process refused."""
        self._structures = structures

    def width(self) -> int:
        """Embedding width d, without running or compiling the network."""
        encoder = self._encoder
        batch = encoder.collate([], encoder.buckets[0], encoder.batch_size(encoder.buckets[0]))
        embed = self._compiled.embed
        rows = jax.eval_shape(
            lambda p, b: embed(p, b, self._layer, self._pooling), encoder.params, batch
        )
        return rows.shape[1]

    def compute(
        self, ranges: Sequence[tuple[int, int]], advance: Advance
    ) -> list[Float[np.ndarray, "rows d"]]:
        """Rows of the chosen structures.

        Args:
          ranges: first row and one past the last row of each range; none is empty.
          advance: called with the number of rows finished.

        Returns:
          float32 `[stop - start, d]` for each range.
        """
        jobs = [job for part, span in enumerate(ranges) for job in self._plan(part, *span)]
        values: list[np.ndarray] = []
        for group, rows in self._run(_deal(jobs, self._mesh.size)):
            if not values:
                shapes = [(stop - start, rows.shape[-1]) for start, stop in ranges]
                values = [np.empty(shape, np.float32) for shape in shapes]
            for job, found in zip(group, np.asarray(rows), strict=False):
                values[job.part][job.plan.rows] = found[: len(job.plan.rows)]
                advance(len(job.plan.rows))
        return values

    def _plan(self, part: int, start: int, stop: int) -> list[_Job]:
        encoder = self._encoder
        examples = [
            self._examples[s.id] if s.id in self._examples else encoder.featurize(s)
            for s in self._structures[start:stop]
        ]
        sizes = [encoder.size(example) for example in examples]
        plans = bucket_batches(sizes, buckets=encoder.buckets, batch_size=encoder.batch_size)
        self.real_nodes += sum(sizes)
        return [_Job(plan, [examples[row] for row in plan.rows], part) for plan in plans]

    def _run(self, groups: Sequence[Sequence[_Job]]) -> Iterator[tuple[Sequence[_Job], Array]]:
        if self._params is None:
            self._params = jax.device_put(self._encoder.params, whole(self._mesh))
        # One group ahead: the host collates the next one while the devices compute.
        ahead: tuple[Sequence[_Job], Array] | None = None
        for group in groups:
            batches = jax.device_put(self._stack(group), split(self._mesh))
            rows = self._compiled.run(self._params, batches, self._layer, self._pooling, self._mesh)
            if ahead is not None:
                yield ahead
            ahead = group, rows
        if ahead is not None:
            yield ahead

    def _stack(self, group: Sequence[_Job]) -> Any:
        """Batches of one shape on a new leading axis; devices without one repeat the last."""
        plan, devices = group[0].plan, self._mesh.size
        self.computed_nodes += devices * plan.bucket * plan.batch_size
        batches = [
            self._encoder.collate(job.examples, plan.bucket, plan.batch_size) for job in group
        ]
        batches += batches[-1:] * (devices - len(batches))
        if devices == 1:  # no copy
            return jax.tree.map(lambda x: np.asarray(x)[None], batches[0])
        return jax.tree.map(lambda *x: np.stack(x), *batches)


def _deal(jobs: Sequence[_Job], devices: int) -> list[list[_Job]]:
    """Groups of at most `devices` batches of one shape, small buckets first."""
    shapes: dict[tuple[int, int], list[_Job]] = {}
    for job in jobs:
        shapes.setdefault((job.plan.bucket, job.plan.batch_size), []).append(job)
    return [
        shapes[shape][start : start + devices]
        for shape in sorted(shapes)
        for start in range(0, len(shapes[shape]), devices)
    ]
