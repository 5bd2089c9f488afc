"""What a network that is trained here must offer, whatever its architecture."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Batch, Batching, Encoder, Example, NodeFeatures, Shape
from jaxalign.structures.structure import Structure

Params = Any  # a pytree of arrays


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A network of one architecture and size, without parameters.

    Attributes:
      card: facts about it; `id` is architecture and size, e.g. `"invariant-32x2"`.
      settings: what `build_network` was called with: architecture, width, depth, …; plain values.
        Two networks have exchangeable parameters if and only if their settings are equal.
      featurize: structure → inputs of one structure. Host. Raises `UnsupportedStructureError`.
      batching: batches for inference, of few shapes.
      minibatch_shape: (examples, number of them in a minibatch) → the one shape of
        `batching.collate` that holds every minibatch of that many of the examples.
      init: random key → parameters.
      features: (params, batch, layer) → features of nodes; pure; layer is static, None is the
        card's default.
      predict: (params, batch) → one number a slot of the batch, in standardized units of the
        target; pure; slots without a structure yield finite numbers that mean nothing.
    """

    card: ModelCard
    settings: dict[str, Any]
    featurize: Callable[[Structure], Example]
    batching: Batching
    minibatch_shape: Callable[[Sequence[Example], int], Shape]
    init: Callable[[Array], Params]
    features: Callable[[Params, Batch, str | None], NodeFeatures]
    predict: Callable[[Params, Batch], Float[Array, " slots"]]

    def encoder(self, params: Params, *, id: str, **facts: Any) -> Encoder:
        """The network with parameters, ready for `jaxalign.embed`.

        Args:
          params: what `init` gives, trained or not.
          id: of the encoder, e.g. `"invariant-32x2-s0@1000"`.
          facts: fields of the card that differ, e.g. `training_data`.
        """
        return Encoder(
            card=dataclasses.replace(self.card, id=id, **facts),
            params=jax.tree.map(jax.numpy.asarray, params),
            featurize=self.featurize,
            batching=self.batching,
            apply=self.features,
        )


def params_digest(params: Params) -> str:
    """SHA-256 of parameters: names, shapes, types and values."""
    state = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        array = np.ascontiguousarray(leaf)
        state.update(f"{jax.tree_util.keystr(path)}{array.dtype}{array.shape}".encode())
        state.update(array.tobytes())
    return state.hexdigest()
