"""SCEPTR as a Flax module: a BERT without embedding norm over the loops (CDRs) of T-cell receptors.

A residue of type t at place i of a loop of n residues, in the compartment c (which loop it is), has

    h⁰ = T[t] + C[c] + r u,     r = (i − 1) / (n − 1), ½ if n = 1        (relative places)
    h⁰ = T[t] + C[c] + P[i]                                              (places from the left)

The original concatenates one-hot vectors (or rows of BLOSUM62) and multiplies by a matrix: T, C and
u are that matrix, taken apart. Layers are those of BERT with relu.

References:
  Nagano et al., Cell Systems 16, 101165 (2025).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxalign.models.encoder import NodeFeatures
from jaxalign.models.language.transformer import TransformerConfig, TransformerLayer

TOKENS = 23  # nothing, a mask, [CLS], twenty residues


@dataclasses.dataclass(frozen=True)
class SceptrConfig:
    """Sizes of one variant.

    Attributes:
      compartments: loops that are told apart, and one for [CLS].
      compartment: number of the loop (CDR3) as which a sequence is read.
      hidden: width d.
      depth: number of layers.
      positions: places that are counted from the left; None for relative places.
      pools_residues: the variant's own embedding is the mean over residues of the last layer but
        one; else it is [CLS] of the last layer.
    """

    compartments: int = 7
    compartment: int = 6
    hidden: int = 64
    depth: int = 3
    positions: int | None = None
    pools_residues: bool = False

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the selectable layers, first to last."""
        return ("embedding", *(f"layer_{number}" for number in range(1, self.depth + 1)))

    @property
    def own_layer(self) -> str:
        """The layer of the variant's own embedding."""
        return self.layer_names[self.depth - self.pools_residues]

    @property
    def transformer(self) -> TransformerConfig:
        """Sizes of the layers."""
        return TransformerConfig(
            vocabulary=TOKENS,
            hidden=self.hidden,
            depth=self.depth,
            heads=8,
            intermediate=4 * self.hidden,
            epsilon=1e-5,
            activation="relu",
        )


class Sceptr(nn.Module):
    """Token ids and places to hidden states after `config.depth` layers; depth 0: the embedding."""

    config: SceptrConfig

    @nn.compact
    def __call__(
        self,
        ids: Int[Array, "batch tokens"],
        places: Int[Array, "batch tokens"],
        lengths: Int[Array, " batch"],
        mask: Bool[Array, "batch tokens"],
    ) -> Float[Array, "batch tokens d"]:
        """Hidden states of all positions; those where `mask` is False mean nothing."""
        config = self.config
        loops = jnp.where(places > 0, jnp.int32(config.compartment), jnp.int32(0))
        x = nn.Embed(TOKENS, config.hidden, name="tokens")(ids)
        x = x + nn.Embed(config.compartments, config.hidden, name="compartments")(loops)
        x = x + self._places(places, lengths, x.dtype)
        if config.depth == 0:
            return x
        scan = nn.scan(
            lambda layer, x, mask: (layer(x, mask), None),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,
            length=config.depth,
        )
        return scan(TransformerLayer(config.transformer, name="layers"), x, mask)[0]

    def _places(
        self, places: Int[Array, "batch tokens"], lengths: Int[Array, " batch"], dtype: jnp.dtype
    ) -> Float[Array, "batch tokens d"]:
        config = self.config
        if config.positions is not None:
            return nn.Embed(config.positions + 1, config.hidden, name="positions")(places)
        steps = jnp.maximum(lengths - 1, 1)[:, None].astype(dtype)
        relative = (places - 1).astype(dtype) / steps
        relative = jnp.where(lengths[:, None] == 1, jnp.asarray(0.5, dtype), relative)
        relative = jnp.where(places > 0, relative, jnp.asarray(0, dtype))
        unit = self.param("unit", nn.initializers.zeros, (config.hidden,), jnp.float32)
        return relative[:, :, None] * unit[None, None, :]


def apply_sceptr(
    config: SceptrConfig, params: Any, batch: Mapping[str, Any], layer: str | None = None
) -> NodeFeatures:
    """Features of a padded batch; layers after the one asked for are not computed.

    Args:
      config: sizes of the network.
      params: Flax parameters of the whole network.
      batch: `ids`, `places` and `mask`, each `[batch, tokens]`, and `lengths` `[batch]`.
      layer: a name of `config.layer_names`; None is the variant's own. Static.

    Returns:
      `[batch, tokens, hidden]` values; the mask leaves out padding, and [CLS] for variants whose
      own embedding is a mean over residues.
    """
    depth = config.layer_names.index(layer or config.own_layer)
    kept = {name: value for name, value in params.items() if name != "layers"}
    if depth:
        kept["layers"] = jax.tree.map(lambda p: p[:depth], params["layers"])
    names = ("ids", "places", "lengths", "mask")
    inputs = {name: jnp.asarray(batch[name]) for name in names}
    values = Sceptr(dataclasses.replace(config, depth=depth)).apply({"params": kept}, **inputs)
    mask = inputs["mask"] & (inputs["places"] > 0) if config.pools_residues else inputs["mask"]
    return NodeFeatures(values, mask)


def param_shapes(config: SceptrConfig) -> dict[str, Any]:
    """Names and shapes of all parameters, without computing any."""
    ids, lengths = jnp.zeros((1, 2), jnp.int32), jnp.zeros(1, jnp.int32)
    init = Sceptr(config).init
    return jax.eval_shape(init, jax.random.key(0), ids, ids, lengths, ids == 0)["params"]


def init_params(config: SceptrConfig, *, seed: int) -> dict[str, Any]:
    """Random parameters: normal(0, 1/√d), biases 0, norm scales 1.

    Args:
      config: sizes of the network.
      seed: seed of the random numbers, which NumPy draws.

    Returns:
      Flax parameters, float32.
    """
    generator = np.random.default_rng(seed)

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        constant = {"bias": 0.0, "scale": 1.0}.get(path[-1].key)
        if constant is not None:
            return np.full(leaf.shape, constant, np.float32)
        values = generator.standard_normal(leaf.shape, np.float32)
        return values * np.float32(config.hidden**-0.5)

    return jax.tree_util.tree_map_with_path(draw, param_shapes(config))
