"""Permutations of models, all of them where they are few, and the p-values they give."""

from __future__ import annotations

import itertools
import math

import numpy as np
from jaxtyping import Float64, Int

PERMUTATIONS = 9999
ALTERNATIVES = ("two-sided", "greater", "less")
_SAME = 1e-9  # statistics closer than this, relative to the largest, differ by rounding alone


def model_permutations(
    m: int, count: int = PERMUTATIONS, *, seed: int = 0
) -> Int[np.ndarray, "draws m"]:
    """Permutations of m models, the identity first.

    Args:
      m: models.
      count: random permutations beside the identity; where m! ≤ count + 1, all m! are taken and
        the test is exact.
      seed: of the draws.

    Returns:
      One permutation a row.

    Raises:
      ValueError: no model, or no permutation.
    """
    if m < 1 or count < 1:
        raise ValueError(f"permutations need models and draws, at least 1: got {m} and {count}")
    if math.factorial(min(m, 20)) <= count + 1:
        return np.array(list(itertools.permutations(range(m))), np.int64)
    rows = np.tile(np.arange(m), (count + 1, 1))
    rows[1:] = np.random.default_rng(seed).permuted(rows[1:], axis=1)
    return rows


def permutations_within(
    labels: Int[np.ndarray, " m"], count: int = PERMUTATIONS, *, seed: int = 0
) -> Int[np.ndarray, "draws m"]:
    """Random permutations that move models within their group alone, the identity first.

    Args:
      labels: number of the group of each model.
      count: random permutations beside the identity.
      seed: of the draws.

    Returns:
      One permutation a row.
    """
    order = np.argsort(labels, kind="stable")
    keys = np.random.default_rng(seed).random((count, len(labels)))
    # Sorted by (group, random number), the members of a group come in random order.
    shuffled = np.lexsort((keys, np.broadcast_to(labels, keys.shape)), axis=1)
    rows = np.tile(np.arange(len(labels)), (count + 1, 1))
    rows[1:, order] = shuffled
    return rows


def permutation_p(statistics: Float64[np.ndarray, " draws"], *, alternative: str) -> float:
    """Share of the draws whose statistic is as extreme as the first, which is the observed one.

        p = (1 + #{s* ≥ s}) / (1 + K) for "greater", of −s for "less", of |s| for "two-sided".

    Equal statistics count as extreme; differences of rounding are equal.

    Args:
      statistics: the observed one, then those of the other permutations.
      alternative: one of `ALTERNATIVES`.

    Returns:
      The p-value; NaN where the observed statistic is NaN.
    """
    check_alternative(alternative)
    if np.isnan(statistics[0]):
        return math.nan
    if alternative == "less":
        statistics = -statistics
    elif alternative == "two-sided":
        statistics = np.abs(statistics)
    slack = _SAME * max(float(np.nanmax(np.abs(statistics))), np.finfo(np.float64).tiny)
    return float(np.mean(statistics >= statistics[0] - slack))


def check_alternative(alternative: str) -> str:
    """Returns the alternative if there is such a one.

    Raises:
      ValueError: if there is not.
    """
    if alternative not in ALTERNATIVES:
        raise ValueError(f"alternative must be one of {ALTERNATIVES}: got {alternative!r}")
    return alternative
