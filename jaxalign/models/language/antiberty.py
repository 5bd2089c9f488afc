"""AntiBERTy, a BERT over the residues of antibodies: its alphabet, and an encoder of sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign.models.bound import bind
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, NodeFeatures
from jaxalign.models.language.albert_bert import convert_params
from jaxalign.models.language.residues import ResidueTokens
from jaxalign.models.language.transformer import TransformerConfig, hidden_states
from jaxalign.structures.chains import RESIDUES

CONFIG = TransformerConfig(vocabulary=25, hidden=512, depth=8, heads=8, intermediate=2048)
_FIRST_RESIDUE = 5
UNKNOWN, CLS, SEP = 1, 2, 3  # 0 is [PAD] and 4 is [MASK]
TOKENS = ResidueTokens(
    ids={letter: number for number, letter in enumerate(RESIDUES, _FIRST_RESIDUE)},
    unknown=UNKNOWN,
    before=(CLS,),
    after=(SEP,),
    max_residues=CONFIG.positions - 2,
)
TOKENS_PER_BATCH = 2048


def convert_antiberty(
    arrays: Mapping[str, np.ndarray], config: TransformerConfig = CONFIG
) -> dict[str, Any]:
    """Arrays of the original's weight file to parameters; its heads and the pooler are left out.

    Args:
      arrays: name → array.
      config: sizes of the network.

    Returns:
      Parameters for `apply_antiberty`.

    Raises:
      WeightsError: if an array is missing, unknown or of another shape.
    """
    numbers = "bert.embeddings.position_ids"  # 0, 1, 2, …: a constant that old files carry along
    return convert_params(config, {k: array for k, array in arrays.items() if k != numbers})


def apply_antiberty(
    config: TransformerConfig, params: Any, batch: Mapping[str, Any], layer: str | None = None
) -> NodeFeatures:
    """Features of all tokens of a padded batch, [CLS] and [SEP] included.

    Args:
      config: sizes of the network.
      params: Flax parameters.
      batch: `ids` and `mask`, each `[batch, tokens]`.
      layer: a name of `config.layer_names`; None is the last. Static.

    Returns:
      `[batch, tokens, 512]` values and the mask of real tokens.
    """
    states = hidden_states(config, params, batch, layer or config.layer_names[-1])
    return NodeFeatures(states, jnp.asarray(batch["mask"]))


def antiberty_encoder(card: ModelCard, params: Any, config: TransformerConfig = CONFIG) -> Encoder:
    """AntiBERTy ready for extraction.

    Args:
      card: facts about the model; its `layers` are `config.layer_names`.
      params: Flax parameters.
      config: sizes of the network.

    Returns:
      An encoder of residue sequences; its nodes are [CLS], the residues and [SEP].
    """
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=TOKENS.featurize,
        batching=TOKENS.batching(lambda bucket: max(1, TOKENS_PER_BATCH // (bucket - 2))),
        apply=bind(apply_antiberty, config),
    )
