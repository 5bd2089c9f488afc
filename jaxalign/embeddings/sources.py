"""One model's rows, read block by block: from memory, a mapped file, or an embedding store.

Everything that compares models reads through `ModelRows`, so memory is bounded by the blocks in
flight and not by the number of models.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from jaxalign.embeddings.preprocess import Normalizer
from jaxalign.embeddings.record import order_hash
from jaxalign.embeddings.stored import EmbeddingStore
from jaxalign.models.card import ModelCard
from jaxalign.parallel.blocks import fixed_blocks, own_blocks
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.multihost import (
    exchange_objects,
    gather_rows,
    is_primary_process,
    require_agreement,
)

_BLOCK = 4096  # rows read at once where a whole model is scanned


@runtime_checkable
class Readable(Protocol):
    """Stored rows of one model in their own dtype: an array, or an embedding store."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""

    @property
    def dtype(self) -> np.dtype:
        """Type of the stored numbers."""

    def read(self, start: int, stop: int) -> Float[np.ndarray, "rows d"]:
        """Rows `start:stop`."""

    def take(self, index: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows d"]:
        """Rows of the given numbers, in that order."""


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayRows:
    """Rows of an array in memory, or of a mapped file."""

    values: Float[np.ndarray, "n d"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers."""
        return self.values.dtype

    def read(self, start: int, stop: int) -> Float[np.ndarray, "rows d"]:
        """Rows `start:stop`."""
        return np.asarray(self.values[start:stop])

    def take(self, index: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows d"]:
        """Rows of the given numbers, in that order."""
        return np.asarray(self.values[index])


@dataclasses.dataclass(frozen=True, eq=False)
class StoreRows:
    """Rows of an embedding store, read from disk at each use."""

    store: EmbeddingStore

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return self.store.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the stored numbers."""
        return self.store.dtype

    def read(self, start: int, stop: int) -> Float[np.ndarray, "rows d"]:
        """Rows `start:stop`."""
        return self.store.read(start, stop)

    def take(self, index: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows d"]:
        """Rows of the given numbers, in that order."""
        return self.store.take(index)


@dataclasses.dataclass(frozen=True, eq=False)
class SelectedRows:
    """Some rows of a source, in another order."""

    raw: Readable
    index: Int[np.ndarray, " n"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return len(self.index), self.raw.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """Type of the stored numbers."""
        return self.raw.dtype

    def read(self, start: int, stop: int) -> Float[np.ndarray, "rows d"]:
        """Rows `start:stop` of the selection."""
        return self.raw.take(self.index[start:stop])

    def take(self, index: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows d"]:
        """Rows of the given numbers of the selection, in that order."""
        return self.raw.take(self.index[index])


@dataclasses.dataclass(frozen=True, eq=False)
class ModelRows:
    """Normalized float32 rows of one model: the stored rows that all metrics compare.

    Attributes:
      raw: where the rows come from.
      normalizer: what is done to them; a row's result does not depend on the block it is read in.
    """

    raw: Readable
    normalizer: Normalizer

    @property
    def n(self) -> int:
        """Number of structures."""
        return self.raw.shape[0]

    @property
    def d(self) -> int:
        """Width."""
        return self.raw.shape[1]

    def read(self, start: int, stop: int) -> Float32[np.ndarray, "rows d"]:
        """Rows `start:stop`, clipped at n."""
        return self.normalizer(self.raw.read(start, min(stop, self.n)))

    def take(self, index: Int[np.ndarray, " rows"]) -> Float32[np.ndarray, "rows d"]:
        """Rows of the given numbers, in that order."""
        return self.normalizer(self.raw.take(index))

    def load(self) -> Float32[np.ndarray, "n d"]:
        """All rows."""
        out = np.empty((self.n, self.d), np.float32)
        for start in range(0, self.n, _BLOCK):
            out[start : start + _BLOCK] = self.read(start, start + _BLOCK)
        return out


@dataclasses.dataclass(frozen=True, eq=False)
class StoredEmbeddings:
    """Embeddings that stay on disk; what `Embeddings` says of ids, card and info holds here too."""

    raw: Readable
    ids: tuple[str, ...]
    card: ModelCard
    info: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def order_hash(self) -> str:
        """SHA-256 of the ids in order."""
        return order_hash(self.ids)


def stored_embeddings(store: EmbeddingStore, **info: Any) -> StoredEmbeddings:
    """Embeddings of a complete store, checked once and then read in blocks.

    All processes of a run must call this together: each checks its share.

    Args:
      store: the store.
      info: added to the store's own.

    Raises:
      EmbeddingStoreError: the store is incomplete or damaged.
    """
    store.require_intact()
    return StoredEmbeddings(StoreRows(store), store.ids, store.card, {**store.info, **info})


def model_rows(x: Float[np.ndarray, "n d"] | Readable, normalize: str) -> ModelRows:
    """Rows of one model under a normalization.

    Args:
      x: array `[n, d]`, or anything that reads rows.
      normalize: one of `NORMALIZATIONS`; `"standardize"` reads all rows twice for column moments,
        each process its share of blocks.
    """
    raw = ArrayRows(x) if isinstance(x, np.ndarray) else x
    return ModelRows(raw, Normalizer.of(raw, normalize))


def scan(raw: Readable) -> tuple[str, Bool[np.ndarray, " n"]]:
    """One pass over all rows; all processes of a run take part, and each reads its share of blocks.

    Every process also reads the first block: other files under the same name are noticed.

    Returns:
      SHA-256 of dtype, shape and the SHA-256 of every block of 4,096 rows: part of the key of
      everything derived; and which rows hold a NaN or an infinity.

    Raises:
      DisagreementError: the processes see different rows.
    """
    n = raw.shape[0]
    found: list[tuple[str, np.ndarray]] = []
    header = ""
    with stop_together():
        found = [_scan_block(raw, *block) for block in own_blocks(n)]
        first = (
            found[0][0]
            if found and is_primary_process()
            else _scan_block(raw, *fixed_blocks(n)[0])[0]
        )
        header = f"{raw.dtype.str}{raw.shape}"
    require_agreement(**{"dtype and shape": header, "the first rows": first})
    digests = [part for parts in exchange_objects([d for d, _ in found]) for part in parts]
    state = hashlib.sha256(header.encode())
    for digest in digests:
        state.update(bytes.fromhex(digest))
    return state.hexdigest(), gather_rows(
        np.concatenate([np.zeros(0, bool), *(b for _, b in found)])
    )


def _scan_block(raw: Readable, start: int, stop: int) -> tuple[str, Bool[np.ndarray, " rows"]]:
    """SHA-256 of the bytes of one block, and which of its rows are not finite."""
    block = np.ascontiguousarray(raw.read(start, stop))
    content = block.data if block.dtype.kind == "f" else block.tobytes()
    return hashlib.sha256(content).hexdigest(), ~np.isfinite(block).all(axis=1)
