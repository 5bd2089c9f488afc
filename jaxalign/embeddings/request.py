"""What a caller asks for when structures are embedded: checked before anything is computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from jaxalign.embeddings.manifest import as_json
from jaxalign.embeddings.store import EmbeddingStore
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import UnsupportedStructureError
from jaxalign.models.pooling import check_pooling
from jaxalign.structures.structure import SkippedStructure, Structure, StructureSet

_WITH_CLS = ("string", "text", "protein-sequence")
SHOWN_IDS = 5  # structures named in one message


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
    """A checked request for embeddings.

    Attributes:
      card: facts about the encoder.
      structures: what to embed.
      layer: layer name; None if the encoder has none.
      pooling: pooling name.
      skip: leave out structures that the encoder cannot represent.
    """

    card: ModelCard
    structures: StructureSet
    layer: str | None
    pooling: str
    skip: bool

    @property
    def settings(self) -> dict[str, Any]:
        """What the rows depend on besides the card: the first part of `Embeddings.info`."""
        return {
            "layer": self.layer,
            "pooling": self.pooling,
            "dataset": self.structures.name,
            "content_hash": self.structures.content_hash,
            "jax": jax.__version__,
        }

    def is_answered_by(self, store: EmbeddingStore) -> bool:
        """Whether a store is complete and holds exactly the rows that are asked for."""
        skipped = {record["id"] for record in store.info.get("skipped", ())}
        settings = self.settings
        return (
            store.complete
            and as_json(store.card.to_json()) == as_json(self.card.to_json())
            and {name: store.info.get(name) for name in settings} == as_json(settings)
            and store.ids == self.kept_ids(skipped)
            and (self.skip or not skipped)
        )

    def kept_ids(self, skipped: set[str]) -> tuple[str, ...]:
        """Ids in order without those that are skipped."""
        return tuple(identifier for identifier in self.structures.ids if identifier not in skipped)

    def require_supported(self, refused: Sequence[SkippedStructure]) -> None:
        """Makes sure that the refused structures may be left out and that others remain.

        Args:
          refused: structures that the encoder cannot represent, with reasons.

        Raises:
          UnsupportedStructureError: if not; the message names structures and reasons.
        """
        count = len(self.structures)
        some_remain = len(refused) < count
        if not refused or (self.skip and some_remain):
            return
        named = "; ".join(f"{record.where}: {record.reason}" for record in refused[:SHOWN_IDS])
        more = f"; and {len(refused) - SHOWN_IDS} more" if len(refused) > SHOWN_IDS else ""
        mend = "pass on_error='skip' to leave them out"
        raise UnsupportedStructureError(
            f"encoder {self.card.id!r} cannot embed {len(refused)} of {count} structures "
            f"({named}{more}); {mend if some_remain else 'choose other data or another encoder'}"
        )


def make_request(
    card: ModelCard,
    structures: Sequence[Structure],
    *,
    layer: str | None,
    pooling: str | None,
    on_error: str,
) -> Request:
    """Checks the arguments of an extraction and fills in the card's defaults.

    Args:
      card: card of the encoder.
      structures: what to embed.
      layer: layer name, or None.
      pooling: pooling name, or None.
      on_error: `"raise"` or `"skip"`.

    Returns:
      The request.

    Raises:
      ValueError: for an unknown layer, pooling or option, duplicate ids, or no structures.
    """
    if not len(structures):
        raise ValueError("there is no structure to embed; check the input file or the selection")
    if on_error not in ("raise", "skip"):
        raise ValueError(f"on_error must be 'raise' or 'skip': got {on_error!r}")
    if card.is_descriptor:
        if (layer, pooling) != (None, None):
            raise ValueError(
                f"encoder {card.id!r} has no layers and no pooling; pass None for both"
            )
    elif layer is not None and layer not in card.layers:
        raise ValueError(
            f"encoder {card.id!r} has no layer {layer!r}; pass one of {', '.join(card.layers)}"
        )
    else:
        check_pooling(pooling or card.pooling)
        if pooling == "cls" and card.modality not in _WITH_CLS:
            raise ValueError(
                f"encoder {card.id!r} has no classification token, and its nodes have no order: "
                "pooling 'cls' would depend on how atoms are numbered; use 'mean', 'sum' or 'max'"
            )
    if not isinstance(structures, StructureSet):
        structures = StructureSet(structures)
    return Request(
        card=card,
        structures=structures,
        layer=layer or card.layer,
        pooling=pooling or card.pooling,
        skip=on_error == "skip",
    )
