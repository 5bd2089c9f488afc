"""Rank correlations of a criterion with errors over candidates, regret, and their intervals.

Candidates of one family are near copies, so intervals are of a jackknife that leaves out whole
families, as in `analysis.relations.performance`. Where all values of one side are equal nothing is
ordered: the correlation counts as 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.special import stdtr, stdtrit
from scipy.stats import rankdata

LEAST_CANDIDATES = 4
LEAST_FAMILIES = 3
_LEFT = 3  # candidates that must remain when a family is left out
_PERFECT = 0.995
_NOTHING = 1e-10  # spreads of correlations below this are rounding


def spearman(
    x: Float64[np.ndarray, "*rows m"], y: Float64[np.ndarray, "*rows m"]
) -> Float64[np.ndarray, "*rows"]:
    """Spearman correlations over the last axis, ties at their mean rank."""
    return _correlation(_centered_ranks(x), _centered_ranks(y), axes=1)


def kendall(
    x: Float64[np.ndarray, "*rows m"], y: Float64[np.ndarray, "*rows m"]
) -> Float64[np.ndarray, "*rows"]:
    """Kendall's τ_b over the last axis."""
    signs = (np.sign(v[..., :, None] - v[..., None, :]) for v in (x, y))
    return _correlation(*signs, axes=2)


def regret(
    scores: Float64[np.ndarray, "*rows m"], errors: Float64[np.ndarray, "*rows m"]
) -> Float64[np.ndarray, "*rows"]:
    """Error of the candidate with the greatest score over the least error, less 1.

    Of candidates that share the greatest score the mean error is taken.

    Args:
      scores: larger is better.
      errors: positive.
    """
    best = scores == scores.max(axis=-1, keepdims=True)
    chosen = np.where(best, errors, 0.0).sum(axis=-1) / best.sum(axis=-1)
    return chosen / errors.min(axis=-1) - 1


def chance_regret(errors: Float64[np.ndarray, "*rows m"]) -> Float64[np.ndarray, "*rows"]:
    """Expected regret of a candidate that is drawn by lot."""
    return errors.mean(axis=-1) / errors.min(axis=-1) - 1


def permuted_p(
    scores: Float64[np.ndarray, "draws m"],
    errors: Float64[np.ndarray, "draws m"],
    permutations: Int64[np.ndarray, "count m"],
) -> float:
    """P-value of the mean Spearman correlation with small errors, one-sided.

    Args:
      scores: larger is better.
      errors: of the same candidates.
      permutations: of the candidates, the identity first.

    Returns:
      Share of the permutations whose mean correlation is at least the observed one.
    """
    x, y = (_unit(_centered_ranks(v)) for v in (scores, -errors))
    found = np.einsum("rpm,rm->p", x[:, permutations], y)
    return float(np.mean(found >= found[0] - 1e-9))


def family_interval(
    statistic: Callable[[str | None], Float64[np.ndarray, " values"]],
    families: Sequence[str],
    *,
    confidence: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Jackknife over g families on Fisher's scale, z = artanh of the correlation.

        tanh(z ± t_{g−1} s),  s² = (g−1)/g Σ (z_(f) − z̄)²

    In simulations of 8 and 13 families 95 % intervals held the expected correlation in 94 to 97 %
    of the cases; those of the correlations themselves in 87 to 94 %.

    Args:
      statistic: correlations without the candidates of one family, or of all candidates for None;
        NaN where too few are left.
      families: names, in which repetitions do not count.
      confidence: of the intervals.

    Returns:
      Low and high; one-sided p of a correlation that is not positive; and why
      some of them are NaN, if they are.

    References:
      Busing, Meijer, van der Leeden: Statistics and Computing 9, 3 (1999).
    """
    names = list(dict.fromkeys(families))
    found = np.asarray(statistic(None), np.float64)
    whole = _fisher(found)
    if len(names) < LEAST_FAMILIES:
        blank = np.full(whole.shape, math.nan)
        reason = f"no interval: {len(names)} families, of at least {LEAST_FAMILIES}"
        return blank, blank, blank, reason
    free = len(names) - 1
    parts = np.array([_fisher(statistic(name)) for name in names])
    spread = np.sqrt(free * np.var(parts, axis=0))
    reason = "no interval: one family is almost all candidates" if np.isnan(spread).any() else ""
    if (spread <= _NOTHING).any():
        reason = "no interval: the same without any family"
    spread = np.where(spread > _NOTHING, spread, math.nan)
    half = float(stdtrit(free, (1 + confidence) / 2)) * spread
    low, high = np.tanh(whole - half), np.tanh(whole + half)
    p = 1 - stdtr(free, whole / spread)
    return np.minimum(low, found), np.maximum(high, found), p, reason


def _fisher(correlations: np.ndarray) -> Float64[np.ndarray, " values"]:
    """Inverse hyperbolic tangents; perfect correlations are taken as almost so."""
    return np.arctanh(np.clip(correlations, -_PERFECT, _PERFECT))


def without_family(families: Sequence[str], left_out: str | None) -> Bool[np.ndarray, " m"]:
    """Candidates of the other families; none at all where fewer than three would be left."""
    kept = np.array([family != left_out for family in families], bool)
    return kept if kept.sum() >= _LEFT else np.zeros_like(kept)


def _centered_ranks(x: np.ndarray) -> np.ndarray:
    ranks = rankdata(x, axis=-1)
    return ranks - ranks.mean(axis=-1, keepdims=True)


def _unit(x: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return x / np.where(norm > 0, norm, 1.0)


def _correlation(x: np.ndarray, y: np.ndarray, *, axes: int) -> np.ndarray:
    last = tuple(range(-axes, 0))
    norms = np.sqrt((x * x).sum(last) * (y * y).sum(last))
    return (x * y).sum(last) / np.where(norms > 0, norms, 1.0)
