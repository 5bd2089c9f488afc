"""BERT, RoBERTa and ALBERT as one Flax module: post-norm layers, own or shared parameters.

With embeddings h⁰ = LN(E[token] + P[position] + S[0]) (ALBERT: times a matrix into the hidden
width), layer l maps

    a  = LN(h + W_o · softmax(q kᵀ / √d_head + mask) v)
    h' = LN(a + W₂ φ(W₁ a)),     φ the activation, mostly gelu(x) = x Φ(x).

BERT (Devlin et al., arXiv:1810.04805) and RoBERTa (Liu et al., arXiv:1907.11692), which numbers its
positions otherwise, have parameters of their own in each layer, ALBERT (Lan et al.,
arXiv:1909.11942) repeats one layer. Layers are scanned, so that one layer is compiled.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxalign.models.language.activations import ACTIVATIONS
from jaxalign.models.language.attention import Surroundings, attend
from jaxalign.models.language.norms import LayerNorm
from jaxalign.models.language.positions import LearnedPositions, position_numbers
from jaxalign.models.language.tokens import MAX_TOKENS

_QKV = ("query", "key", "value")


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """Sizes of a BERT, RoBERTa or ALBERT encoder.

    Attributes:
      vocabulary: number of tokens.
      hidden: width d of the hidden states.
      depth: number of layers.
      heads: attention heads; they divide `hidden`.
      intermediate: width inside the feed-forward block.
      embedding: width of the token embeddings if they are projected to `hidden` (ALBERT).
      shared: all layers use the same parameters (ALBERT).
      positions: learned positions.
      token_types: rows of the segment table; segment 0 is used.
      epsilon: added to the variance in layer normalisation.
      activation: inside the feed-forward block: a key of `ACTIVATIONS`.
      padding_id: how positions are numbered; see `LearnedPositions`.
    """

    vocabulary: int
    hidden: int
    depth: int
    heads: int
    intermediate: int
    embedding: int | None = None
    shared: bool = False
    positions: int = MAX_TOKENS
    token_types: int = 2
    epsilon: float = 1e-12
    activation: str = "gelu"
    padding_id: int | None = None

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the selectable layers, first to last."""
        return ("embedding", *(f"layer_{number}" for number in range(1, self.depth + 1)))


# One TPU pass in bfloat16 would not meet the agreement with the original: ask for full precision.
_Dense = functools.partial(nn.Dense, precision=jax.lax.Precision.HIGHEST)


class TransformerLayer(nn.Module):
    """Self-attention and feed-forward block, each followed by a residual layer norm."""

    config: TransformerConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch tokens d"], mask: Bool[Array, "batch tokens"]
    ) -> Float[Array, "batch tokens d"]:
        """Hidden states of the next layer."""
        config = self.config
        norm = functools.partial(LayerNorm, epsilon=config.epsilon)
        attended = _Dense(config.hidden, name="attention_out")(self._attention(x, mask))
        x = norm(name="attention_norm")(x + attended)
        activate = ACTIVATIONS[config.activation]
        inner = activate(_Dense(config.intermediate, name="expand")(x))
        return norm(name="output_norm")(x + _Dense(config.hidden, name="contract")(inner))

    def _attention(
        self, x: Float[Array, "batch tokens d"], mask: Bool[Array, "batch tokens"]
    ) -> Float[Array, "batch tokens d"]:
        config = self.config
        width = config.hidden // config.heads
        split = (*x.shape[:2], config.heads, width)
        query, key, value = (_Dense(config.hidden, name=name)(x).reshape(split) for name in _QKV)
        attended = attend(query * width**-0.5, key, value, Surroundings(mask[:, None, :]))
        return attended.reshape(x.shape)


class Transformer(nn.Module):
    """Token ids to hidden states after `config.depth` layers; depth 0 gives the embedding."""

    config: TransformerConfig

    @nn.compact
    def __call__(
        self, ids: Int[Array, "batch tokens"], mask: Bool[Array, "batch tokens"]
    ) -> Float[Array, "batch tokens d"]:
        """Hidden states of all positions; those where `mask` is False mean nothing."""
        x = self._embedding(ids, mask)
        if self.config.depth == 0:
            return x
        shared = self.config.shared
        scan = nn.scan(
            lambda layer, x, mask: (layer(x, mask), None),
            variable_axes={} if shared else {"params": 0},
            variable_broadcast="params" if shared else False,
            split_rngs={"params": not shared},
            in_axes=nn.broadcast,
            length=self.config.depth,
        )
        return scan(TransformerLayer(self.config, name="layers"), x, mask)[0]

    def _embedding(
        self, ids: Int[Array, "batch tokens"], mask: Bool[Array, "batch tokens"]
    ) -> Float[Array, "batch tokens d"]:
        config = self.config
        width = config.embedding or config.hidden
        table = LearnedPositions(config.positions, config.padding_id)
        positions = position_numbers(table, ids, mask)
        x = nn.Embed(config.vocabulary, width, name="tokens")(ids)
        x = x + nn.Embed(config.positions, width, name="positions")(positions)
        x = x + nn.Embed(config.token_types, width, name="types")(jnp.zeros_like(positions))
        x = LayerNorm(epsilon=config.epsilon, name="norm")(x)
        return _Dense(config.hidden, name="project")(x) if config.embedding else x


def hidden_states(
    config: TransformerConfig, params: Any, batch: Mapping[str, Any], layer: str
) -> Float[Array, "batch tokens d"]:
    """Hidden states of one layer; layers after it are not computed.

    Args:
      config: sizes of the network.
      params: Flax parameters of the whole network.
      batch: `ids` and `mask`, each `[batch, tokens]`.
      layer: a name of `config.layer_names`; static.

    Returns:
      `[batch, tokens, d]`.
    """
    depth = config.layer_names.index(layer)
    if not depth:
        params = {name: value for name, value in params.items() if name != "layers"}
    elif not config.shared:
        params = params | {"layers": jax.tree.map(lambda p: p[:depth], params["layers"])}
    module = Transformer(dataclasses.replace(config, depth=depth))
    return module.apply({"params": params}, jnp.asarray(batch["ids"]), jnp.asarray(batch["mask"]))


def param_shapes(config: TransformerConfig) -> dict[str, Any]:
    """Names and shapes of all parameters, without computing any."""
    ids = jnp.zeros((1, 2), jnp.int32)
    return jax.eval_shape(Transformer(config).init, jax.random.key(0), ids, ids == 0)["params"]


def init_params(config: TransformerConfig, *, seed: int) -> dict[str, Any]:
    """The architecture's standard initialization: normal(0, 0.02), biases 0, norm scales 1.

    Drawn on the host: compiling the draws would take longer than running the network.

    Args:
      config: sizes of the network.
      seed: seed of the random numbers.

    Returns:
      Flax parameters, float32.
    """
    generator = np.random.default_rng(seed)

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        constant = {"bias": 0.0, "scale": 1.0}.get(path[-1].key)
        if constant is not None:
            return np.full(leaf.shape, constant, np.float32)
        return np.float32(0.02) * generator.standard_normal(leaf.shape, np.float32)

    return jax.tree_util.tree_map_with_path(draw, param_shapes(config))
