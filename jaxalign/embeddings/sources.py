"""One model's rows, read block by block: from memory, a mapped file, or an embedding store.

Everything that compares models reads through `ModelRows`, so memory is bounded by the blocks in
flight and not by the number of models.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float, Float32, Int

from jaxalign.embeddings.preprocess import Normalizer


class Readable(Protocol):
    """Stored rows of one model in their own dtype: an array, or an embedding store."""

    shape: tuple[int, int]

    def read(self, start: int, stop: int) -> Float[np.ndarray, "rows d"]:
        """Rows `start:stop`."""


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayRows:
    """Rows of an array in memory, or of a mapped file."""

    values: Float[np.ndarray, "n d"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return self.values.shape

    def read(self, start: int, stop: int) -> Float[np.ndarray, "rows d"]:
        """Rows `start:stop`."""
        return np.asarray(self.values[start:stop])


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

    def load(self) -> Float32[np.ndarray, "n d"]:
        """All rows."""
        return self.read(0, self.n)


def model_rows(x: Float[np.ndarray, "n d"] | Readable, normalize: str) -> ModelRows:
    """Rows of one model under a normalization.

    Args:
      x: array `[n, d]`, or anything that reads rows.
      normalize: one of `NORMALIZATIONS`; `"standardize"` reads all rows once for column moments.
    """
    raw = ArrayRows(x) if isinstance(x, np.ndarray) else x
    return ModelRows(raw, Normalizer.of(raw, normalize))
