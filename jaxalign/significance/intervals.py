"""Intervals of a score of n structures from its scores without some of them.

Rows are never drawn with replacement: a structure that comes twice is its own nearest neighbor.
Let θ be the score of all n structures, and θ* that of a replicate, which lacks some of them:

* pairs of disjoint random subsets of m ≤ n/2 structures, with scores θ₁, θ₂, half difference D and
  mean T: the two are independent, so E D² = Var θ_m/2, and Var θ = 2m/n · mean D² where variances
  fall as 1/n. For scores that are averages over pairs (or larger tuples) of structures,
  Var θ = mean D² − Var T without that assumption, whatever part of the variance is of pairs;
* blocks b of m_b structures, each left out once (block jackknife): with h_b = n/m_b and
  pseudo-values θ_b = h_b θ − (h_b − 1) θ*_b,

      Var θ = 1/B Σ_b (θ_b − θ_J)²/(h_b − 1),   θ_J = B θ − Σ_b (1 − m_b/n) θ*_b;

  for equal blocks this is (B−1)/B Σ_b (θ*_b − mean)².

In simulations of models of a common latent space (n = 200, 95 %), intervals of halves covered 94 to
98 %, and 98 to 99 % where models were nearly independent, whose neighbor scores vary as 1/n². The
usual m/(n−m) · Var θ* of subsets overstated the standard error of neighbor scores by 20 to 80 %,
and the jackknife by 40 to 60 %: leaving structures out changes the neighbors of all others.

References:
  Politis, Romano: Annals of Statistics 22, 2031 (1994), subsets without replacement; Wang, Lindsay:
  Statistica Sinica 24, 1117 (2014), variances from disjoint subsets; Busing, Meijer, van der
  Leeden: Statistics and Computing 9, 3 (1999), blocks of unequal size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from scipy.special import stdtrit


class ScoreIntervals(NamedTuple):
    """Intervals of several scores.

    Attributes:
      low: lower ends; NaN without an interval.
      high: upper ends.
      reasons: why there is none; "" where there is one.
    """

    low: Float64[np.ndarray, " scores"]
    high: Float64[np.ndarray, " scores"]
    reasons: tuple[str, ...]


def subset_errors(
    replicates: Float64[np.ndarray, "replicates scores"],
    *,
    taken: float,
    total: int,
    of_tuples: Bool[np.ndarray, " scores"],
) -> Float64[np.ndarray, " scores"]:
    """Standard errors of the scores of all structures from those of pairs of disjoint subsets.

    Args:
      replicates: scores of subsets; rows 2i and 2i + 1 are of disjoint ones.
      taken: structures in a subset, m (their mean, if subsets differ).
      total: structures in all, n.
      of_tuples: scores that are made of averages over all pairs of structures.

    Returns:
      Standard errors; NaN where a replicate is.

    Raises:
      ValueError: fewer than 2 pairs, an odd number of subsets, or m not between 0 and n/2.
    """
    if len(replicates) < 4 or len(replicates) % 2:
        raise ValueError(f"errors need at least 2 pairs of subsets: got {len(replicates)} subsets")
    if not 0 < taken <= total / 2:
        raise ValueError(f"two subsets must be disjoint: got {taken} of {total} structures each")
    share = taken / total
    first, second = replicates[::2], replicates[1::2]
    spread = np.square((first - second) / 2).mean(axis=0)
    linear = 2 * share * spread
    # Between a variance that is of single structures alone, and one of pairs alone.
    exact = np.clip(spread - ((first + second) / 2).var(axis=0, ddof=1), share * linear, linear)
    return np.sqrt(np.where(of_tuples, exact, linear))


def jackknife_errors(
    scores: Float64[np.ndarray, " scores"],
    replicates: Float64[np.ndarray, "blocks scores"],
    *,
    sizes: Sequence[int],
) -> Float64[np.ndarray, " scores"]:
    """Standard errors of the scores of all structures from those without one block each.

    Args:
      scores: of all structures.
      replicates: without block b.
      sizes: structures in every block.

    Returns:
      Standard errors; NaN where a replicate is.

    Raises:
      ValueError: fewer than 2 blocks, an empty one, or another number of sizes than of replicates.
    """
    if len(replicates) < 2:
        raise ValueError(f"a variance needs at least 2 blocks: got {len(replicates)}")
    if len(sizes) != len(replicates) or min(sizes) < 1:
        raise ValueError(
            f"every block needs its size, at least 1: got sizes {list(sizes)[:5]} for "
            f"{len(replicates)} replicates"
        )
    rest = 1 - np.asarray(sizes, np.float64)[:, None] / sum(sizes)
    ratio = 1 / (1 - rest)
    combined = len(sizes) * scores - (rest * replicates).sum(axis=0)
    pseudo = ratio * scores[None, :] - (ratio - 1) * replicates
    deviations = np.square(pseudo - combined[None, :]) / (ratio - 1)
    return np.sqrt(deviations.mean(axis=0))


def score_intervals(
    scores: Float64[np.ndarray, " scores"],
    errors: Float64[np.ndarray, " scores"],
    *,
    confidence: float | int,
    freedom: int,
    low: Float64[np.ndarray, " scores"],
    high: Float64[np.ndarray, " scores"],
) -> ScoreIntervals:
    """Intervals score ± t · error, cut at the ends of the metric's range.

    Args:
      scores: of all structures.
      errors: their standard errors.
      confidence: probability that an interval covers the expected score of n structures.
      freedom: degrees of freedom of the errors: pairs of subsets, or one less than blocks.
      low: least possible scores.
      high: greatest possible scores.

    Returns:
      The intervals.

    Raises:
      ValueError: a confidence outside (0, 1).
    """
    check_confidence(confidence)
    half = stdtrit(freedom, (1 + confidence) / 2) * errors
    reasons = tuple(map(_reason, scores.tolist(), errors.tolist()))
    some = np.array([not reason for reason in reasons], bool)
    return ScoreIntervals(
        np.where(some, np.clip(scores - half, low, high), np.nan),
        np.where(some, np.clip(scores + half, low, high), np.nan),
        reasons,
    )


def check_confidence(confidence: float | int) -> None:
    """A probability strictly between 0 and 1.

    Raises:
      ValueError: it is none.
    """
    if not 0 < confidence < 1:
        raise ValueError(
            f"confidence must be a probability between 0 and 1: got {confidence!r}; pass e.g. 0.95"
        )


def _reason(score: float, error: float) -> str:
    if np.isnan(score):
        return "the score itself is NaN"
    if np.isnan(error):
        return "the score is NaN without some of the structures"
    return "" if error > 0 else "the score is the same without any of the structures"
