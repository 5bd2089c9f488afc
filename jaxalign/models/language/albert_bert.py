"""BERT and ALBERT with published weights: conversion to Flax, and encoders over tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign.models.batching import RowBuckets
from jaxalign.models.bound import bind
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, Example, NodeFeatures
from jaxalign.models.language.tokens import (
    TOKEN_BUCKETS,
    TOKENS_PER_BATCH,
    collate_tokens,
    token_count,
)
from jaxalign.models.language.transformer import TransformerConfig, hidden_states, param_shapes
from jaxalign.models.weight_files.weights import StateDict, check_params
from jaxalign.structures.structure import Structure

# Heads of the training tasks, and 0, 1, 2, …, which old files carry along.
_NOT_NEEDED = ("pooler.", "cls.", "classifier.", "predictions.", "embeddings.position_ids")
_QKV = ("query", "key", "value")


def convert_params(config: TransformerConfig, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays under their published names to Flax parameters; every array must be accounted for.

    Args:
      config: sizes of the network.
      arrays: name → array, as in a `pytorch_model.bin`; a `bert.` or `albert.` prefix may be there.

    Returns:
      Parameters for `hidden_states`.

    Raises:
      WeightsError: if an array is missing, unknown or of another shape.
    """
    prefix = "albert." if config.shared else "bert."
    state = StateDict({name.removeprefix(prefix): array for name, array in arrays.items()})
    params = {
        "tokens": state.embedding("embeddings.word_embeddings"),
        "positions": state.embedding("embeddings.position_embeddings"),
        "types": state.embedding("embeddings.token_type_embeddings"),
        "norm": state.layer_norm("embeddings.LayerNorm"),
        "layers": _shared_layer(state) if config.shared else _own_layers(state, config.depth),
    }
    if config.embedding:
        params["project"] = state.dense("encoder.embedding_hidden_mapping_in")
    state.require_all_taken(ignore=_NOT_NEEDED)
    check_params(param_shapes(config), params)
    return params


def _shared_layer(state: StateDict) -> dict[str, Any]:
    root = "encoder.albert_layer_groups.0.albert_layers.0."
    return {
        **{name: state.dense(f"{root}attention.{name}") for name in _QKV},
        "attention_out": state.dense(f"{root}attention.dense"),
        "attention_norm": state.layer_norm(f"{root}attention.LayerNorm"),
        "expand": state.dense(f"{root}ffn"),
        "contract": state.dense(f"{root}ffn_output"),
        "output_norm": state.layer_norm(f"{root}full_layer_layer_norm"),
    }


def _own_layers(state: StateDict, depth: int) -> dict[str, Any]:
    def layer(root: str) -> dict[str, Any]:
        own = {name: state.dense(f"{root}attention.self.{name}") for name in _QKV}
        return own | {
            "attention_out": state.dense(f"{root}attention.output.dense"),
            "attention_norm": state.layer_norm(f"{root}attention.output.LayerNorm"),
            "expand": state.dense(f"{root}intermediate.dense"),
            "contract": state.dense(f"{root}output.dense"),
            "output_norm": state.layer_norm(f"{root}output.LayerNorm"),
        }

    layers = [layer(f"encoder.layer.{number}.") for number in range(depth)]
    return jax.tree.map(lambda *parts: np.stack(parts), *layers)


def apply_bert(
    config: TransformerConfig, params: Any, batch: Mapping[str, Any], layer: str | None = None
) -> NodeFeatures:
    """Features of all tokens of a padded batch, [CLS] and [SEP] included.

    Args:
      config: sizes of the network.
      params: Flax parameters.
      batch: `ids` and `mask`, each `[batch, tokens]`.
      layer: a name of `config.layer_names`; None is the last. Static.

    Returns:
      `[batch, tokens, hidden]` values and the mask of real tokens.
    """
    states = hidden_states(config, params, batch, layer or config.layer_names[-1])
    return NodeFeatures(states, jnp.asarray(batch["mask"]))


def bert_encoder(
    card: ModelCard,
    config: TransformerConfig,
    params: Any,
    featurize: Callable[[Structure], Example],
    *,
    batching: RowBuckets | None = None,
) -> Encoder:
    """A BERT or ALBERT ready for extraction; its nodes are all tokens, [CLS] and [SEP] included.

    Args:
      card: facts about the model; its `layers` are `config.layer_names`.
      config: sizes of the network.
      params: Flax parameters.
      featurize: structure → `ids` of the tokenizer that belongs to the weights.
      batching: None for buckets up to 512 tokens.

    Returns:
      The encoder.
    """
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=featurize,
        batching=batching or _BATCHING,
        apply=bind(apply_bert, config),
    )


_BATCHING = RowBuckets(
    size=token_count,
    buckets=TOKEN_BUCKETS,
    batch_size=lambda bucket: TOKENS_PER_BATCH // bucket,
    pad=collate_tokens,
)
