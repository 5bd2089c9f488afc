"""Embedding rows of a list of structures: a network under `jit`, or a function on the host."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from jaxalign.models.batching import BatchPlan, bucket_batches, choose_bucket
from jaxalign.models.encoder import (
    Encoder,
    Example,
    HostEncoder,
    UnsupportedStructureError,
)
from jaxalign.models.pooling import pool
from jaxalign.structures.structure import SkippedStructure, Structure

# Inputs of so many structures stay in memory after they were checked; larger sets make them anew.
_KEEP_EXAMPLES = 16_384

Advance = Callable[[int], None]  # called with the number of rows that were finished


class _Compiled:
    """A network and its pooling as one jitted function that counts its compilations."""

    def __init__(self, apply: Callable):
        self._apply = apply
        self.count = 0
        self.run = jax.jit(self._counted, static_argnums=(2, 3))

    def embed(
        self, params: Any, batch: Mapping[str, Any], layer: str | None, pooling: str
    ) -> Float[Array, "b d"]:
        """One row a slot of the batch."""
        return pool(self._apply(params, batch, layer), pooling)

    def _counted(
        self, params: Any, batch: Mapping[str, Any], layer: str | None, pooling: str
    ) -> Array:
        self.count += 1  # Python runs only while tracing: once a shape, layer and pooling
        return self.embed(params, batch, layer, pooling)


@functools.lru_cache(maxsize=64)
def _compiled(apply: Callable) -> _Compiled:
    # Shared by all encoders with one `apply`: a second data set, and a second checkpoint of the
    # same network, compile nothing again.
    return _Compiled(apply)


class NetworkRows:
    """Rows of an `Encoder`, in batches of few fixed shapes.

    Args:
      encoder: the network.
      layer: layer name, or None for the default.
      pooling: a pooling name.
    """

    def __init__(self, encoder: Encoder, *, layer: str | None, pooling: str):
        self._encoder, self._layer, self._pooling = encoder, layer, pooling
        self._compiled = _compiled(encoder.apply)
        self._compiled_before = self._compiled.count
        self._structures: list[Structure] = []
        self._examples: list[Example] = []
        self._computed_nodes = self._real_nodes = 0
        self.unknown_tokens = 0

    @property
    def compilations(self) -> int:
        """Shapes that were compiled since this object was made."""
        return self._compiled.count - self._compiled_before

    @property
    def padding_waste(self) -> float:
        """Share of the computed nodes that were padding."""
        return 1 - self._real_nodes / self._computed_nodes if self._computed_nodes else 0.0

    def prepare(
        self, structures: Sequence[Structure], *, keep_going: bool
    ) -> list[SkippedStructure]:
        """Takes the structures and makes their inputs once, before anything is computed.

        Args:
          structures: what to embed.
          keep_going: for host functions; here all structures are looked at in any case.

        Returns:
          Those that the encoder cannot represent, with reasons; `compute` leaves them out.
        """
        skipped = []
        for structure in structures:
            try:
                example = self._encoder.featurize(structure)
                choose_bucket(self._encoder.size(example), self._encoder.buckets)
            except UnsupportedStructureError as error:
                skipped.append(SkippedStructure(where=structure.id, reason=str(error)))
                continue
            self._structures.append(structure)
            self.unknown_tokens += int(example.get("unknown", 0))
            if len(structures) <= _KEEP_EXAMPLES:
                self._examples.append(example)
        return skipped

    def width(self) -> int:
        """Embedding width d, without running or compiling the network."""
        encoder = self._encoder
        batch = encoder.collate([], encoder.buckets[0], encoder.batch_size(encoder.buckets[0]))
        embed = self._compiled.embed
        rows = jax.eval_shape(
            lambda p, b: embed(p, b, self._layer, self._pooling), encoder.params, batch
        )
        return rows.shape[1]

    def compute(self, start: int, stop: int, advance: Advance) -> Float[np.ndarray, "rows d"]:
        """Rows of the structures that `prepare` did not refuse.

        Args:
          start: first row.
          stop: one past the last row; above `start`.
          advance: called with the number of rows finished.

        Returns:
          float32 `[stop - start, d]`.
        """
        encoder = self._encoder
        examples = self._examples[start:stop] or [
            encoder.featurize(structure) for structure in self._structures[start:stop]
        ]
        sizes = [encoder.size(example) for example in examples]
        plans = bucket_batches(sizes, buckets=encoder.buckets, batch_size=encoder.batch_size)
        self._real_nodes += sum(sizes)
        self._computed_nodes += sum(plan.bucket * plan.batch_size for plan in plans)
        values: np.ndarray | None = None
        for plan, rows in self._run(plans, examples):
            if values is None:
                values = np.empty((len(examples), rows.shape[1]), np.float32)
            values[plan.rows] = np.asarray(rows)[: len(plan.rows)]
            advance(len(plan.rows))
        return values

    def _run(
        self, plans: Sequence[BatchPlan], examples: Sequence[Example]
    ) -> Iterator[tuple[BatchPlan, Array]]:
        # One batch ahead: the host collates the next one while the device computes.
        ahead: tuple[BatchPlan, Array] | None = None
        for plan in plans:
            batch = self._encoder.collate(
                [examples[row] for row in plan.rows], plan.bucket, plan.batch_size
            )
            rows = self._compiled.run(self._encoder.params, batch, self._layer, self._pooling)
            if ahead is not None:
                yield ahead
            ahead = plan, rows
        if ahead is not None:
            yield ahead


class HostRows:
    """Rows of a `HostEncoder`.

    Args:
      encoder: a descriptor or a user's function.
      chunk_rows: structures a call.
    """

    compilations = unknown_tokens = 0  # what a network counts and a host function has not
    padding_waste = 0.0

    def __init__(self, encoder: HostEncoder, *, chunk_rows: int):
        self._encoder, self._chunk_rows = encoder, chunk_rows
        self._structures: Sequence[Structure] = ()
        self._values: np.ndarray | None = None

    def prepare(
        self, structures: Sequence[Structure], *, keep_going: bool
    ) -> list[SkippedStructure]:
        """Takes the structures.

        Args:
          structures: what to embed.
          keep_going: find the structures that the function refuses. Only calling it tells, so all
            rows are computed here; otherwise its error passes through `compute`.

        Returns:
          Those that it refuses, with reasons; `compute` leaves them out.
        """
        self._structures = structures
        if not keep_going:
            return []
        skipped: list[SkippedStructure] = []
        parts = []
        for start in range(0, len(structures), self._chunk_rows):
            parts += self._tolerant(structures[start : start + self._chunk_rows], skipped)
        self._values = np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
        return skipped

    def _tolerant(
        self, chunk: Sequence[Structure], skipped: list[SkippedStructure]
    ) -> list[np.ndarray]:
        try:
            return [self._embed(chunk)]
        except UnsupportedStructureError as error:
            if len(chunk) > 1:
                return [part for one in chunk for part in self._tolerant([one], skipped)]
            skipped.append(SkippedStructure(where=chunk[0].id, reason=str(error)))
            return []

    def width(self) -> int:
        """Embedding width d."""
        if self._values is not None:
            return self._values.shape[1]
        return self._encoder.card.width or self._embed(self._structures[:1]).shape[1]

    def compute(self, start: int, stop: int, advance: Advance) -> Float[np.ndarray, "rows d"]:
        """Rows of the structures that `prepare` did not refuse.

        Args:
          start: first row.
          stop: one past the last row; above `start`.
          advance: called with the number of rows finished.

        Returns:
          float32 `[stop - start, d]`.
        """
        if self._values is not None:
            values = self._values[start:stop]
        else:
            values = self._embed(self._structures[start:stop])
        advance(len(values))
        return values

    def _embed(self, structures: Sequence[Structure]) -> Float[np.ndarray, "rows d"]:
        card = self._encoder.card
        values = np.asarray(self._encoder.embed(structures), np.float32)
        width = card.width or (values.shape[1] if values.ndim == 2 else "d")
        if values.shape != (len(structures), width):
            raise ValueError(
                f"encoder {card.id!r} gave an array of shape {values.shape} for "
                f"{len(structures)} structures; it must return one row of {width} numbers each"
            )
        return values
