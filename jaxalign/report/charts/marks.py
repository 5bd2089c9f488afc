"""One color and one symbol a kind of model, the same in every view of a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from jaxalign.models.card import ModelCard
from jaxalign.report.charts.points import GRAY, SYMBOLS
from jaxalign.report.vocabulary.colors import modality_colors

# Tol, "Colour schemes" (SRON, 2021), muted: none of them is the color of a modality.
_FAMILIES = (
    *("#cc6677", "#332288", "#ddcc77", "#117733", "#88ccee", "#882255", "#44aa99"),
    *("#999933", "#aa4499"),
)
_RELATIONS = MappingProxyType(
    {
        "same_family": ("#0072b2", "circle"),
        "same_modality": ("#009e73", "square"),
        "cross_modality": ("#d55e00", "diamond"),
        "unstated": ("#6b6b6b", "cross"),
        "descriptor": ("#e69f00", "triangle-up"),
        "untrained": ("#cc79a7", "triangle-down"),
        "noise": ("#9a9a9a", "x"),
    }
)


class Marks:
    """Colors and symbols of all models of a report.

    Args:
      cards: of the models of all data sets.
    """

    def __init__(self, cards: Iterable[ModelCard]):
        cards = list(cards)
        self._modalities = modality_colors([card.modality for card in cards])
        families = sorted({card.family for card in cards} - {""})
        # 9 colors and 7 symbols have no common divisor: 63 families differ in one or the other.
        self._families = {
            family: (_FAMILIES[i % len(_FAMILIES)], SYMBOLS[i % len(SYMBOLS)])
            for i, family in enumerate(families)
        }

    def modality(self, card: ModelCard) -> str:
        """Color of a model's modality."""
        return self._modalities.get(card.modality, GRAY)

    def family(self, card: ModelCard) -> tuple[str, str]:
        """Color and symbol of a model's family; gray circles where none is stated."""
        return self._families.get(card.family, (GRAY, "circle"))

    def modalities(self) -> Mapping[str, str]:
        """Modality → color, in the order of legends."""
        return self._modalities


def relation_mark(relation: str) -> tuple[str, str]:
    """Color and symbol of a kind of pair, a key of `RELATIONS`."""
    return _RELATIONS[relation]


def modality_words(modality: str) -> str:
    """A modality for people."""
    return {"": "not stated", "3d": "3-D structure", "graph": "2-D graph"}.get(modality, modality)
