"""BERT, RoBERTa and ALBERT: configuration and names of tensors."""

from __future__ import annotations

import dataclasses

from jaxalign.models.huggingface.config import MOST_LAYERS, ModelConfig
from jaxalign.models.huggingface.layout import Layout, Naming, dense, norm, table
from jaxalign.models.language.activations import ACTIVATIONS
from jaxalign.models.language.transformer import TransformerConfig
from jaxalign.models.weight_files.weights import WeightsError

_QKV = ("query", "key", "value")

BERT_NAMES = Naming(
    anchor="embeddings.word_embeddings.weight",
    layers="encoder.layer.",
    roots=("embeddings.", "encoder."),
    ignored=("position_ids", "token_type_ids"),
)
ALBERT_NAMES = Naming(
    anchor="embeddings.word_embeddings.weight",
    layers=None,
    roots=("embeddings.", "encoder."),
    ignored=("position_ids", "token_type_ids"),
)


def read_bert(config: ModelConfig) -> TransformerConfig:
    """Sizes of a BERT.

    Raises:
      WeightsError: if the configuration is incomplete or of a variant that is not supported.
    """
    config.require("position_embedding_type", "absolute", default="absolute", why="BERT's own")
    config.require("is_decoder", False, default=False, why="encoders see both sides of a token")
    hidden, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    if hidden % heads:
        raise WeightsError(
            f"config.json says hidden_size = {hidden} and num_attention_heads = {heads}; the heads "
            "must divide the width"
        )
    return TransformerConfig(
        vocabulary=config.integer("vocab_size"),
        hidden=hidden,
        depth=config.integer("num_hidden_layers", most=MOST_LAYERS),
        heads=heads,
        intermediate=config.integer("intermediate_size"),
        positions=config.integer("max_position_embeddings"),
        token_types=config.integer("type_vocab_size", 2),
        epsilon=config.number("layer_norm_eps", 1e-12),
        activation=config.choice("hidden_act", tuple(ACTIVATIONS), "gelu"),
    )


def read_roberta(config: ModelConfig) -> TransformerConfig:
    """Sizes of a RoBERTa, whose positions start behind the number of its padding token.

    Raises:
      WeightsError: as `read_bert`, or if no position is left.
    """
    bert, padding = read_bert(config), config.integer("pad_token_id", 1, least=0)
    if padding + 1 >= bert.positions:
        raise WeightsError(
            f"config.json says pad_token_id = {padding} and max_position_embeddings = "
            f"{bert.positions}; positions start at pad_token_id + 1"
        )
    return dataclasses.replace(bert, padding_id=padding)


def read_albert(config: ModelConfig) -> TransformerConfig:
    """Sizes of an ALBERT.

    Raises:
      WeightsError: as `read_bert`, or if layers are not one repeated layer.
    """
    for name in ("num_hidden_groups", "inner_group_num"):
        config.require(name, 1, default=1, why="one layer that is repeated")
    return dataclasses.replace(
        read_bert(config),
        embedding=config.integer("embedding_size", 128),
        shared=True,
        activation=config.choice("hidden_act", tuple(ACTIVATIONS), "gelu_new"),
    )


def bert_layout(config: TransformerConfig) -> Layout:
    """Tensors of BERT and RoBERTa."""
    d, inner, root = config.hidden, config.intermediate, "encoder.layer.{}"
    layers: dict = {}
    for name in _QKV:
        layers |= dense(f"layers/{name}", f"{root}.attention.self.{name}", d, d)
    return {
        **_embeddings(config, d),
        **layers,
        **dense("layers/attention_out", f"{root}.attention.output.dense", d, d),
        **norm("layers/attention_norm", f"{root}.attention.output.LayerNorm", d),
        **dense("layers/expand", f"{root}.intermediate.dense", d, inner),
        **dense("layers/contract", f"{root}.output.dense", inner, d),
        **norm("layers/output_norm", f"{root}.output.LayerNorm", d),
    }


def albert_layout(config: TransformerConfig) -> Layout:
    """Tensors of ALBERT."""
    d, inner = config.hidden, config.intermediate
    root, width = "encoder.albert_layer_groups.0.albert_layers.0", config.embedding or d
    layers: dict = {}
    for name in _QKV:
        layers |= dense(f"layers/{name}", f"{root}.attention.{name}", d, d)
    return {
        **_embeddings(config, width),
        **dense("project", "encoder.embedding_hidden_mapping_in", width, d),
        **layers,
        **dense("layers/attention_out", f"{root}.attention.dense", d, d),
        **norm("layers/attention_norm", f"{root}.attention.LayerNorm", d),
        **dense("layers/expand", f"{root}.ffn", d, inner),
        **dense("layers/contract", f"{root}.ffn_output", inner, d),
        **norm("layers/output_norm", f"{root}.full_layer_layer_norm", d),
    }


def _embeddings(config: TransformerConfig, width: int) -> Layout:
    root = "embeddings"
    return {
        **table("tokens", f"{root}.word_embeddings", config.vocabulary, width),
        **table("positions", f"{root}.position_embeddings", config.positions, width),
        **table("types", f"{root}.token_type_embeddings", config.token_types, width),
        **norm("norm", f"{root}.LayerNorm", width),
    }
