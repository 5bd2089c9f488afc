"""Transformers that normalize before each block: ESM-2, ESM C, the T5 encoder, Llama, Qwen3.

Layer l maps, with a scale s of the residual branches,

    a  = h + s · W_o · softmax(q kᵀ · c + bias + mask) v,     q, k, v linear in N₁(h)
    h' = a + s · W₂ (φ(W_g N₂(a)) ∘ W₁ N₂(a))                 (without the gate: W₂ φ(W₁ N₂(a)))

and the last layer's output passes a final norm. The families differ in what is written in their
configuration alone: kind of norm, biases, gate, how positions enter, whether q and k are
normalized, how many heads share one key and value, and which keys a query may see. Layers are
scanned, so that one layer is compiled.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxalign.models.language.activations import ACTIVATIONS
from jaxalign.models.language.attention import Surroundings, attend
from jaxalign.models.language.norms import LayerNorm, RmsNorm
from jaxalign.models.language.positions import (
    LearnedPositions,
    Positions,
    RelativePositions,
    RotaryPositions,
    causal_mask,
    distance_bias,
    position_numbers,
    rotary_angles,
    rotate,
)

# Share of the tokens that were masked, times the share of those whose embedding was set to zero,
# when ESM-2 was trained: without masked tokens its embeddings are that much larger than then.
_TRAINED_DROPOUT = 0.15 * 0.8


@dataclasses.dataclass(frozen=True)
class PreNormConfig:
    """Sizes and variants of a pre-norm transformer.

    Attributes:
      vocabulary: number of tokens.
      hidden: width d of the hidden states.
      depth: number of layers.
      heads: attention heads.
      kv_heads: heads of keys and values; `heads` / `kv_heads` queries share each.
      head_width: features of a head.
      intermediate: width inside the feed-forward block.
      positions: how the place of a token enters.
      norm: `"layer"` or `"rms"`.
      epsilon: added to the variance, or to the mean square.
      final_bias: whether the final norm has a bias, if it is a layer norm.
      attention_bias: biases of q, k, v and of the output.
      mlp_bias: biases of the feed-forward block.
      gated: the feed-forward block has a gate.
      activation: a key of `ACTIVATIONS`.
      query_norm: q and k are normalized: `"heads"` each head by itself, `"width"` all features at
        once and without bias, None not at all.
      logit_scale: factor c of q kᵀ.
      residual_scale: factor s of the residual branches.
      causal: a token sees itself and those before it alone.
      embedding_norm: embeddings are normalized.
      masked_token: id whose embedding is zero, while all others are scaled to the mean of training
        (ESM's token dropout); None where the network has no such thing.
      final: the last layer's output passes the final norm.
    """

    vocabulary: int
    hidden: int
    depth: int
    heads: int
    kv_heads: int
    head_width: int
    intermediate: int
    positions: Positions
    norm: str = "layer"
    epsilon: float = 1e-5
    final_bias: bool = True
    attention_bias: bool = True
    mlp_bias: bool = True
    gated: bool = False
    activation: str = "gelu"
    query_norm: str | None = None
    logit_scale: float = 1.0
    residual_scale: float = 1.0
    causal: bool = False
    embedding_norm: bool = False
    masked_token: int | None = None
    final: bool = True

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the selectable layers, first to last; the last one is after the final norm."""
        return ("embedding", *(f"layer_{number}" for number in range(1, self.depth + 1)))


# One TPU pass in bfloat16 would not meet the agreement with the original: ask for full precision.
_Dense = functools.partial(nn.Dense, precision=jax.lax.Precision.HIGHEST)


def _norm(config: PreNormConfig, name: str, *, use_bias: bool = True) -> LayerNorm | RmsNorm:
    if config.norm == "rms":
        return RmsNorm(config.epsilon, name=name)
    return LayerNorm(config.epsilon, use_bias=use_bias, name=name)


class PreNormLayer(nn.Module):
    """Self-attention and feed-forward block, each of normalized input and added to it."""

    config: PreNormConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch tokens d"], around: Surroundings
    ) -> Float[Array, "batch tokens d"]:
        """Hidden states of the next layer, without the final norm."""
        config = self.config
        attended = self._attention(_norm(config, "attention_norm")(x), around)
        x = x + attended * config.residual_scale
        inner = self._feed_forward(_norm(config, "mlp_norm")(x))
        return x + inner * config.residual_scale

    def _feed_forward(self, x: Float[Array, "batch tokens d"]) -> Float[Array, "batch tokens d"]:
        config = self.config
        dense = functools.partial(_Dense, use_bias=config.mlp_bias)
        activate, inner = (
            ACTIVATIONS[config.activation],
            dense(config.intermediate, name="expand")(x),
        )
        if config.gated:
            inner = activate(dense(config.intermediate, name="gate")(x)) * inner
        else:
            inner = activate(inner)
        return dense(config.hidden, name="contract")(inner)

    def _attention(
        self, x: Float[Array, "batch tokens d"], around: Surroundings
    ) -> Float[Array, "batch tokens d"]:
        config = self.config
        query = self._project(x, "query", config.heads)
        key = self._project(x, "key", config.kv_heads)
        value = self._project(x, "value", config.kv_heads)
        if around.rotation is not None:
            query, key = (rotate(part, *around.rotation) for part in (query, key))
        attended = attend(query * config.logit_scale, key, value, around)
        flat = attended.reshape(*x.shape[:2], config.heads * config.head_width)
        return _Dense(config.hidden, use_bias=config.attention_bias, name="attention_out")(flat)

    def _project(
        self, x: Float[Array, "batch tokens d"], name: str, heads: int
    ) -> Float[Array, "batch tokens heads width"]:
        config = self.config
        split = (*x.shape[:2], heads, config.head_width)
        dense = _Dense(heads * config.head_width, use_bias=config.attention_bias, name=name)
        features = dense(x)
        if name == "value" or config.query_norm is None:
            return features.reshape(split)
        norm = _norm(config, f"{name}_norm", use_bias=False)
        if config.query_norm == "width":
            return norm(features).reshape(split)
        return norm(features.reshape(split))


class PreNormTransformer(nn.Module):
    """Token ids to hidden states after `config.depth` layers; depth 0 gives the embedding."""

    config: PreNormConfig

    @nn.compact
    def __call__(
        self, ids: Int[Array, "batch tokens"], mask: Bool[Array, "batch tokens"]
    ) -> Float[Array, "batch tokens d"]:
        """Hidden states of all positions; those where `mask` is False mean nothing."""
        config = self.config
        x = self._embedding(ids, mask)
        if config.depth == 0:
            return x
        scan = nn.scan(
            lambda layer, x, around: (layer(x, around), None),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,
            length=config.depth,
        )
        x = scan(PreNormLayer(config, name="layers"), x, self._surroundings(mask, x.dtype))[0]
        return _norm(config, "final_norm", use_bias=config.final_bias)(x) if config.final else x

    def _embedding(
        self, ids: Int[Array, "batch tokens"], mask: Bool[Array, "batch tokens"]
    ) -> Float[Array, "batch tokens d"]:
        config = self.config
        x = nn.Embed(config.vocabulary, config.hidden, name="tokens")(ids)
        if config.masked_token is not None:
            x = _rescale(x, ids == config.masked_token, mask)
        if isinstance(config.positions, LearnedPositions):
            numbers = position_numbers(config.positions, ids, mask)
            x = x + nn.Embed(config.positions.rows, config.hidden, name="positions")(numbers)
        return _norm(config, "embedding_norm")(x) if config.embedding_norm else x

    def _surroundings(self, mask: Bool[Array, "batch tokens"], dtype: jnp.dtype) -> Surroundings:
        config, tokens = self.config, mask.shape[1]
        allowed = mask[:, None, :]
        if config.causal:
            allowed = allowed & causal_mask(tokens)
        bias = rotation = None
        if isinstance(config.positions, RelativePositions):
            shape = config.positions.buckets, config.heads
            table = self.param("distances", nn.initializers.normal(0.02), shape, jnp.float32)
            bias = distance_bias(table, config.positions, tokens)
        elif isinstance(config.positions, RotaryPositions):
            rotation = rotary_angles(
                config.positions, width=config.head_width, tokens=tokens, dtype=dtype
            )
        return Surroundings(allowed, bias, rotation)


def _rescale(
    x: Float[Array, "batch tokens d"],
    masked: Bool[Array, "batch tokens"],
    mask: Bool[Array, "batch tokens"],
) -> Float[Array, "batch tokens d"]:
    """Zero where a token is masked; the others as large as on average in training."""
    count = jnp.maximum(jnp.sum(mask, axis=1), 1).astype(x.dtype)
    share = jnp.sum(masked & mask, axis=1).astype(x.dtype) / count
    # A sequence of masked tokens alone is zero, not 0 / 0.
    scale = (1 - _TRAINED_DROPOUT) / jnp.where(share < 1, 1 - share, 1)
    return jnp.where(masked[..., None], 0, x * scale[:, None, None])


def prenorm_states(
    config: PreNormConfig, params: Any, batch: Mapping[str, Any], layer: str
) -> Float[Array, "batch tokens d"]:
    """Hidden states of one layer; layers after it are not computed.

    Args:
      config: sizes and variants of the network.
      params: Flax parameters of the whole network.
      batch: `ids` and `mask`, each `[batch, tokens]`.
      layer: a name of `config.layer_names`; static. The last is after the final norm, the others
        are not normalized.

    Returns:
      `[batch, tokens, d]`.
    """
    depth = config.layer_names.index(layer)
    if not depth:
        params = {name: value for name, value in params.items() if name != "layers"}
    else:
        params = params | {"layers": jax.tree.map(lambda p: p[:depth], params["layers"])}
    shortened = dataclasses.replace(config, depth=depth, final=depth == config.depth)
    module = PreNormTransformer(shortened)
    return module.apply({"params": params}, jnp.asarray(batch["ids"]), jnp.asarray(batch["mask"]))
