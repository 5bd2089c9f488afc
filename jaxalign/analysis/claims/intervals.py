"""Intervals of small samples that the claims need beside those of the other analyses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float64
from scipy.special import stdtr, stdtrit
from scipy.stats import norm, rankdata

from jaxalign.analysis.relations.labeled_scores import both_directions, complete_models, read_scores
from jaxalign.analysis.relations.matrix_regression import matrix_regression

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A number with its interval and p-value; NaN where there is none."""

    value: float
    low: float
    high: float
    p: float


class RankAgreement(NamedTuple):
    """Spearman correlation over pairs of models.

    Attributes:
      found: the correlation.
      unit: what the jackknife of its interval leaves out, in words.
      pairs: number of pairs.
    """

    found: Estimate
    unit: str
    pairs: int


def mean_estimate(values: Float64[np.ndarray, " g"], *, null: float = 0.0) -> Estimate:
    """Mean of independent values with Student's interval and one-sided p of mean > null.

    Args:
      values: one a family.
      null: mean under the null hypothesis.
    """
    g = len(values)
    mean = float(np.mean(values)) if g else math.nan
    error = float(np.std(values, ddof=1)) / math.sqrt(g) if g > 1 else math.nan
    if not error > 0:
        return Estimate(mean, math.nan, math.nan, math.nan)
    half = float(stdtrit(g - 1, (1 + CONFIDENCE) / 2)) * error
    return Estimate(mean, mean - half, mean + half, float(stdtr(g - 1, -(mean - null) / error)))


def log_ratio(first: Estimate, second: Estimate) -> Estimate:
    """Ratio of two positive independent estimates, from their intervals.

    The interval is that of MOVER on logarithms: the distances of the ends of both intervals from
    their centers add as squares. p is one-sided, of a ratio above 1, from the same distances.

    Args:
      first: numerator; its interval may be asymmetric.
      second: denominator.

    Returns:
      The ratio; NaN ends where an interval reaches 0 or is missing.

    References:
      Zou, Donner: Statistics in Medicine 27, 1693 (2008).
    """
    ratio = first.value / second.value if second.value > 0 else math.nan
    ends = (first.low, first.high, second.low, second.high)
    if not all(end > 0 for end in (*ends, ratio)):
        return Estimate(ratio, math.nan, math.nan, math.nan)
    below = math.hypot(math.log(first.value / first.low), math.log(second.high / second.value))
    above = math.hypot(math.log(first.high / first.value), math.log(second.value / second.low))
    z = float(norm.ppf((1 + CONFIDENCE) / 2))
    nearer = below if ratio > 1 else above
    p = float(norm.sf(math.log(ratio) * z / nearer)) if nearer > 0 else math.nan
    return Estimate(ratio, ratio * math.exp(-below), ratio * math.exp(above), p)


def rank_agreement(
    first: xr.DataArray,
    second: xr.DataArray,
    clusters: Mapping[str, str] | None,
    *,
    seed: int = 0,
) -> RankAgreement:
    """Spearman correlation of two matrices over pairs of models.

    Pairs that share a model are not independent: p comes from permutations of the models (Mantel,
    one-sided), the interval from a jackknife over clusters of models.

    Args:
      first: scores; of directed ones both directions are averaged.
      second: scores over the same models.
      clusters: model → cluster that is left out at a time; None for single models.
      seed: of the permutations.

    Returns:
      The correlation, its interval within [−1, 1], and what it was found from.
    """
    names, a = read_scores(first)
    b = read_scores(second.loc[list(names), list(names)])[1]
    a, b = both_directions(a), both_directions(b)
    kept = complete_models(a + b)
    ranks = [_standard_ranks(matrix[np.ix_(kept, kept)]) for matrix in (a, b)]
    chosen = [names[i] for i in kept]
    own = chosen if clusters is None else [clusters[name] for name in chosen]
    row, unit = _mantel(ranks, own, seed), "models" if clusters is None else "families"
    if clusters is not None and math.isnan(row["low"]):  # a family in nearly every pair
        row, unit = _mantel(ranks, chosen, seed), "models"
    low, high = (float(np.clip(row[end], -1.0, 1.0)) for end in ("low", "high"))
    found = Estimate(float(row["coefficient"]), low, high, float(row["p"]))
    return RankAgreement(found, unit, int(row["pairs"]))


def _mantel(
    ranks: Sequence[Float64[np.ndarray, "m m"]], clusters: Sequence[str], seed: int
) -> pd.Series:
    return matrix_regression(
        ranks[0], {"second": ranks[1]}, clusters=clusters, alternative="greater", seed=seed
    ).iloc[0]


def _standard_ranks(matrix: Float64[np.ndarray, "m m"]) -> Float64[np.ndarray, "m m"]:
    """Ranks of the pairs with mean 0 and variance 1: slopes between two of these are Spearman's."""
    upper = np.triu_indices(len(matrix), 1)
    ranks = rankdata(matrix[upper])
    spread = ranks.std()
    found = np.zeros_like(matrix)
    found[upper] = (ranks - ranks.mean()) / (spread if spread > 0 else 1.0)
    return found + found.T
