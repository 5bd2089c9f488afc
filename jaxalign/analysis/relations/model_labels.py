"""What groups models: architecture family, modality, training data; and which ones are compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64

from jaxalign.models.card import ModelCard

_UNSTATED = ("", "none", "not stated")


def training_corpus(card: ModelCard) -> str:
    """The corpus that a card names first: its training data up to the first of `: ; , (`.

    "MPtrj: 1.58 million structures" and "MPtrj (the weights of 0.3.0), then MP-r2SCAN" are both
    "MPtrj".

    Args:
      card: facts about the model.

    Returns:
      The name; "" where the card states none.
    """
    name = re.split(r"[:;,(]", card.training_data, maxsplit=1)[0].strip()
    return "" if name.lower() in _UNSTATED else name


LABELS: Mapping[str, Callable[[ModelCard], str]] = MappingProxyType(
    {
        "family": lambda card: card.family,
        "modality": lambda card: card.modality,
        "training_data": training_corpus,
    }
)


def model_labels(cards: Mapping[str, ModelCard], by: str) -> dict[str, str]:
    """Label of every model, "" where its card states none.

    Args:
      cards: model → card.
      by: `"family"`, `"modality"` or `"training_data"` (the corpus that is named first).

    Returns:
      Model → label.

    Raises:
      ValueError: an unknown kind of label.
    """
    if by not in LABELS:
        raise ValueError(f"models are grouped by one of {tuple(LABELS)}: got {by!r}")
    return {name: LABELS[by](card) for name, card in cards.items()}


def compared_models(
    cards: Mapping[str, ModelCard], *, untrained: bool = False, controls: bool = False
) -> list[str]:
    """Models whose alignment means something: without random weights, descriptors and noise.

    Args:
      cards: model → card.
      untrained: also networks with random weights.
      controls: also descriptors and noise.

    Returns:
      Labels in their order.
    """

    def counts(card: ModelCard) -> bool:
        if card.modality == "control" or card.is_descriptor:
            return controls
        return card.pretrained or untrained

    return [name for name, card in cards.items() if counts(card)]


def same_label(labels: Sequence[str]) -> Float64[np.ndarray, "m m"]:
    """1 where two models share a label, else 0; an empty label is shared with nobody."""
    names = np.array(labels, dtype=object)
    return ((names[:, None] == names[None, :]) & (names != "")[None, :]).astype(np.float64)


def labels_of(names: Sequence[str], labels: Mapping[str, str]) -> list[str]:
    """Labels of some models in their order.

    Raises:
      ValueError: a model without a label.
    """
    missing = [name for name in names if name not in labels]
    if missing:
        raise ValueError(
            f"{len(missing)} models have no label, e.g. {missing[:3]}; '' stands for an unknown one"
        )
    return [labels[name] for name in names]
