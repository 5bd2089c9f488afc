"""Mutual k-nearest-neighbor overlap: the share of neighbors that two models have in common."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64

from jaxalign.metrics._definition import GraphMetric
from jaxalign.metrics._pair import pair_score
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.pairwise.shared_edges import SharedEdges
from jaxalign.types import MatrixLike, Score


def mutual_knn_rows(
    a: GraphStatistics, _b: GraphStatistics, edges: SharedEdges
) -> Float64[Array, " n"]:
    """|kNN_a(i) ∩ kNN_b(i)| / k of every structure i."""
    return edges.shared.sum(-1, dtype=jnp.int32).astype(jnp.float64) / a.ids.shape[-1]


def mutual_knn_term(
    _a: GraphStatistics, _b: GraphStatistics, edges: SharedEdges
) -> Float64[Array, ""]:
    """Σ_i |kNN_a(i) ∩ kNN_b(i)|, an integer held exactly."""
    return edges.shared.sum(-1, dtype=jnp.int32).astype(jnp.float64).sum()


MUTUAL_KNN = GraphMetric(
    id="mutual_knn",
    title="mutual kNN",
    definition=(
        "Mean share of the k nearest neighbors that two models have in common: "
        "1/(nk) Σᵢ |kNN_A(i) ∩ kNN_B(i)|."
    ),
    default_k=10,
    least_k=1,
    least_n=2,
    low=0.0,
    high=1.0,
    symmetric=True,
    is_metric=True,
    invariances=("rotation", "isotropic scaling"),
    term=mutual_knn_term,
    score=lambda shared, _a, _b, n, k: (shared / (n * k), ""),
    rows=mutual_knn_rows,
    weights=lambda graph: np.ones(graph.ids.shape),
    null=lambda n, k: k / (n - 1),
    beyond="shared",
)


def mutual_knn(
    x: MatrixLike,
    y: MatrixLike,
    *,
    k: int = 10,
    normalize: str | None = "l2",
    similarity: str = "inner",
) -> Score:
    """Mutual k-nearest-neighbor alignment (Huh et al. 2024).

    m(X, Y) = 1/(nk) Σ_i |kNN_X(i) ∩ kNN_Y(i)|, neighbors by inner product of the normalized rows,
    i itself excluded by index. Two independent representations score k/(n − 1) in expectation;
    1 − m is a metric.

    Args:
      x: `[n, dx]` embeddings of n structures.
      y: `[n, dy]` embeddings of the same structures in the same order.
      k: neighbors per structure, 1 <= k < n.
      normalize: `"l2"` (None means this default), `"max_abs_row"`, `"standardize"` or `"none"`.
      similarity: what orders the neighbors: `"inner"`, `"cosine"` or `"euclidean"`.

    Returns:
      Score in [0, 1]; `diagnostics` hold n, k, duplicates, ties and hubness of both sides.

    Raises:
      ValueError: shapes, k, non-finite rows, an unknown normalization or similarity.

    References:
      Huh, Cheung, Wang, Isola: The Platonic Representation Hypothesis, ICML 2024, appendix A.

    Note:
      Ties are decided in float64 and go to the lower row number, in both models alike. Two models
      with many ties (few distinct rows) therefore score above k/(n − 1) even when independent:
      look at `tie_fraction`. A model whose rows are all equal scores NaN, with a reason. n and k
      belong to the value: report them with it.
    """
    return pair_score(MUTUAL_KNN, x, y, k=k, normalize=normalize, similarity=similarity)
