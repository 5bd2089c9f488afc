"""ESM-1b and ESM-2: configuration and names of tensors."""

from __future__ import annotations

from jaxalign.models.huggingface.config import MOST_LAYERS, ModelConfig
from jaxalign.models.huggingface.layout import Layout, Naming, dense, norm, table
from jaxalign.models.huggingface.rope import head_width, rotary_positions
from jaxalign.models.language.positions import LearnedPositions, RotaryPositions
from jaxalign.models.language.prenorm_transformer import PreNormConfig
from jaxalign.models.weight_files.weights import WeightsError


def esm_names(config: PreNormConfig) -> Naming:
    """Names of ESM's tensors; files of rotary networks may hold a position table, unused."""
    rotary = isinstance(config.positions, RotaryPositions)
    unused = ("embeddings.position_embeddings",) if rotary else ()
    return Naming(
        anchor="embeddings.word_embeddings.weight",
        layers="encoder.layer.",
        roots=("embeddings.", "encoder."),
        ignored=("position_ids", "inv_freq", *unused),
    )


def read_esm(config: ModelConfig) -> PreNormConfig:
    """Sizes of an ESM-1b or ESM-2.

    Raises:
      WeightsError: if the configuration is incomplete or of a variant that is not supported.
    """
    config.require("is_folding_model", False, default=False, why="ESMFold is another network")
    config.require("is_decoder", False, default=False, why="encoders see both sides of a token")
    hidden, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    width = head_width(hidden, heads)
    kind = config.choice("position_embedding_type", ("absolute", "rotary"), "absolute")
    dropout = config.flag("token_dropout")
    return PreNormConfig(
        vocabulary=config.integer("vocab_size"),
        hidden=hidden,
        depth=config.integer("num_hidden_layers", most=MOST_LAYERS),
        heads=heads,
        kv_heads=heads,
        head_width=width,
        intermediate=config.integer("intermediate_size"),
        positions=rotary_positions(config, width) if kind == "rotary" else _learned(config),
        epsilon=config.number("layer_norm_eps", 1e-12),
        logit_scale=width**-0.5,
        embedding_norm=config.flag("emb_layer_norm_before"),
        # Without an id no token is a masked one; the scale of training is undone all the same.
        masked_token=config.integer("mask_token_id", -1, least=-1) if dropout else None,
    )


def _learned(config: ModelConfig) -> LearnedPositions:
    rows = config.integer("max_position_embeddings")
    padding = config.integer("pad_token_id", 1, least=0)
    if padding + 1 >= rows:
        raise WeightsError(
            f"config.json says pad_token_id = {padding} and max_position_embeddings = {rows}; "
            "positions start at pad_token_id + 1"
        )
    return LearnedPositions(rows, padding)


def esm_layout(config: PreNormConfig) -> Layout:
    """Tensors of ESM-1b and ESM-2."""
    d, inner, root = config.hidden, config.intermediate, "encoder.layer.{}"
    layout = {**table("tokens", "embeddings.word_embeddings", config.vocabulary, d)}
    if isinstance(config.positions, LearnedPositions):
        layout |= table("positions", "embeddings.position_embeddings", config.positions.rows, d)
    if config.embedding_norm:
        layout |= norm("embedding_norm", "embeddings.layer_norm", d)
    for name in ("query", "key", "value"):
        layout |= dense(f"layers/{name}", f"{root}.attention.self.{name}", d, d)
    return {
        **layout,
        **dense("layers/attention_out", f"{root}.attention.output.dense", d, d),
        **norm("layers/attention_norm", f"{root}.attention.LayerNorm", d),
        **norm("layers/mlp_norm", f"{root}.LayerNorm", d),
        **dense("layers/expand", f"{root}.intermediate.dense", d, inner),
        **dense("layers/contract", f"{root}.output.dense", inner, d),
        **norm("final_norm", "encoder.emb_layer_norm_after", d),
    }
