"""The contract of an encoder: host-side inputs of fixed shapes, and a pure function under jit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float

from jaxalign.models.card import ModelCard
from jaxalign.structures.structure import Structure
from jaxalign.types import JaxalignError

Example = Mapping[str, np.ndarray]  # model inputs of one structure, ragged
Batch = Mapping[str, np.ndarray]  # model inputs of many structures, padded to one fixed shape


class UnsupportedStructureError(JaxalignError):
    """An encoder cannot represent this structure (foreign element, missing view, too large)."""


class NodeFeatures(NamedTuple):
    """Features of all nodes (atoms or tokens) of a padded batch."""

    values: Float[Array, "batch nodes d"]
    mask: Bool[Array, "batch nodes"]


@dataclasses.dataclass(frozen=True, eq=False)
class Encoder:
    """A network with everything needed to run it on structures under `jit`.

    Attributes:
      card: facts about the model.
      params: parameters, a pytree of arrays; an argument of `apply`, never a constant of it.
      featurize: structure → inputs of one structure. Host. Raises `UnsupportedStructureError`.
      size: inputs of one structure → the number that must fit into a bucket.
      buckets: ascending bucket sizes; the number of compilations is at most their number.
      collate: (examples, bucket, batch_size) → batch whose shapes depend on (bucket, batch_size)
        alone; rows beyond the examples are empty (mask all False) and must not yield NaN.
      apply: (params, batch, layer) → node features; pure and traceable; `layer` is static, None
        means the card's default.
      batch_size: bucket → structures per batch, so that memory stays even over buckets.
    """

    card: ModelCard
    params: Any
    featurize: Callable[[Structure], Example]
    size: Callable[[Example], int]
    buckets: tuple[int, ...]
    collate: Callable[[Sequence[Example], int, int], Batch]
    apply: Callable[[Any, Batch, str | None], NodeFeatures]
    batch_size: Callable[[int], int]


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
