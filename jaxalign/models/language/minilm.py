"""all-MiniLM-L6-v2, a BERT over English text: the text by which it sees a structure, the encoder.

It has never seen chemistry on purpose: what it makes of a SMILES is a control for models that have.
"""

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
from jaxalign.models.language.albert_bert import BUCKETS, TOKENS_PER_BATCH, convert_params
from jaxalign.models.language.text_tokenizer import TextTokenizer
from jaxalign.models.language.tokens import collate_tokens, token_count
from jaxalign.models.language.transformer import TransformerConfig, hidden_states
from jaxalign.structures.structure import Structure

CONFIG = TransformerConfig(vocabulary=30522, hidden=384, depth=6, heads=12, intermediate=1536)


def text_featurize(tokenizer_json: bytes) -> Callable[[Structure], Example]:
    """How structures become tokens: their SMILES if they have one, else their residue sequence.

    A SMILES is read as it stands, as if it were a sentence. Of a sequence every letter is a word:
    the tokenizer makes a single unknown token of a word of more than a hundred letters.

    Args:
      tokenizer_json: content of the model's tokenizer.json.

    Returns:
      Structure → `ids`, `special`, `unknown`, `truncated` (see `TextTokenizer`).

    Raises:
      JaxalignError: if the data are no tokenizer, or the package `tokenizers` is missing.
    """
    limit = CONFIG.positions
    by_smiles = TextTokenizer.from_json(tokenizer_json, view="smiles", max_tokens=limit)
    by_residue = TextTokenizer.from_json(
        tokenizer_json, view="sequence", max_tokens=limit, separator=" "
    )

    def featurize(structure: Structure) -> Example:
        # What has neither is told to bring a SMILES.
        residues = structure.smiles is None and structure.sequence is not None
        return (by_residue if residues else by_smiles).featurize(structure)

    return featurize


def convert_minilm(
    arrays: Mapping[str, np.ndarray], config: TransformerConfig = CONFIG
) -> dict[str, Any]:
    """Arrays of the original's weight file to parameters; the pooler is left out.

    Args:
      arrays: name → array.
      config: sizes of the network.

    Returns:
      Parameters for `apply_minilm`.

    Raises:
      WeightsError: if an array is missing, unknown or of another shape.
    """
    numbers = "embeddings.position_ids"  # 0, 1, 2, …: a constant that old files carry along
    return convert_params(config, {k: array for k, array in arrays.items() if k != numbers})


def apply_minilm(
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


def minilm_encoder(
    card: ModelCard,
    params: Any,
    featurize: Callable[[Structure], Example],
    config: TransformerConfig = CONFIG,
) -> Encoder:
    """MiniLM ready for extraction.

    Args:
      card: facts about the model; its `layers` are `config.layer_names`.
      params: Flax parameters.
      featurize: as `text_featurize` makes it.
      config: sizes of the network.

    Returns:
      An encoder whose nodes are all tokens, [CLS] and [SEP] included.
    """
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=featurize,
        batching=RowBuckets(
            size=token_count,
            buckets=BUCKETS,
            batch_size=lambda bucket: TOKENS_PER_BATCH // bucket,
            pad=collate_tokens,
        ),
        apply=bind(apply_minilm, config),
    )
