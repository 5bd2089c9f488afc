"""Seeded embeddings for measurements: any block of rows can be made alone, on any host."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float32, Int, Int32

_BLOCK = 1024  # rows drawn from one seed


@dataclasses.dataclass(frozen=True)
class SyntheticRows:
    """Rows of model `index` of `count`, which share a latent space in growing degree.

    Attributes:
      index: of the model.
      count: models of the set.
      n: rows.
      d: width.
      shared: dimensions of the latent space.
    """

    index: int
    count: int
    n: int
    d: int
    shared: int = 32

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return self.n, self.d

    @property
    def dtype(self) -> np.dtype:
        """Float32."""
        return np.dtype(np.float32)

    def read(self, start: int, stop: int) -> Float32[np.ndarray, "rows d"]:
        """Rows `start:stop`."""
        stop = min(stop, self.n)
        first = start // _BLOCK
        blocks = [self._block(b) for b in range(first, max(-(-stop // _BLOCK), first + 1))]
        return np.concatenate(blocks)[start - first * _BLOCK : stop - first * _BLOCK]

    def take(self, index: Int[np.ndarray, " rows"]) -> Float32[np.ndarray, "rows d"]:
        """Rows of the given numbers, in that order."""
        out = np.empty((len(index), self.d), np.float32)
        for block in np.unique(index // _BLOCK).tolist():
            here = np.flatnonzero(index // _BLOCK == block)
            out[here] = self._block(block)[index[here] - block * _BLOCK]
        return out

    def _block(self, number: int) -> Float32[np.ndarray, "rows d"]:
        """Full blocks, also at the end: a row does not depend on how many follow it."""
        latent = _normal((0, number), (_BLOCK, self.shared))
        weight = np.float32((self.index + 1) / self.count / np.sqrt(self.shared))
        signal = latent @ _normal((1, self.index), (self.shared, self.d))
        offset = _normal((2, self.index), (self.d,))
        return weight * signal + _normal((3, self.index, number), (_BLOCK, self.d)) + offset


def random_lists(n: int, k: int, *, seed: int) -> Int32[np.ndarray, "n k"]:
    """Neighbor lists without meaning: k different other rows for every row.

    Args:
      n: rows.
      k: length of the lists, below n.
      seed: of the draw.
    """
    steps = np.random.default_rng(seed).integers(1, max((n - 1) // k, 1) + 1, size=(n, k))
    return ((np.arange(n)[:, None] + np.cumsum(steps, axis=1)) % n).astype(np.int32)


def _normal(seed: tuple[int, ...], shape: tuple[int, ...]) -> Float32[np.ndarray, ...]:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)
