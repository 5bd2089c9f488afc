"""What every structure, and every edge between two, adds to a score: for tests of differences.

Scores are smooth functions of few sums over pairs of structures. To first order their error is that
of the sums, weighted by the slopes of the score:

* graph metrics with a sum over shared edges (mutual kNN, CKNNA): edges with their products; of
  ratios also the edges of the self terms;
* information imbalance: the neighbors of the first model, each with its rank less the mean rank;
* Gram metrics (CKA, distance correlation, RSA): twice the row sums of the product of the centered
  matrices. Their double sums are not known, so that errors of scores near their null are
  overstated, by up to √2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64, Int

from jaxalign.embeddings.sources import ModelRows
from jaxalign.metrics._definition import GramMetric, GraphMetric, Outcome, RankMetric
from jaxalign.pairwise.centered_rows import median_distance, sample_rows, survey
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.pairwise.ranks import neighbor_ranks
from jaxalign.significance.paired import Influence

_BLOCK_BYTES = 1 << 28  # of the blocks of all models' matrices
_STEP = 1e-5  # relative, of the slopes


def edge_influence(metric: GraphMetric, a: GraphStatistics, b: GraphStatistics) -> Influence:
    """Of a graph metric that is a function of sums over edges.

    Args:
      metric: with `weights`.
      a: graph of the first model.
      b: graph of the second model, over the same structures and with as many neighbors.
    """
    ids = [np.asarray(graph.ids) for graph in (a, b)]
    weights = [np.asarray(metric.weights(graph), np.float64) for graph in (a, b)]
    n, k = ids[0].shape
    owners = np.repeat(np.arange(n), k)
    here, there = _shared(*ids)
    products = weights[0].ravel()[here] * weights[1].ravel()[there]
    own = [np.square(part).ravel() for part in weights]
    sums = [float(part.sum()) for part in (products, *own)]
    slopes = _slopes(lambda *terms: metric.score(*terms, n, k), sums)
    parts = [(owners[here], ids[0].ravel()[here], products)]
    parts += [(owners, of.ravel(), square) for of, square in zip(ids, own, strict=True)]
    kept = [
        (*ends, n * slope * values)
        for slope, (*ends, values) in zip(slopes, parts, strict=True)
        if slope
    ]
    return Influence(np.zeros(n), *(np.concatenate(part) for part in zip(*kept, strict=True)))


def rank_influence(metric: RankMetric, ids: Int[np.ndarray, "n k"], b: ModelRows) -> Influence:
    """Of a metric of ranks.

    Args:
      metric: linear in the sum of ranks.
      ids: neighbors of the first model.
      b: rows of the second model.
    """
    n, k = ids.shape
    ranks = neighbor_ranks(ids, b).ravel()
    slope = metric.score(1.0, n, k)[0] - metric.score(0.0, n, k)[0]
    owners = np.repeat(np.arange(n), k)
    return Influence(np.zeros(n), owners, ids.ravel(), n * slope * (ranks - ranks.mean()))


def gram_influences(
    metric: GramMetric, models: Sequence[ModelRows], pairs: Sequence[tuple[int, int]], *, seed: int
) -> list[Influence]:
    """Of a Gram metric, for several pairs of models at once: two passes over blocks of rows.

    Args:
      metric: the metric.
      models: rows of all models.
      pairs: numbers of two models each.
      seed: of the sample that gives the bandwidth of Gaussian kernels.
    """
    n = models[0].n
    matrices = [_Matrix(rows, metric.kernel, seed) for rows in models]
    wanted = sorted({tuple(sorted(pair)) for a, b in pairs for pair in ((a, b), (a, a), (b, b))})
    rows, halves = ({pair: np.empty(n) for pair in wanted} for _ in range(2))
    step = max(1, _BLOCK_BYTES // (8 * n * (len(models) + 2)))
    for start in range(0, n, step):
        here = slice(start, min(start + step, n))
        blocks = [matrix.centered(here, metric.statistic) for matrix in matrices]
        own = np.arange(n)[here]
        diagonals = [block[own - start, own] for block in blocks]
        for a, b in wanted:
            rows[a, b][here] = np.einsum("ij,ij->i", blocks[a], blocks[b])
            halves[a, b][here] = diagonals[a] * diagonals[b] / 2
    once = 0.5 if metric.statistic == "pairs" else 1.0  # those are summed over i < j alone
    found = []
    for a, b in pairs:
        sides = tuple(sorted((a, b))), (a, a), (b, b)
        sums = [once * float(rows[side].sum()) for side in sides]
        slopes = _slopes(lambda *values: metric.score(*values, n), sums)
        # A structure is in its row and in its column, but once on the diagonal.
        parts = [
            2 * n * slope * once * (rows[side] - halves[side])
            for slope, side in zip(slopes, sides, strict=True)
        ]
        none = np.zeros(0, np.int64)
        found.append(Influence(sum(parts), none, none, np.zeros(0)))
    return found


class _Matrix:
    """Kernel matrix of one model, some rows at a time, in float64."""

    def __init__(self, rows: ModelRows, kernel: str, seed: int):
        model = survey(rows, sample_rows(rows.n, seed))
        self._rows, self._kernel = model.read(0, rows.n), kernel
        self._squares = np.square(self._rows).sum(axis=1)
        self._bandwidth = median_distance(model.sample) if kernel == "rbf" else None
        self._diagonal = self._squares if kernel == "linear" else np.full(rows.n, kernel == "rbf")
        step = max(1, _BLOCK_BYTES // (16 * rows.n))
        starts = range(0, rows.n, step)
        sums = [self._entries(slice(start, start + step)).sum(axis=1) for start in starts]
        self._sums = np.concatenate(sums)

    def centered(self, here: slice, statistic: str) -> Float64[np.ndarray, "rows n"]:
        """Rows of the matrix, centered as the statistic has it."""
        n, entries = len(self._rows), self._entries(here)
        if statistic == "biased":
            means = self._sums / n
            return entries - means[here, None] - means[None, :] + means.mean()
        apart = self._sums - self._diagonal
        if statistic == "pairs":
            entries -= apart.sum() / (n * (n - 1))
        else:
            means = apart / (n - 2)
            entries += apart.sum() / ((n - 1) * (n - 2)) - means[here, None] - means[None, :]
        own = np.arange(n)[here]
        entries[own - own[0], own] = 0.0
        return entries

    def _entries(self, here: slice) -> Float64[np.ndarray, "rows n"]:
        products = self._rows[here] @ self._rows.T
        if self._kernel == "linear":
            return products
        squares = self._squares[here, None] + self._squares[None, :] - 2 * products
        own = np.arange(len(self._rows))[here]
        squares[own - own[0], own] = 0.0
        squares = np.maximum(squares, 0.0)
        if self._kernel == "euclidean":
            return np.sqrt(squares)
        return np.exp(squares / (-2 * self._bandwidth**2))


def _shared(
    a: Int[np.ndarray, "n k"], b: Int[np.ndarray, "n k"]
) -> tuple[Int[np.ndarray, " edges"], Int[np.ndarray, " edges"]]:
    """Places of the edges of both graphs, in the lists of a and of b."""
    first = np.arange(len(a), dtype=np.int64)[:, None] * len(a)
    keys = [(first + ids).ravel() for ids in (a, b)]
    _, here, there = np.intersect1d(*keys, assume_unique=True, return_indices=True)
    return here, there


def _slopes(score: Callable[..., Outcome], terms: Sequence[float]) -> list[float]:
    """Derivatives of a score by its terms; a relative step, as terms are of any size."""
    found = []
    for place, term in enumerate(terms):
        step = _STEP * (abs(term) or 1.0)
        ends = [list(terms), list(terms)]
        ends[0][place] -= step
        ends[1][place] += step
        low, high = (score(*values)[0] for values in ends)
        found.append((high - low) / (2 * step))
    return found
