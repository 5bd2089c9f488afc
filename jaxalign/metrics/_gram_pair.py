"""A single pair of arrays through the tile sweep that the engine runs for all models."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from jaxalign.embeddings.sources import ModelRows, model_rows
from jaxalign.metrics._checks import check_pair
from jaxalign.metrics._definition import GramMetric, Metric, Outcome, ratio
from jaxalign.metrics._pair import degenerate
from jaxalign.pairwise.diagnostics import row_diagnostics
from jaxalign.pairwise.grams import gram_terms
from jaxalign.types import Score


def ratio_score(ab: float, aa: float, bb: float, _n: int) -> Outcome:
    """⟨a,b⟩ / √(⟨a,a⟩⟨b,b⟩): the score of every metric of this family."""
    return ratio(ab, aa, bb)


@dataclasses.dataclass(frozen=True, eq=False)
class Side:
    """One checked array: its normalized rows and the diagnostics that travel with a score."""

    rows: ModelRows
    diagnostics: dict[str, Any]


def pair_sides(metric: Metric, x, y, normalize: str | None) -> tuple[Side, Side, str]:
    """Both arrays checked and normalized, and the normalization that was applied.

    Raises:
      ValueError: see `check_pair`.
    """
    x, y = check_pair(metric, x, y)
    normalize = normalize or metric.default_normalize
    sides = []
    for values in (x, y):
        rows = model_rows(values, normalize)
        seen = row_diagnostics(rows.load()) | {"n": len(values)}
        seen |= {"width": values.shape[1], "dtype": str(values.dtype)}
        sides.append(Side(rows, seen))
    return *sides, normalize


def finish(
    metric: Metric, outcome: Outcome, sides: tuple[Side, Side], facts: dict[str, Any]
) -> Score:
    """Score with diagnostics; degenerate sides give NaN with a reason, whatever the numbers say."""
    value, reason = outcome
    for name, side in zip("xy", sides, strict=True):
        if blocked := degenerate(side.diagnostics):
            value, reason = math.nan, f"{name}: {blocked}"
    diagnostics = {"n": sides[0].rows.n, "variant": metric.variant} | facts
    diagnostics |= {name: side.diagnostics for name, side in zip("xy", sides, strict=True)}
    return Score(value, metric.id, diagnostics | ({"reason": reason} if reason else {}))


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
