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

_MEDIAN_ROWS = 256  # sampled rows compared at once
_READ = 4096  # rows read at once by the survey: part of the definition of the column means
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
    zeros, which a rounded mean would miss.
    """
    first = model.read(0, 1).astype(np.float64)
    total, largest = np.zeros(model.d), 0.0
    sample = np.empty((len(sampled), model.d))
    for start in range(0, model.n, _READ):
        block = model.read(start, start + _READ)
        inside = (sampled >= start) & (sampled < start + len(block))
        sample[inside] = block[sampled[inside] - start]
        difference = block - first
        total += difference.sum(axis=0)
        largest = max(largest, float(np.abs(difference).max()))
    mean = first[0] + total / model.n
    exponent = math.frexp(largest)[1] - 1 if largest > 0 else 0
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

    0 when more than half of the pairs are duplicates (or there is a single row).
    """
    if len(sample) < 2:
        return 0.0
    squares = np.square(sample).sum(axis=1)
    bound = 2.0**-53 * (8 + 4 * math.sqrt(sample.shape[1]))
    upper = []
    for start in range(0, len(sample), _MEDIAN_ROWS):
        rows = slice(start, start + _MEDIAN_ROWS)
        total = squares[rows, None] + squares[None, start:]
        squared = total - 2 * (sample[rows] @ sample[start:].T)
        squared[squared <= bound * total] = 0.0
        upper.append(squared[np.triu_indices(*squared.shape[:1], 1, squared.shape[1])])
    found = np.concatenate(upper)
    # The middle one, or two: selected before any root is taken.
    middle = np.unique([(len(found) - 1) // 2, len(found) // 2])
    return float(np.sqrt(np.partition(found, middle)[middle]).mean())


def _centered(
    block: Float[np.ndarray, "rows d"], mean: Float64[np.ndarray, " d"], exponent: int
) -> Float64[np.ndarray, "rows d"]:
    return np.ldexp(block - mean, -exponent)
