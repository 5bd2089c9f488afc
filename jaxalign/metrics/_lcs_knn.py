"""LCS kNN: how much of the order of neighbors two models share."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float64

from jaxalign.metrics._definition import GraphMetric
from jaxalign.metrics._pair import pair_score
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.pairwise.ordered_lists import common_subsequence
from jaxalign.pairwise.shared_edges import SharedEdges
from jaxalign.types import MatrixLike, Score


def lcs_knn_rows(
    a: GraphStatistics, _b: GraphStatistics, edges: SharedEdges
) -> Float64[Array, " n"]:
    """Length of the longest common subsequence over k, of every structure."""
    return common_subsequence(edges.position).astype(jnp.float64) / a.ids.shape[-1]


def lcs_knn_term(
    _a: GraphStatistics, _b: GraphStatistics, edges: SharedEdges
) -> Float64[Array, ""]:
    """Σ_i LCS_i, an integer held exactly."""
    return common_subsequence(edges.position).astype(jnp.float64).sum()


LCS_KNN = GraphMetric(
    id="lcs_knn",
    title="LCS kNN",
    definition=(
        "Mean length of the longest common subsequence of two models' ordered neighbor lists, "
        "over k: 1/(nk) Σᵢ |LCS(kNN_A(i), kNN_B(i))|."
    ),
    default_k=10,
    least_n=2,
    low=0.0,
    high=1.0,
    symmetric=True,
    is_metric=True,
    invariances=("rotation", "isotropic scaling"),
    term=lcs_knn_term,
    score=lambda total, _a, _b, n, k: (total / (n * k), ""),
    rows=lcs_knn_rows,
)


def lcs_knn(
    x: MatrixLike,
    y: MatrixLike,
    *,
    k: int = 10,
    normalize: str | None = "l2",
    similarity: str = "inner",
) -> Score:
    """Longest common subsequence of two models' ordered neighbor lists.

    s(X, Y) = 1/(nk) Σ_i |LCS(kNN_X(i), kNN_Y(i))|: the most neighbors that both lists name in the
    same order, other neighbors left out; lists run from the nearest on, without i itself.

    Args:
      x: `[n, dx]` embeddings of n structures.
      y: `[n, dy]` embeddings of the same structures in the same order.
      k: neighbors per structure, 1 <= k < n.
      normalize: `"l2"` (None means this default), `"max_abs_row"`, `"standardize"` or `"none"`.
      similarity: what orders the neighbors: `"inner"`, `"cosine"` or `"euclidean"`.

    Returns:
      Score in [0, 1], at most `mutual_knn` of the same pair; NaN with `diagnostics["reason"]` where
      all rows of a model are equal.

    Raises:
      ValueError: shapes, k, non-finite rows, an unknown normalization or similarity.

    References:
      Huh, Cheung, Wang, Isola: The Platonic Representation Hypothesis, ICML 2024 (the score);
      Hyyrö: Bit-parallel LCS-length computation revisited, AWOCA 2004 (the recurrence).

    Note:
      1 − s is a metric: 2k(1 − s) is the mean number of insertions and deletions between the lists.
      Lengths are exact integers. Tied neighbors stand by row number in both models alike, which
      lengthens common subsequences: look at `tie_fraction` and the duplicates.
    """
    return pair_score(LCS_KNN, x, y, k=k, normalize=normalize, similarity=similarity)
