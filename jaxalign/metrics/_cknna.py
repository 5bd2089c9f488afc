"""Centered kernel nearest-neighbor alignment, in the two definitions that carry the name."""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Array, Float64

from jaxalign.metrics._definition import GraphMetric
from jaxalign.metrics._pair import pair_score
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.pairwise.shared_edges import SharedEdges, sum_edges
from jaxalign.types import MatrixLike, Score


def formula_term(a: GraphStatistics, _b: GraphStatistics, edges: SharedEdges) -> Float64[Array, ""]:
    """Σ_ij α_ij K̄_ij L̄_ij over the edges that both graphs have."""
    products = a.centered.astype(jnp.float64) * edges.centered.astype(jnp.float64)
    return sum_edges(products).sum()


def platonic_term(a: GraphStatistics, b: GraphStatistics, edges: SharedEdges) -> Float64[Array, ""]:
    """n(n−3)·HSIC₁ of the masked kernels K̂ = mask∘K and L̂ = mask∘L, from the edges alone.

    Σ K̂_ij L̂_ji + ΣK̂·ΣL̂/((n−1)(n−2)) − 2/(n−2)·Σ_l colsum(K̂)_l rowsum(L̂)_l
    """
    n = a.ids.shape[0]
    k_hat, l_hat = (
        jnp.where(edges.shared, centered.astype(jnp.float64) + means[:, None], 0.0)
        for centered, means in ((a.centered, a.means), (edges.centered, b.means))
    )
    # L̂_ji = L̂_ij wherever the reverse edge survives the mask too (kernels are symmetric).
    products = sum_edges(jnp.where(edges.mutual, k_hat * l_hat, 0.0)).sum()
    rows = sum_edges(l_hat)
    # Σ_l colsum(K̂)_l rowsum(L̂)_l = Σ_ij K̂_ij rowsum(L̂)_j: a gather instead of a scatter.
    cross = sum_edges(k_hat * rows.at[a.ids].get(mode="promise_in_bounds")).sum()
    totals = sum_edges(k_hat).sum() * rows.sum()
    return products + totals / ((n - 1) * (n - 2)) - 2 / (n - 2) * cross


def _ratio(epsilon: float = 0.0):
    def score(ab: float, aa: float, bb: float, n: int, _k: int) -> tuple[float, str]:
        if not (aa > 0 and bb > 0):
            side = "first" if not aa > 0 else "second"
            return math.nan, (
                f"the self term of the {side} model is not positive ({aa:.3g}, {bb:.3g}): "
                "its rows do not differ enough for a ratio"
            )
        if not math.isfinite(ab):
            return math.nan, f"the term of the pair is not finite ({ab})"
        # Terms are n(n−3)·HSIC₁; the public code adds epsilon to HSIC₁ itself.
        return ab / (math.sqrt(aa) * math.sqrt(bb) + epsilon * n * (n - 3)), ""

    return score


CKNNA = GraphMetric(
    id="cknna",
    variant="formula",
    title="CKNNA",
    definition=(
        "Alignment of centered inner products over the neighbor pairs that both models share: "
        "Σ α K̄ L̄ / √(Σ K̄² · Σ L̄²), each self term over the model's own k neighbors."
    ),
    default_k=25,
    least_k=2,
    least_n=3,
    low=-1.0,
    high=1.0,
    symmetric=True,
    is_metric=False,
    invariances=("rotation", "isotropic scaling"),
    term=formula_term,
    weights=lambda graph: graph.centered,
    score=_ratio(),
    beyond="products",
)

CKNNA_PLATONIC = dataclasses.replace(
    CKNNA,
    id="cknna:platonic",
    variant="platonic",
    title="CKNNA (platonic)",
    definition=(
        "Debiased HSIC of the two kernels, both masked to the neighbor pairs that the models "
        "share, over the root of the self terms: the definition in the public code of Huh et al. "
        "Not exactly symmetric."
    ),
    least_n=4,
    # A debiased ratio is not confined to [-1, 1]: neither self term bounds the cross term.
    low=-math.inf,
    high=math.inf,
    symmetric=False,
    term=platonic_term,
    weights=None,
    beyond=None,
)

_VARIANTS = {"formula": CKNNA, "platonic": CKNNA_PLATONIC}


def cknna(
    x: MatrixLike,
    y: MatrixLike,
    *,
    k: int = 25,
    variant: str = "formula",
    normalize: str | None = "l2",
    epsilon: float = 0.0,
    similarity: str = "inner",
) -> Score:
    """Centered kernel nearest-neighbor alignment, from neighbor edges alone.

    With K = XXᵀ of the normalized rows, α_ij = 1 where j is among the k neighbors of i in both
    models, and K̄_ij = K_ij − mean_l K_il:

        "formula":   Align(K, L) / √(Align(K, K) · Align(L, L)),  Align(K, L) = Σ_ij α_ij K̄_ij L̄_ij;
        "platonic":  HSIC₁(K̂, L̂) / (√(HSIC₁(K̂, K̂) · HSIC₁(L̂, L̂)) + epsilon) with K̂ = α∘K, L̂ = α∘L.

    Self terms use the model's own graph. The two variants differ (0.285 and 0.266 on one data set):
    always say which.

    Args:
      x: `[n, dx]` embeddings of n structures.
      y: `[n, dy]` embeddings of the same structures in the same order.
      k: neighbors per structure, 2 <= k < n.
      variant: `"formula"` or `"platonic"`.
      normalize: `"l2"` (None means this default), `"max_abs_row"`, `"standardize"` or `"none"`.
      epsilon: added to the denominator of the platonic variant; 1e-6 reproduces its public code.
      similarity: what orders the neighbors: `"inner"`, `"cosine"` or `"euclidean"`; the kernel is
        the inner product under all three.

    Returns:
      Score; NaN with `diagnostics["reason"]` where a self term is not positive.

    Raises:
      ValueError: shapes, k, n < 4 (platonic), non-finite rows, an unknown variant,
        normalization or similarity.

    References:
      Huh, Cheung, Wang, Isola: The Platonic Representation Hypothesis, ICML 2024, appendix A
      ("formula") and its public code ("platonic"); Song et al., JMLR 13 (2012), eq. 5 (HSIC₁).

    Note:
      Edge values are centered in float64 before they are rounded. The platonic variant is not
      exactly symmetric: its last term is colsum(K̂)·rowsum(L̂). At k = n − 1 it is debiased CKA.
    """
    if variant not in _VARIANTS:
        raise ValueError(f"unknown CKNNA variant {variant!r}: choose one of {tuple(_VARIANTS)}")
    if not epsilon >= 0 or (epsilon and variant == "formula"):
        raise ValueError(
            f"epsilon must be 0, or positive with variant='platonic': got epsilon={epsilon}, "
            f"variant={variant!r}"
        )
    metric = dataclasses.replace(_VARIANTS[variant], score=_ratio(epsilon))
    return pair_score(metric, x, y, k=k, normalize=normalize, similarity=similarity)
