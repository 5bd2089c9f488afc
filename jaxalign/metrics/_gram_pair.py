"""A single pair of arrays through the tile sweep that the engine runs for all models."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxalign.metrics._definition import GramMetric, Outcome, ratio
from jaxalign.metrics._sides import finish, pair_sides
from jaxalign.pairwise.grams import gram_terms
from jaxalign.types import Score


def ratio_score(ab: float, aa: float, bb: float, _n: int) -> Outcome:
    """⟨a,b⟩ / √(⟨a,a⟩⟨b,b⟩): the score of every metric of this family."""
    return ratio(ab, aa, bb)


def gram_pair_score(
    metric: GramMetric, x, y, *, normalize: str | None, bandwidth: float = 1.0
) -> Score:
    """Score of one pair of arrays; checks first, then the sweep with M = 2.

    Args:
      metric: definition of the metric.
      x: `[n, dx]` embeddings.
      y: `[n, dy]` embeddings.
      normalize: row normalization; None means the metric's default.
      bandwidth: σ of the Gaussian kernel in units of the median distance.

    Returns:
      Score with diagnostics.

    Raises:
      ValueError: see `check_pair`.
    """
    a, b, normalize = pair_sides(metric, x, y, normalize)
    terms = gram_terms([a.rows, b.rows], kernels=(metric.kernel,), bandwidth=bandwidth)
    terms = terms[metric.kernel]
    (aa, ab), (_, bb) = getattr(terms, metric.statistic).tolist()
    facts = {
        "normalization": normalize,
        "kernel": metric.kernel,
        "statistic": metric.statistic,
        "precision": f"{terms.precision} entries, float64 sums",
        "route": terms.route,
    }
    if terms.bandwidths is not None:
        a.diagnostics["bandwidth"], b.diagnostics["bandwidth"] = terms.bandwidths.tolist()
        _flag_bandwidths(terms.bandwidths, facts)
    return finish(metric, metric.score(ab, aa, bb, a.rows.n), (a, b), facts)


def _flag_bandwidths(bandwidths: np.ndarray, facts: dict[str, Any]) -> None:
    for name, sigma in zip("xy", bandwidths, strict=True):
        if sigma == 0:
            facts["warning"] = (
                f"{name}: the median distance is 0 (most rows are equal), so the Gaussian kernel "
                "is constant"
            )
