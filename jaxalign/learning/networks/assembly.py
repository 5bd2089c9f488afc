"""A Flax module and its inputs, put together to a `Network`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxalign.learning.networks.network import Network, Params
from jaxalign.models.batching import RowBuckets, RowShape
from jaxalign.models.bound import bind
from jaxalign.models.card import NOTHING_FETCHED, ModelCard
from jaxalign.models.encoder import Batch, Example, NodeFeatures
from jaxalign.structures.structure import Structure

# One pass in bfloat16, the default of TPUs, would give other neighbors than a CPU.
_exact_products = functools.partial(jax.default_matmul_precision, "highest")


class NodeModule(Protocol):
    """A Flax module that maps a batch to one prediction a row, through layers of node features."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, first to last; the readout reads the last."""

    def __call__(self, batch: Batch) -> Float[Array, " batch"]:
        """The prediction of each row."""


NodeStates = Callable[[Params, Batch, str], Float[Array, "batch nodes d"]]
"""(params, batch, layer) → features of one layer; later layers are not computed."""


def assemble(
    module: NodeModule,
    *,
    settings: Mapping[str, Any],
    featurize: Callable[[Structure], Example],
    batching: RowBuckets,
    states: NodeStates | None = None,
    **facts: Any,
) -> Network:
    """A network of padded rows.

    Args:
      module: the network itself.
      settings: what it was built with; `architecture`, `width` and `depth` make its id.
      featurize: structure → inputs.
      batching: how inputs are padded; a batch holds `mask` `[rows, nodes]`.
      states: features of the layers; None if the module has a method `states(batch, layer)`.
      facts: fields of the card.

    Returns:
      The network. Two of equal settings share their compilations.
    """
    shapes = jax.eval_shape(bind(_init, module, batching), jax.random.key(0))
    card = ModelCard(
        id=f"{settings['architecture']}-{settings['width']}x{settings['depth']}",
        pretrained=False,
        width=settings["width"],
        layer=module.layers[-1],
        layers=module.layers,
        training_data="none",
        label_level="none",
        parameters=sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)),
        **NOTHING_FETCHED,
        **facts,
    )
    return Network(
        card=card,
        settings=dict(settings),
        featurize=featurize,
        batching=batching,
        minibatch_shape=bind(smallest_shape, batching),
        init=jax.jit(bind(_init, module, batching)),
        features=bind(_features, states or bind(_states, module), module.layers),
        predict=bind(_predict, module),
    )


def block_names(depth: int) -> tuple[str, ...]:
    """`block_1`, `block_2`, …: names of the layers of a network of this depth."""
    return tuple(f"block_{number}" for number in range(1, depth + 1))


def smallest_shape(batching: RowBuckets, examples: Sequence[Example], count: int) -> RowShape:
    """The smallest shape that holds any `count` of the examples.

    Args:
      batching: whose size is to fit.
      examples: all of which minibatches are made.
      count: examples of a minibatch.

    Returns:
      A shape for `batching.collate`; no bucket, but as large as the largest example.

    Raises:
      ValueError: if there are no examples, or a minibatch would hold none.
    """
    if not examples or count < 1:
        raise ValueError(
            f"minibatches need examples and a size of at least 1: got {len(examples)} examples and "
            f"size {count}"
        )
    return max(map(batching.size, examples)), count


def _init(module: nn.Module, batching: RowBuckets, key: Array) -> Params:
    # An empty batch, as small as it may be: shapes of parameters do not depend on it.
    batch = batching.collate((), (batching.smallest[0], 1))
    return module.init(key, {name: jnp.asarray(array) for name, array in batch.items()})["params"]


def _features(
    states: NodeStates,
    layers: tuple[str, ...],
    params: Params,
    batch: Batch,
    layer: str | None = None,
) -> NodeFeatures:
    layer = layers[-1] if layer is None else layer
    if layer not in layers:
        raise ValueError(
            f"unknown layer {layer!r} of this network; pass one of {', '.join(layers)}"
        )
    batch = {name: jnp.asarray(array) for name, array in batch.items()}
    with _exact_products():
        return NodeFeatures(states(params, batch, layer), batch["mask"])


def _states(
    module: nn.Module, params: Params, batch: Batch, layer: str
) -> Float[Array, "batch nodes d"]:
    return module.apply({"params": params}, batch, layer, method="states")


def _predict(module: nn.Module, params: Params, batch: Batch) -> Float[Array, " slots"]:
    batch = {name: jnp.asarray(array) for name, array in batch.items()}
    with _exact_products():
        return module.apply({"params": params}, batch)
