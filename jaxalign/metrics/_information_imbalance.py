"""Information imbalance: how far away the neighbors of one representation are in another."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from jaxalign.metrics._definition import Outcome, RankMetric
from jaxalign.metrics._sides import finish, pair_sides
from jaxalign.pairwise.neighbors import neighbors
from jaxalign.pairwise.ranks import rank_rows
from jaxalign.types import MatrixLike, Score


def imbalance(rank_sum: float, n: int, k: int) -> Outcome:
    """Δ = 2/n · (mean rank of the n·k neighbors)."""
    return 2.0 * rank_sum / (n * k) / n, ""


def imbalance_rows(
    rank_sums: Float64[np.ndarray, " n"], n: int, k: int
) -> Float64[np.ndarray, " n"]:
    """Δ_i = 2/n · (mean rank of the k neighbors of i); their mean is Δ."""
    return 2.0 * rank_sums / (n * k)


def attained_minimum(n: int, k: int) -> float:
    """Δ(A → A) = (k + 1)/n: the least value that n structures and k neighbors allow."""
    return (k + 1) / n


INFORMATION_IMBALANCE = RankMetric(
    id="information_imbalance",
    title="information imbalance",
    definition=(
        "Mean rank, in the second model, of the first model's k nearest neighbors, in units of "
        "n/2: 0 where the first model determines the second's neighborhoods (least value "
        "(k + 1)/n), 1 for independent models. Directed."
    ),
    default_k=1,
    least_k=1,
    least_n=2,
    low=0.0,
    high=2.0,
    best=None,
    attained=attained_minimum,
    symmetric=False,
    is_similarity=False,
    invariances=("rotation", "isotropic scaling", "translation"),
    score=imbalance,
    rows=imbalance_rows,
    null=lambda _n, _k: 1.0,
)


def information_imbalance(
    x: MatrixLike,
    y: MatrixLike,
    *,
    k: int = 1,
    normalize: str | None = None,
) -> Score:
    """Information imbalance Δ(X → Y) with exact ranks (Glielmo et al. 2022).

    Δ(X → Y) = 2/n · mean_i mean_{j ∈ kNN_X(i)} rank_Y(i, j), where
    rank_Y(i, j) = 1 + #{l ∉ {i, j}: d_Y(i, l) < d_Y(i, j), or equal and l < j} with Euclidean
    distances: 1 for the nearest. Small where X determines the neighborhoods of Y; a pair of models
    is described by both directions.

    Args:
      x: `[n, dx]` embeddings of n structures, whose neighbors are taken.
      y: `[n, dy]` embeddings of the same structures in the same order, which ranks them.
      k: neighbors per structure, 1 <= k < n.
      normalize: `"none"` (None means this default), `"l2"`, `"max_abs_row"` or `"standardize"`.

    Returns:
      Score in [(k + 1)/n, 2); 1 in expectation for independent rows. `diagnostics` hold the least
      possible value, n, k, duplicates and ties of both sides.

    Raises:
      ValueError: shapes, k, non-finite rows or an unknown normalization.

    References:
      Glielmo, Zeni, Cheng, Csányi, Laio: Ranking the information content of distance measures,
      PNAS Nexus 1 (2022), pgac039, eq. 3 (k = 1); the mean over k neighbors follows Wild, Del
      Tatto, Wodaczek, Cheng, Laio, 2024.

    Note:
      Ranks count every structure; none is estimated. Float64 decides between nearly equal
      distances, and equal ones are ranked by row number, as in neighbor lists; so
      Δ(X → X) = (k + 1)/n exactly, duplicates included. If all rows of a side are equal the value
      is NaN, with a reason.
    """
    metric = INFORMATION_IMBALANCE
    a, b, normalize = pair_sides(metric, x, y, normalize, k=k)
    found = neighbors(a.rows.load(), k=k, similarity=metric.similarity)
    sums, n = rank_rows(found.indices, b.rows), a.rows.n
    a.diagnostics.update(found.diagnostics)
    facts = {
        "k": k,
        "normalization": normalize,
        "precision": "exact ranks, float64 decides",
        "least_value": attained_minimum(n, k),
    }
    return finish(metric, metric.score(float(sums.sum()), n, k), (a, b), facts)
