"""Tails of a standardized variable of known skewness: the gamma family (Pearson III).

References:
  Mielke, Berry, Brier: Monthly Weather Review 109, 120 (1981) (permutation statistics by their
  mean, variance and skewness).
"""

from __future__ import annotations

from scipy import special

from jaxalign.significance.p_values import ALPHA

_NORMAL = 1e-3  # skewness below which a gamma variable is as good as normal


def gamma_tail(z: float, skewness: float) -> float:
    """P(Z ≥ z) of a gamma variable with mean 0, variance 1 and this skewness (Pearson III).

    Its tail is exponential on the long side; at skewness 0 it is the normal one.
    """
    if abs(skewness) < _NORMAL:
        return float(special.ndtr(-z))
    shape = 4 / skewness**2
    # Below its lower end (or above its upper one) the variable has no probability.
    value = max(shape + 2 * z / skewness, 0.0)
    of_gamma = special.gammaincc if skewness > 0 else special.gammainc
    return float(of_gamma(shape, value))


def gamma_threshold(skewness: float, alpha: float = ALPHA) -> float:
    """Z at which `gamma_tail` is α."""
    if abs(skewness) < _NORMAL:
        return float(-special.ndtri(alpha))
    shape = 4 / skewness**2
    inverse = special.gammainccinv if skewness > 0 else special.gammaincinv
    return float((inverse(shape, alpha) - shape) * skewness / 2)
