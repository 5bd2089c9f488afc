"""The encoder of T5: configuration and names of tensors."""

from __future__ import annotations

from jaxalign.models.huggingface.config import MOST_LAYERS, ModelConfig
from jaxalign.models.huggingface.layout import Layout, Naming, Tensor, dense, norm, table
from jaxalign.models.language.activations import ACTIVATIONS
from jaxalign.models.language.positions import RelativePositions
from jaxalign.models.language.prenorm_transformer import PreNormConfig
from jaxalign.models.weight_files.weights import WeightsError


def t5_names(config: PreNormConfig) -> Naming:
    """Names of the tensors of T5's encoder; those of the decoder are left out."""
    return Naming(
        anchor="encoder.final_layer_norm.weight",
        layers="encoder.block.",
        roots=("encoder.", "shared."),
        aliases={"encoder.embed_tokens.weight": "shared.weight"},
    )


def read_t5(config: ModelConfig) -> PreNormConfig:
    """Sizes of the encoder of a T5.

    Raises:
      WeightsError: if the configuration is incomplete or of a variant that is not supported.
    """
    kinds = (*ACTIVATIONS, *(f"gated-{name}" for name in ACTIVATIONS))
    kind = config.choice("feed_forward_proj", kinds, "relu")
    # The name says less than the original does: its gated gelu goes through tanh.
    activation = "gelu_new" if kind == "gated-gelu" else kind.removeprefix("gated-")
    buckets = config.integer("relative_attention_num_buckets", 32, least=4)
    farthest = config.integer("relative_attention_max_distance", 128)
    if buckets % 4 or farthest <= buckets // 4:
        raise WeightsError(
            f"config.json says relative_attention_num_buckets = {buckets} and "
            f"relative_attention_max_distance = {farthest}; wanted are a multiple of 4 and more "
            "than a quarter of it"
        )
    heads = config.integer("num_heads")
    return PreNormConfig(
        vocabulary=config.integer("vocab_size"),
        hidden=config.integer("d_model"),
        depth=config.integer("num_layers", most=MOST_LAYERS),
        heads=heads,
        kv_heads=heads,
        head_width=config.integer("d_kv", 64),
        intermediate=config.integer("d_ff"),
        positions=RelativePositions(buckets, farthest),
        norm="rms",
        epsilon=config.number("layer_norm_epsilon", 1e-6),
        attention_bias=False,
        mlp_bias=False,
        gated=kind.startswith("gated-"),
        activation=activation,
    )


def t5_layout(config: PreNormConfig) -> Layout:
    """Tensors of T5's encoder."""
    d, inner, width = config.hidden, config.intermediate, config.heads * config.head_width
    attention, block = "encoder.block.{}.layer.0", "encoder.block.{}.layer.1"
    first = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    layout = {
        **table("tokens", "shared", config.vocabulary, d),
        "distances": Tensor(first, (config.positions.buckets, config.heads)),
    }
    for name in ("query", "key", "value"):
        stored = f"{attention}.SelfAttention.{name[0]}"
        layout |= dense(f"layers/{name}", stored, d, width, bias=False)
    inputs = {"gate": "wi_0", "expand": "wi_1"} if config.gated else {"expand": "wi"}
    for path, name in inputs.items():
        layout |= dense(f"layers/{path}", f"{block}.DenseReluDense.{name}", d, inner, bias=False)
    return {
        **layout,
        **dense("layers/attention_out", f"{attention}.SelfAttention.o", width, d, bias=False),
        **dense("layers/contract", f"{block}.DenseReluDense.wo", inner, d, bias=False),
        **norm("layers/attention_norm", f"{attention}.layer_norm", d, bias=False),
        **norm("layers/mlp_norm", f"{block}.layer_norm", d, bias=False),
        **norm("final_norm", "encoder.final_layer_norm", d, bias=False),
    }
