"""Cycle kNN: how many structures find back to themselves through both models' neighbors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float64

from jaxalign.metrics._definition import GraphMetric
from jaxalign.metrics._pair import pair_score
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.pairwise.shared_edges import SharedEdges
from jaxalign.types import MatrixLike, Score

_ROWS = 128  # rows whose neighbors' lists are gathered at once


def cycle_knn_rows(
    a: GraphStatistics, b: GraphStatistics, _edges: SharedEdges
) -> Float64[Array, " n"]:
    """1 where i is a neighbor in a of one of its neighbors in b, else 0."""

    def returns(row_and_ids):
        row, neighbors = row_and_ids
        return (a.ids.at[neighbors].get(mode="promise_in_bounds") == row).any()

    rows = jnp.arange(a.ids.shape[0], dtype=jnp.int32)
    return jax.lax.map(returns, (rows, b.ids), batch_size=_ROWS).astype(jnp.float64)


def cycle_knn_term(
    a: GraphStatistics, b: GraphStatistics, edges: SharedEdges
) -> Float64[Array, ""]:
    """Number of structures that return, an integer held exactly."""
    return cycle_knn_rows(a, b, edges).sum()


CYCLE_KNN = GraphMetric(
    id="cycle_knn",
    title="cycle kNN",
    definition=(
        "Share of structures that are a neighbor, in model A, of one of their neighbors in model "
        "B: i ∈ ∪ kNN_A(j) over j ∈ kNN_B(i). Directed."
    ),
    default_k=10,
    least_n=2,
    low=0.0,
    high=1.0,
    # A model need not return to itself either: hubs are neighbors of many, and have k themselves.
    best=None,
    symmetric=False,
    invariances=("rotation", "isotropic scaling"),
    term=cycle_knn_term,
    score=lambda total, _a, _b, n, _k: (total / n, ""),
    rows=cycle_knn_rows,
)


def cycle_knn(
    x: MatrixLike,
    y: MatrixLike,
    *,
    k: int = 10,
    normalize: str | None = "l2",
    similarity: str = "inner",
) -> Score:
    """Share of structures that a step in y and a step in x can lead back to themselves.

    c(X, Y) = 1/n |{i : i ∈ ∪_{j ∈ kNN_Y(i)} kNN_X(j)}|; no structure is its own neighbor.

    Args:
      x: `[n, dx]` embeddings of n structures.
      y: `[n, dy]` embeddings of the same structures in the same order.
      k: neighbors per structure, 1 <= k < n.
      normalize: `"l2"` (None means this default), `"max_abs_row"`, `"standardize"` or `"none"`.
      similarity: what orders the neighbors: `"inner"`, `"cosine"` or `"euclidean"`.

    Returns:
      Score in [0, 1], directed. NaN with `diagnostics["reason"]` where all rows of a model are
      equal.

    Raises:
      ValueError: shapes, k, non-finite rows, an unknown normalization or similarity.

    References:
      Huh, Cheung, Wang, Isola: The Platonic Representation Hypothesis, ICML 2024, and
      its public code.

    Note:
      A model scores below 1 with itself: c(X, X) is the share of structures with a mutual neighbor.
      Independent representations score 1/n Σ_i [1 − C(n−1−d_i, k)/C(n−1, k)] in expectation, with
      d_i the times that i is a neighbor in x: no function of n and k alone. Takes O(n·k²) gathers.
    """
    return pair_score(CYCLE_KNN, x, y, k=k, normalize=normalize, similarity=similarity)
