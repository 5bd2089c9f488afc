"""Does alignment to the best model rise as the error falls?

The model with the least error is the reference; the others have an alignment s_i to it and an error
e_i. The reference itself, at alignment 1 by definition, is left out: it would make a slope by
itself. Fitted is

    s_i = b₀ + b log₁₀ e_i,

so that b is the change of alignment when the error grows tenfold. Models of one family are near
copies, so the interval of b and `p_blocked` are of a jackknife that leaves out whole families.
Permuting errors over all models, `p`, takes these for independent: it is too small where families
differ in alignment and in error. Permuting them within families, `p_within`, is right there, but
blind to what differs between families alone. A second row leaves out the family of the reference,
whose alignment needs no explanation by error.

References:
  Edamadaka, Yang, Li, Gómez-Bombarelli, arXiv:2512.03750 (2025); Busing, Meijer, van der Leeden:
  Statistics and Computing 9, 3 (1999), jackknife of unequal blocks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float64
from scipy.special import stdtr, stdtrit
from scipy.stats import rankdata

from jaxalign.analysis.relations.labeled_scores import both_directions, read_scores
from jaxalign.analysis.relations.model_labels import labels_of
from jaxalign.analysis.relations.permutations import (
    PERMUTATIONS,
    check_alternative,
    model_permutations,
    permutation_p,
    permutations_within,
)

LEAST_MODELS = 4
_LEAST_FAMILIES = 3
_NOTHING = 1e-10  # a spread of slopes below this share of the slope is rounding
_COMPARED = ("all but the reference", "other families than the reference's")


def alignment_to_best(
    scores: xr.DataArray, errors: Mapping[str, float], families: Mapping[str, str]
) -> pd.DataFrame:
    """Points of the plane of error and alignment to the best model.

    Args:
      scores: `[model_a, model_b]`; of directed scores the mean of both directions is taken.
      errors: model → positive error; models without a finite one, or without a score, are left out.
      families: model → family, "" if unknown.

    Returns:
      One row a model, best first, then by error: `model`, `family`, `error`, `alignment` (NaN of
      the reference), `reference` (whether it is the best one).

    Raises:
      ValueError: an error that is not positive, or scores that are no matrix over the models.
    """
    names, values = read_scores(scores)
    values = both_directions(values)
    known = [n for n in names if math.isfinite(errors.get(n, math.nan))]
    wrong = [n for n in known if errors[n] <= 0]
    if wrong:
        raise ValueError(f"errors must be positive: got {errors[wrong[0]]} of {wrong[0]!r}")
    known.sort(key=lambda name: (errors[name], name))
    rows = []
    for name in known:
        alignment = float(values[names.index(name), names.index(known[0])])
        if name == known[0] or math.isfinite(alignment):
            family = labels_of([name], families)[0]
            rows.append((name, family, float(errors[name]), alignment, name == known[0]))
    return pd.DataFrame(rows, columns=["model", "family", "error", "alignment", "reference"])


def error_slopes(
    points: pd.DataFrame,
    *,
    permutations: int = PERMUTATIONS,
    alternative: str = "two-sided",
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Slope and rank correlation of alignment to the best model against error.

    Args:
      points: as of `alignment_to_best`.
      permutations: of the errors over the models; all of them where these are fewer.
      alternative: `"two-sided"`, `"less"` (alignment falls as the error grows) or `"greater"`.
      confidence: of the interval.
      seed: of the permutations.

    Returns:
      Two rows, of all models but the reference and of those of other families than its own:
      `compared`, `reference`, `models`, `families`, `slope` (per factor ten of the error), `low`,
      `high`, `p_blocked` (jackknife over families), `p` (errors permuted over all models),
      `p_within` (within families; NaN if none has two models), `spearman`, `spearman_p` (permuted
      over all models), `reason` (why a number is NaN: under four models nothing is testable, under
      three families there is no interval).
    """
    check_alternative(alternative)
    others = points[~points["reference"]]
    best = points[points["reference"]]
    name, family = (best[c].iloc[0] if len(best) else "" for c in ("model", "family"))
    apart = others[(others["family"] != family) | (others["family"] == "")]
    rows = []
    for compared, chosen in zip(_COMPARED, (others, apart), strict=True):
        found = _tested(chosen, permutations, alternative, confidence, seed)
        rows.append({"compared": compared, "reference": name, **found})
    return pd.DataFrame(rows)


def _tested(
    points: pd.DataFrame, permutations: int, alternative: str, confidence: float, seed: int
) -> dict[str, Any]:
    # A model of unknown family is a family of its own.
    blocks = [f or f"\0{m}" for f, m in zip(points["family"], points["model"], strict=True)]
    found = {"models": len(points), "families": len(set(blocks))}
    found |= dict.fromkeys(("slope", "low", "high", "p_blocked", "p", "p_within"), math.nan)
    found |= {"spearman": math.nan, "spearman_p": math.nan}
    x, y = np.log10(points["error"].to_numpy(float)), points["alignment"].to_numpy(float)
    found["reason"] = _untestable(x, y)
    if found["reason"]:
        return found
    draws = model_permutations(len(x), permutations, seed=seed)
    slopes = _correlations(x, y, draws)
    ranks = _correlations(rankdata(x), rankdata(y), draws)
    found |= {"slope": _slope(x, y), "p": permutation_p(slopes, alternative=alternative)}
    found |= {
        "spearman": float(ranks[0]),
        "spearman_p": permutation_p(ranks, alternative=alternative),
    }
    numbers = np.unique(blocks, return_inverse=True)[1].astype(np.int64)
    if len(set(blocks)) < len(blocks):
        within = permutations_within(numbers, permutations, seed=seed)
        found["p_within"] = permutation_p(_correlations(x, y, within), alternative=alternative)
    blocked = _blocked(x, y, blocks, alternative=alternative, confidence=confidence)
    return found | blocked


def _untestable(x: Float64[np.ndarray, " m"], y: Float64[np.ndarray, " m"]) -> str:
    if len(x) < LEAST_MODELS:
        return f"not testable: {len(x)} models beside the reference, of at least {LEAST_MODELS}"
    if np.ptp(x) == 0:
        return "not testable: all errors are equal"
    return "not testable: all alignments are equal" if np.ptp(y) == 0 else ""


def _correlations(x: np.ndarray, y: np.ndarray, draws: np.ndarray) -> Float64[np.ndarray, " draws"]:
    """Correlation of permuted x and y: it orders permutations as the slope does."""
    x, y = x - x.mean(), y - y.mean()
    return (x[draws] @ y) / (np.linalg.norm(x) * np.linalg.norm(y))


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    centered = x - x.mean()
    squares = float(centered @ centered)
    return float(centered @ y) / squares if squares > 0 else math.nan


def _blocked(
    x: Float64[np.ndarray, " m"],
    y: Float64[np.ndarray, " m"],
    blocks: Sequence[str],
    *,
    alternative: str,
    confidence: float,
) -> dict[str, float | str]:
    """Jackknife over g families: t_{g−1} = b/s with s² = (g−1)/g Σ (b_(f) − b̄)²."""
    names, labels = list(dict.fromkeys(blocks)), np.array(blocks)
    if len(names) < _LEAST_FAMILIES:
        return {"reason": f"no interval: {len(names)} families, of at least {_LEAST_FAMILIES}"}
    slope = _slope(x, y)
    slopes = np.array([_slope(x[labels != name], y[labels != name]) for name in names])
    if np.isnan(slopes).any():
        return {"reason": "no interval: without one family all errors are equal"}
    free = len(names) - 1
    spread = math.sqrt(free * float(np.var(slopes)))
    if spread <= _NOTHING * abs(slope):
        return {"reason": "no interval: all slopes are equal"}
    half = float(stdtrit(free, (1 + confidence) / 2)) * spread
    below = float(stdtr(free, slope / spread))
    tails = {"less": below, "greater": 1 - below, "two-sided": 2 * min(below, 1 - below)}
    return {"low": slope - half, "high": slope + half, "p_blocked": tails[alternative]}
