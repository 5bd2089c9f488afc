"""Models as points: one color a modality, hollow where a network is not trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jaxalign.models.card import ModelCard
from jaxalign.report.charts.marks import Marks, modality_words
from jaxalign.report.charts.points import Points


def model_points(
    x: Sequence[float],
    y: Sequence[float],
    names: Sequence[str],
    hover: Sequence[str],
    cards: Mapping[str, ModelCard],
    marks: Marks,
) -> tuple[Points, ...]:
    """Points of models, one kind a modality.

    Args:
      x: places.
      y: places.
      names: model labels.
      hover: what is said of each.
      cards: model → card.
      marks: colors of the report.

    Returns:
      Kinds that occur, in the order of the palette.
    """
    found = []
    for modality, color in marks.modalities().items():
        for hollow in (False, True):
            rows = [i for i, name in enumerate(names) if _is(cards[name], modality, hollow)]
            if rows:
                words = modality_words(modality) + (", not trained" if hollow else "")
                parts = ([list(values)[i] for i in rows] for values in (x, y, hover))
                found.append(Points(*parts, name=words, color=color, hollow=hollow))
    return tuple(found)


def _is(card: ModelCard, modality: str, hollow: bool) -> bool:
    untrained = not card.pretrained and card.modality != "control"
    return card.modality == modality and hollow == untrained
