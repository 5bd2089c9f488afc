"""A user's own function as an encoder."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, HostEncoder


def as_encoder(function: Any, card: ModelCard | None = None) -> Encoder | HostEncoder:
    """Makes an encoder of a user's own function.

    Args:
      function: structures → array-like `[n, d]` whose row i depends on structure i alone. An
        encoder is returned as it is.
      card: facts about it; None makes a card with the function's name and nothing else.

    Returns:
      An encoder for `embed_structures`.

    Raises:
      ValueError: if `function` is not callable, or a card is given for an encoder that has one.
    """
    if isinstance(function, Encoder | HostEncoder):
        if card is not None:
            raise ValueError(
                f"encoder {function.card.id!r} has a card already; do not pass another"
            )
        return function
    if not callable(function):
        raise ValueError(
            f"an encoder must be a function of a list of structures: got {type(function).__name__}"
        )
    if card is None:
        name = getattr(function, "__name__", type(function).__name__)
        card = ModelCard(id=name, name=name, family="", modality="", pretrained=True)
    # A card that a user wrote need not know that functions have no pooling.
    card = dataclasses.replace(card, pooling="none")
    return HostEncoder(card=card, embed=lambda structures: _as_rows(function(structures)))


def _as_rows(values: Any) -> np.ndarray:
    try:
        return np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"an encoder must return an array of numbers [n, d]: {error}") from error
