"""From a score and its null to z, p, q and the calibrated score."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64
from scipy.special import chdtrc, chdtri

ALPHA = 0.05
"""Level of the threshold τ below which a score counts as no alignment."""

_ROOT2 = math.sqrt(2.0)


def quadratic_tail(z: float) -> float:
    """P(χ²₁ ≥ 1 + √2 z): an upper bound of the tail of a standardized quadratic form.

    Under independence a Gram score is a weighted sum of centered χ²₁ variables. With unit variance,
    none of these has a heavier upper tail than (χ²₁ − 1)/√2, at levels up to about .05 (Shen,
    Panda, Vogelstein 2022): the p-value is conservative. For a debiased score, z = n·score/√2, so
    this is P(χ²₁ ≥ n·score + 1).

    In simulations of 64 independent rows (Gaussian, wide, heavy-tailed, duplicated) the level is
    kept, with one exception: biased CKA of heavy-tailed rows, whose diagonal decides, has
    P(p ≤ .01) = .016. The debiased score keeps .01 there too.
    """
    return float(chdtrc(1, max(1 + _ROOT2 * z, 0.0)))


def quadratic_threshold(alpha: float = ALPHA) -> float:
    """Z at which `quadratic_tail` is α."""
    return (float(chdtri(1, alpha)) - 1) / _ROOT2


def calibrated_score(value: float, *, threshold: float, perfect: float) -> float:
    """Share of the way from the threshold to a perfect match; 0 for what chance explains.

    max((s − τ)/(s_max − τ), 0): it serves similarities (s_max > τ) and distances (s_min < τ) alike.

    Args:
      value: the score s.
      threshold: τ, which independent representations exceed with probability α.
      perfect: score of a perfect match.

    Returns:
      A number in [0, 1] for scores up to a perfect match; NaN where τ is no better than perfect.

    References:
      Gröger et al., arXiv:2602.14486 (2026).
    """
    room = perfect - threshold
    if math.isnan(value) or math.isnan(room) or room == 0:
        return math.nan
    return max((value - threshold) / room, 0.0)


def false_discovery(p: Float64[np.ndarray, " tests"]) -> Float64[np.ndarray, " tests"]:
    """Benjamini–Hochberg q-values: the least false-discovery rate at which a test is a discovery.

    Args:
      p: p-values; NaN for what was not tested.

    Returns:
      q of the same shape, NaN where p is.

    References:
      Benjamini, Hochberg: J. R. Statist. Soc. B 57, 289 (1995).
    """
    q = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    if not len(tested):
        return q
    order = tested[np.argsort(p[tested], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    # The least over all larger p, so that q rises with p.
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q
