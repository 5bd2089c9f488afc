"""The contract of an encoder: host-side inputs of fixed shapes, and a pure function under jit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxalign.models.card import ModelCard
from jaxalign.structures.structure import Structure
from jaxalign.types import JaxalignError

Example = Mapping[str, np.ndarray]  # model inputs of one structure, ragged
Batch = Mapping[str, np.ndarray]  # model inputs of many structures, padded to one fixed shape
Shape = Hashable


class UnsupportedStructureError(JaxalignError):
    """An encoder cannot represent this structure (foreign element, missing view, too large)."""


class NodeFeatures(NamedTuple):
    """Features of all nodes (atoms or tokens) of a padded batch."""

    values: Float[Array, "batch nodes d"]
    mask: Bool[Array, "batch nodes"]


@dataclasses.dataclass(frozen=True, eq=False)
class BatchPlan:
    """One batch of fixed shape.

    Attributes:
      shape: what `Batching.collate` takes; equal shapes share a compilation.
      rows: which examples fill the slots of the batch, in order.
      real: size of these examples, in the batching's own unit of work.
      computed: size of the whole batch, padding included, in the same unit.
    """

    shape: Shape
    rows: Int[np.ndarray, " rows"]
    real: float
    computed: float


@runtime_checkable
class Batching(Protocol):
    """How examples are put together into batches of few shapes."""

    @property
    def smallest(self) -> Shape:
        """Shape of a batch that may be empty."""

    def check(self, example: Example) -> None:
        """Raises `UnsupportedStructureError` if no shape has room for this example."""

    def plan(self, examples: Sequence[Example]) -> tuple[BatchPlan, ...]:
        """Batches that together hold every example once."""

    def collate(self, examples: Sequence[Example], shape: Shape) -> Batch:
        """One batch, whose arrays' shapes depend on `shape` alone.

        Slot g holds example g. Slots beyond the examples are empty: the mask of their features is
        all False, and they must not yield NaN.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class EnergyModel:
    """The energy that an interatomic potential predicts.

    Attributes:
      interaction: (params, batch) → energy of each slot in eV without the atoms' own energies; pure
        and traceable. These are small numbers, which float32 resolves.
      reference: atomic number → energy of such an atom in eV, added on the host in float64.
      featurize: inputs that energies need (far pairs, for one), if not those of the encoder.
      batching: their batches, if not those of the encoder.
    """

    interaction: Callable[[Any, Batch], Float[Array, " slots"]]
    reference: Mapping[int, float]
    featurize: Callable[[Structure], Example] | None = None
    batching: Batching | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Encoder:
    """A network with everything needed to run it on structures under `jit`.

    Attributes:
      card: facts about the model.
      params: parameters, a pytree of arrays; an argument of `apply`, never a constant of it.
      featurize: structure → inputs of one structure. Host. Raises `UnsupportedStructureError`.
      batching: how inputs are padded to few shapes.
      apply: (params, batch, layer) → node features; pure and traceable; `layer` is static, None
        means the card's default.
      check: raises `UnsupportedStructureError` whenever `featurize` or `batching.check` would, at a
        fraction of their time, so that inputs can be made while the device computes; None if only
        these can tell. It must be None where inputs hold `unknown` or `truncated`, which are
        counted when all inputs are made beforehand.
      energy: predicted energies, for interatomic potentials.
    """

    card: ModelCard
    params: Any
    featurize: Callable[[Structure], Example]
    batching: Batching
    apply: Callable[[Any, Batch, str | None], NodeFeatures]
    check: Callable[[Structure], None] | None = None
    energy: EnergyModel | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class HostEncoder:
    """A descriptor or a user's own function: structures → `[n, d]`, row by row independent.

    Attributes:
      card: facts about the encoder.
      embed: structures → float32 `[n, d]`. Row i must depend on structure i alone, so that results
        do not depend on batching and an interrupted run can resume.
    """

    card: ModelCard
    embed: Callable[[Sequence[Structure]], Float[np.ndarray, "n d"]]
