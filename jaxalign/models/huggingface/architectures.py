"""The architectures of the Hugging Face layout, and how each is used as an encoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from jaxalign.models.huggingface import bert_family as bert
from jaxalign.models.huggingface import decoder_family as decoder
from jaxalign.models.huggingface import esm_family as esm
from jaxalign.models.huggingface import t5_family as t5
from jaxalign.models.huggingface.config import ModelConfig
from jaxalign.models.huggingface.layout import Layout, Naming
from jaxalign.models.language.positions import LearnedPositions
from jaxalign.models.language.prenorm_transformer import PreNormConfig, prenorm_states
from jaxalign.models.language.transformer import TransformerConfig, hidden_states
from jaxalign.models.weight_files.weights import WeightsError

Network = TransformerConfig | PreNormConfig


@dataclasses.dataclass(frozen=True, eq=False)
class Architecture:
    """What the loader must know of one architecture.

    Attributes:
      name: `model_type` of the configuration.
      family: on the card.
      citation: on the card.
      read: configuration → sizes of the network.
      layout: sizes → tensors.
      naming: sizes → how tensors are named.
      states: (sizes, params, batch, layer) → hidden states.
      view: of a structure, if the user states none.
      special_tokens: whether pooling runs over special tokens too.
      pooling: default of the card.
      separator: between the letters of a residue sequence.
      depth_key: name of the number of layers in the configuration.
    """

    name: str
    family: str
    citation: str
    read: Callable[[ModelConfig], Network]
    layout: Callable[[Any], Layout]
    naming: Callable[[Any], Naming]
    states: Callable[..., Any]
    view: str = "smiles"
    special_tokens: bool = True
    pooling: str = "mean"
    separator: str = ""
    depth_key: str = "num_hidden_layers"


_BERT = Architecture(
    name="bert",
    family="BERT",
    citation="Devlin et al., arXiv:1810.04805",
    read=bert.read_bert,
    layout=bert.bert_layout,
    naming=lambda network: bert.BERT_NAMES,
    states=hidden_states,
    separator=" ",
)
_ESM = Architecture(
    name="esm",
    family="ESM",
    citation="Lin et al., Science 379, 1123 (2023)",
    read=esm.read_esm,
    layout=esm.esm_layout,
    naming=esm.esm_names,
    states=prenorm_states,
    view="sequence",
    special_tokens=False,
)
_LLAMA = Architecture(
    name="llama",
    family="Llama",
    citation="Touvron et al., arXiv:2302.13971",
    read=decoder.read_decoder,
    layout=decoder.decoder_layout,
    naming=decoder.decoder_names,
    states=prenorm_states,
    pooling="last",
)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "bert": _BERT,
        "roberta": dataclasses.replace(
            _BERT,
            name="roberta",
            family="RoBERTa",
            citation="Liu et al., arXiv:1907.11692",
            read=bert.read_roberta,
            separator="",
        ),
        "albert": dataclasses.replace(
            _BERT,
            name="albert",
            family="ALBERT",
            citation="Lan et al., arXiv:1909.11942",
            read=bert.read_albert,
            layout=bert.albert_layout,
            naming=lambda network: bert.ALBERT_NAMES,
        ),
        "esm": _ESM,
        "esmc": dataclasses.replace(
            _ESM,
            name="esmc",
            family="ESM C",
            citation="ESM Team, ESM Cambrian (2024)",
            read=decoder.read_esmc,
            layout=decoder.decoder_layout,
            naming=decoder.decoder_names,
        ),
        "t5": dataclasses.replace(
            _ESM,
            name="t5",
            family="T5 encoder",
            citation="Raffel et al., JMLR 21, 140 (2020)",
            read=t5.read_t5,
            layout=t5.t5_layout,
            naming=t5.t5_names,
            separator=" ",
            depth_key="num_layers",
        ),
        "llama": _LLAMA,
        "qwen3": dataclasses.replace(
            _LLAMA,
            name="qwen3",
            family="Qwen3",
            citation="Qwen Team, arXiv:2505.09388",
            read=decoder.read_qwen3,
        ),
    }
)


def find_architecture(config: ModelConfig) -> Architecture:
    """The architecture that a configuration names.

    Args:
      config: with `model_type`.

    Returns:
      Its facts.

    Raises:
      WeightsError: if it is not supported; the message lists those that are.
    """
    name = config.get("model_type")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise WeightsError(
            f"config.json says model_type = {name!r:.80}, which is not supported; supported are "
            f"{', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[name]


def token_limit(network: Network) -> int | None:
    """The largest number of tokens that a network has positions for; None for no limit."""
    if isinstance(network, TransformerConfig):
        return LearnedPositions(network.positions, network.padding_id).room
    learned = isinstance(network.positions, LearnedPositions)
    return network.positions.room if learned else None
