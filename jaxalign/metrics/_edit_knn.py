"""Edit kNN: how few edits turn one model's ordered neighbor list into the other's."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float64

from jaxalign.metrics._definition import GraphMetric
from jaxalign.metrics._pair import pair_score
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.pairwise.ordered_lists import edit_distance
from jaxalign.pairwise.shared_edges import SharedEdges
from jaxalign.types import MatrixLike, Score


def edit_knn_rows(
    a: GraphStatistics, _b: GraphStatistics, edges: SharedEdges
) -> Float64[Array, " n"]:
    """1 − Levenshtein distance over k, of every structure."""
    return 1.0 - edit_distance(edges.position).astype(jnp.float64) / a.ids.shape[-1]


def edit_knn_term(
    _a: GraphStatistics, _b: GraphStatistics, edges: SharedEdges
) -> Float64[Array, ""]:
    """Σ_i Levenshtein distance of the lists of i, an integer held exactly."""
    return edit_distance(edges.position).astype(jnp.float64).sum()


EDIT_KNN = GraphMetric(
    id="edit_knn",
    title="edit kNN",
    definition=(
        "One minus the mean Levenshtein distance of two models' ordered neighbor lists, over k: "
        "1 − 1/(nk) Σᵢ Lev(kNN_A(i), kNN_B(i))."
    ),
    default_k=10,
    least_n=2,
    low=0.0,
    high=1.0,
    symmetric=True,
    is_metric=True,
    invariances=("rotation", "isotropic scaling"),
    term=edit_knn_term,
    score=lambda total, _a, _b, n, k: (1.0 - total / (n * k), ""),
    rows=edit_knn_rows,
)


def edit_knn(
    x: MatrixLike,
    y: MatrixLike,
    *,
    k: int = 10,
    normalize: str | None = "l2",
    similarity: str = "inner",
) -> Score:
    """Edit similarity of two models' ordered neighbor lists.

    s(X, Y) = 1 − 1/(nk) Σ_i Lev(kNN_X(i), kNN_Y(i)), Lev the least number of insertions, deletions
    and substitutions; lists run from the nearest on, without i itself.

    Args:
      x: `[n, dx]` embeddings of n structures.
      y: `[n, dy]` embeddings of the same structures in the same order.
      k: neighbors per structure, 1 <= k < n.
      normalize: `"l2"` (None means this default), `"max_abs_row"`, `"standardize"` or `"none"`.
      similarity: what orders the neighbors: `"inner"`, `"cosine"` or `"euclidean"`.

    Returns:
      Score in [0, 1]: lists of length k are never more than k substitutions apart. NaN with
      `diagnostics["reason"]` where all rows of a model are equal.

    Raises:
      ValueError: shapes, k, non-finite rows, an unknown normalization or similarity.

    References:
      Levenshtein: Binary codes capable of correcting deletions, insertions, and reversals, Soviet
      Physics Doklady 10 (1966); Myers, J. ACM 46 (1999) (the recurrence).

    Note:
      1 − s is a metric, being a mean of Levenshtein distances. The score never exceeds that of
      `lcs_knn` on the same pair. Distances are exact integers. Tied neighbors stand by row number
      in both models alike: look at `tie_fraction` and the duplicates.
    """
    return pair_score(EDIT_KNN, x, y, k=k, normalize=normalize, similarity=similarity)
