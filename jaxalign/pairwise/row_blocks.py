"""Rows of one model in blocks: each process reads its share, and hears of the rest.

What is summed or listed over all rows is computed in fixed blocks (`parallel/blocks.py`): results
do not depend on the number of processes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int, Shaped

from jaxalign.embeddings.sources import ModelRows
from jaxalign.parallel.blocks import over_blocks

_BLOCK = 4096  # rows read at once


@dataclasses.dataclass(frozen=True, eq=False)
class RowBlocks:
    """Float32 rows that are read when they are wanted.

    Attributes:
      n: number of rows.
      d: width.
      read: rows `start:stop`, with `stop <= n`.
      take: rows of the given numbers, in that order.
      far: the same from the source alone, past all that is kept; None: there is no such.
      held: rows `start:stop` that are kept in memory.
    """

    n: int
    d: int
    read: Callable[[int, int], Any]
    take: Callable[[Any], Any]
    far: Callable[[Any], Any] | None = None
    held: tuple[int, int] | None = None

    def changed(self, function: Callable[[Any], Any]) -> RowBlocks:
        """Every row changed by a function of blocks that treats each row by itself."""
        read, take, far = self.read, self.take, self.far or self.take
        return RowBlocks(
            self.n,
            self.d,
            lambda start, stop: function(read(start, stop)),
            lambda index: function(take(index)),
            lambda index: function(far(index)),
        )

    def selected(self, index: Int[np.ndarray, " rows"]) -> RowBlocks:
        """Some rows, in the given order."""
        take, far = self.take, self.far or self.take
        return RowBlocks(
            len(index),
            self.d,
            lambda start, stop: take(index[start:stop]),
            lambda part: take(index[part]),
            lambda part: far(index[part]),
        )

    def kept(self, start: int, stop: int) -> RowBlocks:
        """The same rows, of which `start:stop` are read now and stay in memory.

        What an earlier call kept is not held any longer, unless it is the same.
        """
        if self.held == (start, stop):
            return self
        far, values = self.far or self.take, np.empty((stop - start, self.d), np.float32)
        for a in range(start, stop, _BLOCK):
            b = min(a + _BLOCK, stop)
            values[a - start : b - start] = self.read(a, b)

        def take(index):
            near = (index >= start) & (index < stop)
            if near.all():
                return values[index - start]
            out = np.empty((len(index), values.shape[1]), np.float32)
            out[near] = values[index[near] - start]
            out[~near] = far(index[~near])
            return out

        def read(a, b):
            inside = a == b or (start <= a and b <= stop)
            return (
                values[max(a - start, 0) : max(b - start, 0)] if inside else take(np.arange(a, b))
            )

        return RowBlocks(self.n, self.d, read, take, far, (start, stop))


def row_blocks(rows: Float32[np.ndarray, "n d"] | ModelRows | RowBlocks) -> RowBlocks:
    """Blocks of an array, of a model's rows, or what is given."""
    if isinstance(rows, RowBlocks):
        return rows
    if isinstance(rows, ModelRows):
        normalize, raw = rows.normalizer, rows.raw
        return RowBlocks(rows.n, rows.d, rows.read, lambda index: normalize(raw.take(index)))
    return RowBlocks(*rows.shape, lambda a, b: rows[a:b], lambda index: rows[index])


def of_blocks(rows: RowBlocks, function: Callable[[Any], Any]) -> Float64[np.ndarray, "blocks ..."]:
    """A function of every fixed block, in the order of the blocks, computed by all processes.

    Args:
      rows: the rows.
      function: block → number or array of a fixed shape.
    """

    def one(start, stop):
        return (np.asarray(function(rows.read(start, stop)), np.float64)[None],)

    return over_blocks(rows.n, one)[0]


def of_rows(
    rows: RowBlocks, function: Callable[[Any], Shaped[np.ndarray, " rows"]]
) -> Shaped[np.ndarray, " n"]:
    """A value of every row, computed by all processes.

    Args:
      rows: the rows.
      function: block → one value a row.
    """
    return over_blocks(rows.n, lambda start, stop: (function(rows.read(start, stop)),))[0]


def column_means(rows: RowBlocks) -> Float64[np.ndarray, " d"]:
    """Mean row, summed in the order of the fixed blocks."""
    return of_blocks(rows, lambda block: block.sum(axis=0, dtype=np.float64)).sum(axis=0) / rows.n


def largest_element(rows: RowBlocks) -> float:
    """Largest absolute value; NaN where a row has one."""
    return float(of_blocks(rows, lambda block: np.abs(block).max()).max())
