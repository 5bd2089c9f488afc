"""BERT and ALBERT with published weights: conversion to Flax, and encoders over SMILES tokens."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign.models.batching import RowBuckets
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, NodeFeatures
from jaxalign.models.language.tokens import MAX_TOKENS, SmilesTokenizer, collate_tokens, token_count
from jaxalign.models.language.transformer import TransformerConfig, hidden_states, param_shapes
from jaxalign.models.weight_files.weights import StateDict, check_params

BUCKETS = (16, 24, 32, 48, 64, 128, 256, MAX_TOKENS)
TOKENS_PER_BATCH = 2048
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
    # Heads of the training tasks, which the hidden states do not need.
    state.require_all_taken(ignore=("pooler.", "cls.", "classifier.", "predictions."))
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


@functools.cache
def _apply(config: TransformerConfig) -> Callable[..., NodeFeatures]:
    # One function a configuration, so that checkpoints of one network share their compilations.
    def apply(params: Any, batch: Mapping[str, Any], layer: str | None) -> NodeFeatures:
        name = layer or config.layer_names[-1]
        states = hidden_states(config, params, batch, name)
        return NodeFeatures(states, jnp.asarray(batch["mask"]))

    return apply


def string_encoder(
    card: ModelCard, config: TransformerConfig, params: Any, tokenizer: SmilesTokenizer
) -> Encoder:
    """A BERT or ALBERT over SMILES tokens, ready for extraction.

    Args:
      card: facts about the model; its `layers` are `config.layer_names`.
      config: sizes of the network.
      params: Flax parameters.
      tokenizer: the tokenizer that belongs to the weights.

    Returns:
      An encoder whose nodes are all tokens, [CLS] and [SEP] included.
    """
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=tokenizer.featurize,
        batching=RowBuckets(
            size=token_count,
            buckets=BUCKETS,
            batch_size=lambda bucket: TOKENS_PER_BATCH // bucket,
            pad=collate_tokens,
        ),
        apply=_apply(config),
    )
