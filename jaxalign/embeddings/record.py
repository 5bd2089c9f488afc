"""The record of one model's embeddings of one set of structures."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxalign.models.card import ModelCard


@dataclasses.dataclass(frozen=True, eq=False)
class Embeddings:
    """Row i is structure `ids[i]` as one encoder sees it.

    Attributes:
      values: `[n, d]` array.
      ids: `n` unique sample ids.
      card: facts about the encoder.
      info: layer, pooling, data set and its content hash, what was skipped, …
    """

    values: Float[np.ndarray, "n d"]
    ids: tuple[str, ...]
    card: ModelCard
    info: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if len(self.ids) != len(self.values):
            raise ValueError(
                f"embeddings of {self.card.id!r}: {len(self.values)} rows but {len(self.ids)} ids; "
                "pass one id a row"
            )
        if len(set(self.ids)) != len(self.ids):
            raise ValueError(f"embeddings of {self.card.id!r}: ids must be unique")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def order_hash(self) -> str:
        """SHA-256 of the ids in order: equal hashes mean rows can be compared one by one."""
        return order_hash(self.ids)


def order_hash(ids: Sequence[str]) -> str:
    """SHA-256 of a sequence of ids; the length prefix keeps ("ab",) and ("a", "b") apart."""
    state = hashlib.sha256()
    for identifier in ids:
        encoded = identifier.encode()
        state.update(len(encoded).to_bytes(8, "little") + encoded)
    return state.hexdigest()
