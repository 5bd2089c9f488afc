"""Centered, scaled rows of many models, read block by block: what tiles are made of.

Columns are centered before inner products are taken (an offset of a thousand standard deviations
would otherwise leave nothing of the distances), and each model is divided by a power of two, so
that squares of extreme data stay in range. Both are exact up to one rounding of each element.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int

from jaxalign.embeddings.sources import ModelRows
from jaxalign.pairwise.kernels import rounding
from jaxalign.parallel.blocks import over_blocks

_MEDIAN_ROWS = 256  # sampled rows compared at once
_CANDIDATES = 2**14  # distances that may be the median and are computed one by one
_SAMPLE = 2000  # rows whose median distance is the bandwidth of a Gaussian kernel


@dataclasses.dataclass(frozen=True, eq=False)
class CenteredModel:
    """One model with its column means, scale and a sample of its rows.

    Attributes:
      rows: the stored rows.
      mean: column means.
      exponent: x − mean = c · 2^exponent with |c| < 4.
      sample: c of a seeded sample of rows, in random order.
    """

    rows: ModelRows
    mean: Float64[np.ndarray, " d"]
    exponent: int
    sample: Float64[np.ndarray, "s d"]

    def read(self, start: int, stop: int) -> Float64[np.ndarray, "rows d"]:
        """Rows `start:stop` of c, clipped at n."""
        return _centered(self.rows.read(start, stop), self.mean, self.exponent)


def survey(model: ModelRows, sampled: Int[np.ndarray, " s"]) -> CenteredModel:
    """Column means, scale and sample of a model, in one pass over its rows.

    Means are those of the differences to the first row: a constant column then centers to exact
    zeros, which a rounded mean would miss. Each process reads its share of the blocks of 4,096
    rows, and the first row. Sums of blocks are added in the order of the blocks, so that the result
    does not depend on the number of processes.
    """
    first = model.read(0, 1).astype(np.float64)

    def measure(start, stop):
        block = model.read(start, stop)
        inside = np.flatnonzero((sampled >= start) & (sampled < stop))
        difference = block - first
        total, largest = difference.sum(axis=0), np.abs(difference).max()
        return total[None], largest[None], block[sampled[inside] - start].astype(float), inside

    totals, largest, samples, places = over_blocks(model.n, measure)
    total, largest = sum(totals), largest.max()
    mean = first[0] + total / model.n
    exponent = math.frexp(largest)[1] - 1 if largest > 0 else 0
    sample = np.empty((len(sampled), model.d))
    sample[places] = samples
    return CenteredModel(model, mean, exponent, _centered(sample, mean, exponent))


def sample_rows(n: int, seed: int) -> Int[np.ndarray, " s"]:
    """Row numbers of the seeded sample, the same for every model; all rows if there are few."""
    return np.random.default_rng(seed).permutation(n)[:_SAMPLE]


def check_lengths(models: Sequence[ModelRows]) -> int:
    """All models embed the same number of structures, which is returned.

    Raises:
      ValueError: no models, or different numbers of rows.
    """
    lengths = sorted({model.n for model in models})
    if len(lengths) != 1:
        raise ValueError(
            f"models must embed the same structures: got {len(models)} models with "
            f"{lengths or 'no'} rows; restrict them to their common ids first"
        )
    return lengths[0]


def median_distance(sample: Float64[np.ndarray, "s d"]) -> float:
    """Median off-diagonal Euclidean distance, by direct selection on the host.

    float32 products tell which distances may be the median; these alone are taken in float64. 0
    when more than half of the pairs are duplicates (or there is a single row).
    """
    if len(sample) < 2:
        return 0.0
    squares, error = _upper_squares(sample, np.float32)
    # The middle one, or two: selected before any root is taken.
    middle = np.unique([(len(squares) - 1) // 2, len(squares) // 2])
    found = np.partition(squares, middle)[middle]
    low, high = found[0] - 2 * error, found[-1] + 2 * error
    places = np.flatnonzero((squares >= low) & (squares <= high))
    if len(places) > _CANDIDATES:  # few different distances
        exact, _ = _upper_squares(sample, np.float64)
    else:
        exact = _squares_at(sample, places)
        middle -= np.count_nonzero(squares < low)
    return float(np.sqrt(np.partition(exact, middle)[middle]).mean())


def _upper_squares(
    sample: Float64[np.ndarray, "s d"], dtype: type
) -> tuple[Float[np.ndarray, " p"], float]:
    """Squared distances of all pairs i < j in order of i, and a bound of their errors."""
    rows = sample.astype(dtype)
    squares = np.square(sample).sum(axis=1).astype(dtype)
    relative = dtype(rounding(np.dtype(dtype).name, sample.shape[1]))
    count = len(sample)
    out, place = np.empty(count * (count - 1) // 2, dtype), 0
    for start in range(0, count, _MEDIAN_ROWS):
        total = squares[start : start + _MEDIAN_ROWS, None] + squares[None, start:]
        found = rows[start : start + _MEDIAN_ROWS] @ rows[start:].T
        found *= dtype(-2)
        found += total
        total *= relative
        found[found <= total] = 0
        for i, line in enumerate(found):
            out[place : place + len(line) - i - 1] = line[i + 1 :]
            place += len(line) - i - 1
    return out, float(relative * 2 * squares.max())


def _squares_at(
    sample: Float64[np.ndarray, "s d"], places: Int[np.ndarray, " p"]
) -> Float64[np.ndarray, " p"]:
    """Squared distances of single pairs, by their places in the order of `_upper_squares`."""
    lengths = np.arange(len(sample) - 1, 0, -1)
    firsts = np.concatenate([[0], np.cumsum(lengths)])
    i = np.searchsorted(firsts, places, side="right") - 1
    j = places - firsts[i] + i + 1
    return np.square(sample[i] - sample[j]).sum(axis=1)


def _centered(
    block: Float[np.ndarray, "rows d"], mean: Float64[np.ndarray, " d"], exponent: int
) -> Float64[np.ndarray, "rows d"]:
    return np.ldexp(block - mean, -exponent)
