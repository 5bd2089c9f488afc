"""A single pair of arrays through the same statistics, terms and scores as the engine's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from jaxalign.embeddings.preprocess import normalize_rows
from jaxalign.metrics._checks import check_pair
from jaxalign.metrics._definition import GraphMetric
from jaxalign.pairwise.diagnostics import row_diagnostics
from jaxalign.pairwise.edges import GraphStatistics, graph_statistics, shared_edges
from jaxalign.pairwise.neighbors import neighbors
from jaxalign.pairwise.ordering import unit_scale
from jaxalign.types import Labels, Score

_EXTREME = 40  # binary exponent of the largest element beyond which rows are scaled


def model_graph(
    x: Float[np.ndarray, "n d"],
    *,
    k: int,
    normalize: str,
    similarity: str,
    groups: Labels | None = None,
    tile_size: int | None = None,
    progress: str | None = None,
) -> tuple[GraphStatistics, dict]:
    """Per-model statistics of all graph metrics, and the diagnostics that travel with them.

    Args:
      x: `[n, d]` embeddings.
      k: neighbors per row.
      normalize: row normalization; the graph is built on the normalized float32 rows.
      similarity: ordering of neighbors.
      groups: see `jaxalign.neighbors`.
      tile_size: see `jaxalign.neighbors`.
      progress: see `jaxalign.neighbors`.

    Returns:
      Graph statistics and a dictionary of diagnostics.
    """
    rows = normalize_rows(x, normalize)
    scaled, exponent = unit_scale(rows)
    # Scores do not depend on one scale for all rows, but edge values must fit into float32.
    rows = scaled if abs(exponent) > _EXTREME else rows
    found = neighbors(
        rows, k=k, similarity=similarity, groups=groups, tile_size=tile_size, progress=progress
    )
    diagnostics = row_diagnostics(rows) | _hubness(found.indices)
    diagnostics |= {"width": x.shape[1], "dtype": str(x.dtype)} | dict(found.diagnostics)
    return graph_statistics(rows, found.indices), diagnostics


def degenerate(diagnostics: Mapping[str, Any]) -> str:
    """Why a model has no neighbors to speak of; "" if it has."""
    if diagnostics["duplicate_groups"] == 1 and diagnostics["duplicate_rows"] == diagnostics["n"]:
        return "all rows are equal: no structure is nearer to another than the rest"
    return ""


def _hubness(ids) -> dict[str, float]:
    """Skewness of the k-occurrence and the share of rows that are nobody's neighbor."""
    counts = np.bincount(ids.ravel(), minlength=len(ids)).astype(np.float64)
    centered = counts - counts.mean()
    spread = counts.std()
    skewness = float((centered**3).mean() / spread**3) if spread > 0 else 0.0
    return {"hubness_skewness": skewness, "antihub_share": float((counts == 0).mean())}


def pair_score(metric: GraphMetric, x, y, *, k: int, normalize: str | None) -> Score:
    """Score of one pair of arrays; checks first, then the path that the engine takes too.

    Args:
      metric: definition of the metric.
      x: `[n, dx]` embeddings.
      y: `[n, dy]` embeddings.
      k: neighbors per structure.
      normalize: row normalization; None means the metric's default.

    Returns:
      Score with diagnostics.

    Raises:
      ValueError: see `check_pair`.
    """
    x, y = check_pair(metric, x, y, k=k)
    normalize = normalize or metric.default_normalize
    settings = {"k": k, "normalize": normalize, "similarity": metric.similarity}
    (a, seen_a), (b, seen_b) = (model_graph(side, **settings) for side in (x, y))
    with jax.enable_x64(True):
        term = jax.jit(lambda p, q: metric.term(p, q, shared_edges(p, q)))
        terms = [float(term(p, q)) for p, q in ((a, b), (a, a), (b, b))]
    value, reason = metric.score(*terms, len(x), k)
    for name, seen in (("x", seen_a), ("y", seen_b)):
        if blocked := degenerate(seen):
            value, reason = math.nan, f"{name}: {blocked}"
    diagnostics = {
        "n": len(x),
        "k": k,
        "normalization": normalize,
        "variant": metric.variant,
        "x": seen_a,
        "y": seen_b,
    }
    return Score(value, metric.id, diagnostics | ({"reason": reason} if reason else {}))
