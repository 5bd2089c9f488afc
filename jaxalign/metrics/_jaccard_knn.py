"""Jaccard kNN: what two models' neighbor lists share, over what they hold together."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jaxtyping import Array, Float64

from jaxalign.metrics._definition import GraphMetric
from jaxalign.metrics._pair import pair_score
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.pairwise.shared_edges import SharedEdges
from jaxalign.types import MatrixLike, Score


def jaccard_knn_rows(
    a: GraphStatistics, _b: GraphStatistics, edges: SharedEdges
) -> Float64[Array, " n"]:
    """c/(2k − c) of every structure, c = |kNN_a(i) ∩ kNN_b(i)|."""
    common = edges.shared.sum(-1, dtype=jnp.int32).astype(jnp.float64)
    return common / (2 * a.ids.shape[-1] - common)


def jaccard_knn_term(
    a: GraphStatistics, b: GraphStatistics, edges: SharedEdges
) -> Float64[Array, ""]:
    """Σ_i c_i/(2k − c_i)."""
    return jaccard_knn_rows(a, b, edges).sum()


def _null(n: int, k: int) -> float:
    """E[c/(2k − c)] for c hypergeometric: k draws, k marked, n − 1 in all."""
    draws = math.comb(n - 1, k)
    return math.fsum(
        c / (2 * k - c) * (math.comb(k, c) * math.comb(n - 1 - k, k - c) / draws)
        for c in range(1, k + 1)
    )


JACCARD_KNN = GraphMetric(
    id="jaccard_knn",
    title="Jaccard kNN",
    definition=(
        "Mean over structures of shared neighbors over all neighbors that either model has: "
        "1/n Σᵢ |kNN_A(i) ∩ kNN_B(i)| / |kNN_A(i) ∪ kNN_B(i)|."
    ),
    default_k=10,
    least_n=2,
    low=0.0,
    high=1.0,
    symmetric=True,
    is_metric=True,
    invariances=("rotation", "isotropic scaling"),
    term=jaccard_knn_term,
    score=lambda total, _a, _b, n, _k: (total / n, ""),
    rows=jaccard_knn_rows,
    null=_null,
)


def jaccard_knn(
    x: MatrixLike,
    y: MatrixLike,
    *,
    k: int = 10,
    normalize: str | None = "l2",
    similarity: str = "inner",
) -> Score:
    """Mean Jaccard index of two models' neighbor sets.

    J(X, Y) = 1/n Σ_i c_i/(2k − c_i) with c_i = |kNN_X(i) ∩ kNN_Y(i)|; i itself excluded by index.

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
      Jaccard: The distribution of the flora in the alpine zone, New Phytologist 11 (1912).

    Note:
      1 − J is a metric, being a mean of Jaccard distances. Independent representations score the
      exact expectation of c/(2k − c) under c ~ Hypergeometric(n − 1, k, k). Ties go to the lower
      row number, see `mutual_knn`.
    """
    return pair_score(JACCARD_KNN, x, y, k=k, normalize=normalize, similarity=similarity)
