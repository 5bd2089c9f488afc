"""From scores of several numbers of structures to the limit of many: its value and its error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

EXPONENTS = tuple(round(0.1 * i, 1) for i in range(1, 16))
"""Powers of 1/N by which a score of neighbors may approach its limit; all are equally likely."""

LINEAR = (1.0,)
"""The power by which ratios of sums over all pairs approach theirs."""


class Limit(NamedTuple):
    """A score extrapolated to many structures.

    Attributes:
      limit: the value; NaN where there are too few sizes.
      error: its standard error, that of the exponent included.
      exponent: mean exponent β.
      model: what was fitted, in words.
      reason: why the limit is not to be trusted; "" if it is.
    """

    limit: float
    error: float
    exponent: float
    model: str
    reason: str


def extrapolate(
    n: Int[np.ndarray, " sizes"],
    scores: Float64[np.ndarray, " sizes"],
    errors: Float64[np.ndarray, " sizes"],
    *,
    exponents: Sequence[float] = EXPONENTS,
    low: float = -math.inf,
    high: float = math.inf,
) -> Limit:
    """Fits s(N) = s_∞ + c N^(−β) by weighted least squares, and averages over β.

    With β given, s_∞ and its variance are those of a straight line in N^(−β). The exponents are
    weighted by their likelihood exp(−χ²/2), those that lead out of the range of the metric by zero;
    the variance of the limit is the mean of the variances and the variance of the limits. Where no
    exponent fits (χ² beyond its degrees of freedom), errors grow by √(χ²/degrees of freedom).

    Args:
      n: different numbers of structures.
      scores: mean scores of subsets of as many.
      errors: their standard errors. They count as independent; subsets that share structures err
        alike, which makes the stated error of the limit too large rather than too small.
      exponents: possible β; a single one is fitted as it is.
      low: least possible score.
      high: greatest possible score.

    Returns:
      The limit, cut at the ends of the range.
    """
    exponents = tuple(exponents)
    model = "s∞ + c/N" if exponents == LINEAR else "s∞ + c·N^(−β)"
    needed = 3 if len(exponents) == 1 else 4
    known = np.isfinite(scores) & np.isfinite(errors)
    n, scores, errors = n[known], scores[known], errors[known]
    if len(n) < needed:
        reason = f"{needed} sizes are needed and {len(n)} have a score"
        return Limit(math.nan, math.nan, math.nan, model, reason)
    if not (errors > 0).all():
        flat = float(np.ptp(scores)) == 0.0
        reason = "" if flat else "scores of subsets do not vary: their errors are unknown"
        limit = float(scores[0]) if flat else math.nan
        return Limit(limit, 0.0 if flat else math.nan, math.nan, model, reason)
    fits = [_line(n.astype(np.float64) ** -beta, scores, errors) for beta in exponents]
    limits, variances, misfits = np.transpose(fits)
    inside = (low <= limits) & (limits <= high)
    weights = np.where(inside | ~inside.any(), np.exp(-0.5 * (misfits - misfits.min())), 0.0)
    weights /= weights.sum()
    mean = float(weights @ limits)
    freedom = len(n) - (2 if len(exponents) == 1 else 3)
    variance = weights @ variances * max(1.0, misfits.min() / freedom)
    error = math.sqrt(variance + weights @ np.square(limits - mean))
    reason = _doubt(n, scores, errors, mean, error)
    if not inside.any():
        reason = f"the fit ends at {mean:.3g}, beyond the range of the metric"
    exponent = float(weights @ np.array(exponents))
    return Limit(min(max(mean, low), high), error, exponent, model, reason)


def _line(
    x: Float64[np.ndarray, " sizes"],
    y: Float64[np.ndarray, " sizes"],
    errors: Float64[np.ndarray, " sizes"],
) -> tuple[float, float, float]:
    """Intercept of a weighted straight line, its variance, and χ²."""
    weights = 1 / np.square(errors)
    total = weights.sum()
    middle, height = weights @ x / total, weights @ y / total
    spread = weights @ np.square(x - middle)
    slope = weights @ ((x - middle) * (y - height)) / spread
    misfit = weights @ np.square(y - height - slope * (x - middle))
    return height - slope * middle, 1 / total + middle**2 / spread, misfit


def _doubt(
    n: Int[np.ndarray, " sizes"],
    scores: Float64[np.ndarray, " sizes"],
    errors: Float64[np.ndarray, " sizes"],
    limit: float,
    error: float,
) -> str:
    """Whether scores still change, and leave the limit as open or as far away as that change."""
    first, last = np.argsort(n)[[0, -1]]
    change = float(abs(scores[last] - scores[first]))
    if change <= 2 * float(np.hypot(errors[first], errors[last])):
        return ""
    if abs(limit - scores[last]) > change:
        return (
            f"the score still changes with N ({change:.2g} over these sizes), and the limit lies "
            "further beyond them than that"
        )
    if 2 * error > change:
        return (
            f"the score still changes with N ({change:.2g} over these sizes), and the limit is "
            f"known no better than that (± {2 * error:.2g})"
        )
    return ""
