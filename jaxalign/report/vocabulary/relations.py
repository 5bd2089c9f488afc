"""How two models are related: the groups in which pairs are looked at together."""

from __future__ import annotations

import dataclasses
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from jaxalign.models.card import ModelCard

# Order of all lists and plots: pairs of pretrained models first, controls last.
RELATIONS = MappingProxyType(
    {
        "same_family": "same family",
        "same_modality": "same modality, other family",
        "cross_modality": "across modalities",
        "unstated": "family or modality not stated",
        "descriptor": "with a descriptor",
        "untrained": "with an untrained model",
        "noise": "with noise",
    }
)
PRETRAINED = ("same_family", "same_modality", "cross_modality")


@dataclasses.dataclass(frozen=True)
class Spread:
    """Count, mean and extremes of the finite scores of one group of pairs; NaN if it is empty."""

    count: int
    mean: float
    low: float
    high: float


def kind(card: ModelCard) -> str:
    """What a model is in comparisons.

    Args:
      card: facts about the model.

    Returns:
      `"noise"`, `"untrained"` (a network without training), `"descriptor"` (a control that looks
      at the structure: composition, fingerprint, …) or `"model"`.
    """
    words = f"{card.id} {card.name} {card.family}".lower()
    if card.modality == "control" and "noise" in words:
        return "noise"
    untrained = "random" in words or "untrained" in words
    if not card.pretrained and (card.modality != "control" or untrained):
        return "untrained"
    return "descriptor" if card.modality == "control" else "model"


def relation(a: ModelCard, b: ModelCard) -> str:
    """The group of a pair: a key of `RELATIONS`. A control on either side decides.

    Args:
      a: card of one model.
      b: card of the other model; the order does not matter.

    Returns:
      Key of `RELATIONS`.
    """
    kinds = {kind(a), kind(b)}
    for control in ("noise", "untrained", "descriptor"):
        if control in kinds:
            return control
    if a.family and a.family == b.family:
        return "same_family"
    if not (a.modality and b.modality):
        return "unstated"
    if a.modality != b.modality:
        return "cross_modality"
    return "same_modality" if a.family and b.family else "unstated"


def spread(scores: Float[np.ndarray, " pairs"]) -> Spread:
    """Summary of the finite scores among `scores`.

    Args:
      scores: scores of pairs; NaN where not computed.

    Returns:
      Count, mean, minimum and maximum.
    """
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return Spread(0, np.nan, np.nan, np.nan)
    return Spread(len(finite), float(finite.mean()), float(finite.min()), float(finite.max()))
