"""ESM C, Llama and Qwen3, which share names of tensors: configuration and names."""

from __future__ import annotations

import dataclasses
import math

from jaxalign.models.huggingface.config import MOST_LAYERS, ModelConfig
from jaxalign.models.huggingface.layout import Layout, Naming, dense, norm, table
from jaxalign.models.huggingface.rope import head_width, rotary_positions
from jaxalign.models.language.activations import ACTIVATIONS
from jaxalign.models.language.prenorm_transformer import PreNormConfig
from jaxalign.models.weight_files.weights import WeightsError

# The depth at which the branches of ESM C are not scaled.
_ESMC_DEPTH = 36


def decoder_names(config: PreNormConfig) -> Naming:
    """Names of the tensors of ESM C, Llama and Qwen3."""
    return Naming(
        anchor="embed_tokens.weight",
        layers="layers.",
        roots=("embed_tokens.", "layers.", "norm."),
        ignored=("inv_freq",),
    )


def read_decoder(config: ModelConfig) -> PreNormConfig:
    """Sizes of a Llama.

    Raises:
      WeightsError: if the configuration is incomplete or of a variant that is not supported.
    """
    config.require("quantization_config", None, default=None, why="plain float weights")
    hidden, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    kv_heads = config.integer("num_key_value_heads", heads)
    if heads % kv_heads:
        raise WeightsError(
            f"config.json says num_attention_heads = {heads} and num_key_value_heads = {kv_heads}, "
            "which do not divide them"
        )
    stated = config.get("head_dim") is not None
    width = config.integer("head_dim") if stated else head_width(hidden, heads)
    return PreNormConfig(
        vocabulary=config.integer("vocab_size"),
        hidden=hidden,
        depth=config.integer("num_hidden_layers", most=MOST_LAYERS),
        heads=heads,
        kv_heads=kv_heads,
        head_width=width,
        intermediate=config.integer("intermediate_size"),
        positions=rotary_positions(config, width),
        norm="rms",
        epsilon=config.number("rms_norm_eps", 1e-6),
        attention_bias=config.flag("attention_bias"),
        mlp_bias=config.flag("mlp_bias"),
        gated=True,
        activation=config.choice("hidden_act", tuple(ACTIVATIONS), "silu"),
        logit_scale=width**-0.5,
        causal=True,
    )


def read_qwen3(config: ModelConfig) -> PreNormConfig:
    """Sizes of a Qwen3, whose queries and keys are normalized.

    Raises:
      WeightsError: as `read_decoder`, or if layers see a window of the text alone.
    """
    config.require("use_sliding_window", False, default=False, why="attention to the whole text")
    config.require("mlp_bias", False, default=False, why="Qwen3 has none")
    stated = config.get("head_dim") is not None
    qwen = config if stated else config.replaced(head_dim=128)
    return dataclasses.replace(read_decoder(qwen), query_norm="heads")


def read_esmc(config: ModelConfig) -> PreNormConfig:
    """Sizes of an ESM C.

    Raises:
      WeightsError: as `read_decoder`, or if heads share keys and values.
    """
    network = read_decoder(config)
    if network.kv_heads != network.heads or network.heads * network.head_width != network.hidden:
        raise WeightsError(
            f"config.json says {network.kv_heads} heads of keys, {network.heads} of queries with "
            f"{network.head_width} features in a width of {network.hidden}; in ESM C all heads "
            "have keys of their own and fill the width"
        )
    return dataclasses.replace(
        network,
        norm="layer",
        epsilon=1e-5,
        final_bias=False,
        query_norm="width",
        residual_scale=math.sqrt(_ESMC_DEPTH / network.depth),
        causal=False,
    )


def decoder_layout(config: PreNormConfig) -> Layout:
    """Tensors of ESM C, Llama and Qwen3."""
    d, inner, root = config.hidden, config.intermediate, "layers.{}"
    queries, keys = config.heads * config.head_width, config.kv_heads * config.head_width
    both, bias = config.norm == "layer", config.attention_bias
    layout = {**table("tokens", "embed_tokens", config.vocabulary, d)}
    for name, width in (("query", queries), ("key", keys), ("value", keys)):
        layout |= dense(f"layers/{name}", f"{root}.self_attn.{name[0]}_proj", d, width, bias=bias)
    if config.query_norm is not None:
        width = config.head_width if config.query_norm == "heads" else queries
        for name in ("query", "key"):
            path = f"layers/{name}_norm"
            layout |= norm(path, f"{root}.self_attn.{name[0]}_norm", width, bias=False)
    for path, name in (("gate", "gate_proj"), ("expand", "up_proj")):
        layout |= dense(f"layers/{path}", f"{root}.mlp.{name}", d, inner, bias=config.mlp_bias)
    return {
        **layout,
        **dense("layers/attention_out", f"{root}.self_attn.o_proj", queries, d, bias=bias),
        **dense("layers/contract", f"{root}.mlp.down_proj", inner, d, bias=config.mlp_bias),
        **norm("layers/attention_norm", f"{root}.input_layernorm", d, bias=both),
        **norm("layers/mlp_norm", f"{root}.post_attention_layernorm", d, bias=both),
        **norm("final_norm", "norm", d, bias=both and config.final_bias),
    }
