"""One line of the registry: a card, the archives of its weights, how to build the encoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from jaxalign.archives.fetch import Archive
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, HostEncoder


@dataclasses.dataclass(frozen=True, eq=False)
class ModelEntry:
    """What the registry knows about one encoder before anything is downloaded or built.

    Attributes:
      card: facts about the model; `card.id` is the registry id.
      archives: registry archives that `build` reads; empty for descriptors.
      build: entry → encoder. It may fetch the archives itself (a fetched archive is not fetched
        again) and is the first place where weights are opened.
    """

    card: ModelCard
    archives: tuple[Archive, ...]
    build: Callable[[ModelEntry], Encoder | HostEncoder]
