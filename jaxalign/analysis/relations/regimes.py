"""Alignment inside and outside the training distribution, and what groups models in each.

Every run is one data set, of the regime "in" or "out". Compared are, over the same pairs of models,

    shift_ab = mean of s_ab over the data sets "in" − mean over those "out",

and the effects of shared family, training data and modality on the scores, each at equal others
(`matrix_regression`), in every data set, in both regimes and on the shift: a coefficient on the
shift is the interaction "this groups models more inside than outside". Scores of several data sets
should be calibrated, for the raw ones depend on n.

References:
  Dekker, Krackhardt, Snijders: Psychometrika 72, 563 (2007).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float64
from scipy.special import stdtr, stdtrit

from jaxalign.analysis.relations.labeled_scores import (
    both_directions,
    complete_models,
    labeled,
    read_scores,
)
from jaxalign.analysis.relations.matrix_regression import matrix_regression
from jaxalign.analysis.relations.model_labels import LABELS, labels_of, model_labels, same_label
from jaxalign.analysis.relations.permutations import PERMUTATIONS
from jaxalign.models.card import ModelCard

REGIMES = ("in", "out")
SHIFT = "in − out"
_NOTHING = 1e-12  # a spread of scores below this is rounding


@dataclasses.dataclass(frozen=True)
class RegimeShift:
    """Mean score of pairs in both regimes; NaN where it cannot be had, and then `reason` says why.

    Attributes:
      inside: mean over pairs of their scores in distribution.
      outside: mean over the same pairs of their scores out of distribution.
      difference: inside − outside.
      low: lower end of the jackknife interval of the difference.
      high: its upper end.
      p: two-sided p-value of the jackknife t statistic.
      models: models of these pairs.
      pairs: pairs with scores in both regimes.
      reason: why a number is NaN; "" if none is.
    """

    inside: float
    outside: float
    difference: float
    low: float
    high: float
    p: float
    models: int
    pairs: int
    reason: str = ""


def card_groups(cards: Mapping[str, ModelCard]) -> dict[str, dict[str, str]]:
    """Kind of group → model → group, for family, modality and training data."""
    return {f"same_{by}": model_labels(cards, by) for by in LABELS}


def regime_means(
    runs: Mapping[str, xr.DataArray], regimes: Mapping[str, str]
) -> dict[str, xr.DataArray]:
    """Mean matrix of every regime over the models that all data sets share.

    Args:
      runs: data set → `[model_a, model_b]` scores; both directions of directed ones are averaged.
      regimes: data set → `"in"` or `"out"`.

    Returns:
      Regime → matrix; NaN where one data set of it has no score.

    Raises:
      ValueError: a data set without a regime, a regime without a data set, or an unknown one.
    """
    _check(runs, regimes)
    read = {dataset: read_scores(scores) for dataset, scores in runs.items()}
    shared = set.intersection(*(set(names) for names, _ in read.values()))
    names = tuple(name for name in next(iter(read.values()))[0] if name in shared)
    means = {}
    for regime in REGIMES:
        chosen = []
        for dataset in (d for d in runs if regimes[d] == regime):
            order = [read[dataset][0].index(name) for name in names]
            chosen.append(both_directions(read[dataset][1][np.ix_(order, order)]))
        means[regime] = labeled(names, np.mean(chosen, axis=0), regime)
    return means


def regime_pairs(
    runs: Mapping[str, xr.DataArray],
    regimes: Mapping[str, str],
    groups: Mapping[str, Mapping[str, str]],
) -> pd.DataFrame:
    """One row a pair of models that all data sets share.

    Args:
      runs: data set → scores.
      regimes: data set → `"in"` or `"out"`.
      groups: kind of group → model → group, as of `card_groups`.

    Returns:
      `model_a`, `model_b`, `inside`, `outside`, `difference` (inside − outside), and one boolean
      column a kind of group: whether the pair shares it.
    """
    means = regime_means(runs, regimes)
    names, inside = read_scores(means["in"])
    outside = means["out"].values
    a, b = np.triu_indices(len(names), 1)
    labels = np.array(names, dtype=object)
    table = {"model_a": labels[a], "model_b": labels[b]}
    table |= {"inside": inside[a, b], "outside": outside[a, b]}
    table["difference"] = table["inside"] - table["outside"]
    for kind, own in groups.items():
        table[kind] = same_label(labels_of(names, own))[a, b] == 1
    return pd.DataFrame(table)


def regime_shift(
    pairs: pd.DataFrame,
    *,
    clusters: Mapping[str, str] | None = None,
    confidence: float = 0.95,
) -> RegimeShift:
    """Mean difference between regimes over pairs, with a jackknife over models.

    Args:
      pairs: rows of `regime_pairs`, all or a selection.
      clusters: model → cluster that is left out at a time, e.g. the family; None leaves out single
        models.
      confidence: of the interval.

    Returns:
      The shift; at least three models, or clusters, are needed for the interval and p.
    """
    known = pairs[np.isfinite(pairs["difference"])]
    sides = [known[side].to_numpy(object) for side in ("model_a", "model_b")]
    models = sorted({*sides[0], *sides[1]})
    blank = {"low": math.nan, "high": math.nan, "p": math.nan}
    columns = ("inside", "outside", "difference")
    means = {c: float(known[c].mean()) if len(known) else math.nan for c in columns}
    facts = {**means, "models": len(models), "pairs": len(known)}
    if not len(known):
        return RegimeShift(**facts, **blank, reason="no pair has scores in both regimes")
    own = dict.fromkeys(models) if clusters is None else dict(clusters)
    part = {name: own[name] or f"\0{name}" for name in models}
    difference = known["difference"].to_numpy(float)
    left = [
        difference[[part[a] != c and part[b] != c for a, b in zip(*sides, strict=True)]]
        for c in dict.fromkeys(part.values())
    ]
    if len(left) < 3 or not all(len(values) for values in left):
        reason = f"no interval: {len(left)} parts to leave out, or one of them is in every pair"
        return RegimeShift(**facts, **blank, reason=reason)
    found = _student(facts["difference"], np.array([v.mean() for v in left]), confidence)
    return RegimeShift(**facts, **found)


def grouping_effects(
    runs: Mapping[str, xr.DataArray],
    regimes: Mapping[str, str],
    groups: Mapping[str, Mapping[str, str]],
    *,
    clusters: Mapping[str, str] | None = None,
    permutations: int = PERMUTATIONS,
    alternative: str = "two-sided",
    seed: int = 0,
) -> pd.DataFrame:
    """What groups models: regression of scores on shared labels, each term at equal others.

    Args:
      runs: data set → scores.
      regimes: data set → `"in"` or `"out"`.
      groups: kind of group → model → group, as of `card_groups`.
      clusters: model → cluster that the jackknife of the intervals leaves out at a time.
      permutations: of the models, as in `matrix_regression`.
      alternative: of all tests; `"greater"`: models that share a label are more alike.
      seed: of the permutations.

    Returns:
      The rows of `matrix_regression` with `scope` in front: the data set (over its own models), the
      regime and the shift, "in − out" (over the models that all data sets share).

    Raises:
      ValueError: as `regime_means`, or a model without a label.
    """
    means = regime_means(runs, regimes)
    shift = means["in"].copy(data=means["in"].values - means["out"].values)
    tables = []
    for scope, scores in {**runs, **means, SHIFT: shift}.items():
        names, values = read_scores(scores)
        values = both_directions(values)
        kept = complete_models(values)
        chosen = [names[i] for i in kept]
        table = matrix_regression(
            values[np.ix_(kept, kept)],
            {kind: same_label(labels_of(chosen, own)) for kind, own in groups.items()},
            permutations=permutations,
            alternative=alternative,
            clusters=chosen if clusters is None else labels_of(chosen, clusters),
            seed=seed,
        )
        table.insert(0, "scope", scope)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _check(runs: Mapping[str, xr.DataArray], regimes: Mapping[str, str]) -> None:
    stated = [regimes.get(dataset) for dataset in runs]
    if set(stated) != set(REGIMES):
        raise ValueError(
            "every data set needs a regime, 'in' or 'out', and each of these a data set: got "
            f"{dict(zip(runs, stated, strict=True))}"
        )
    if reserved := {*REGIMES, SHIFT} & set(runs):
        raise ValueError(f"data sets cannot be called {sorted(reserved)}: rename them")


def _student(
    estimate: float, left: Float64[np.ndarray, " parts"], confidence: float
) -> dict[str, float | str]:
    """Interval and two-sided p of a jackknife: t = b/s, s² = (g−1)/g Σ (b_(c) − b̄)²."""
    g = len(left)
    spread = math.sqrt((g - 1) * float(np.var(left)))
    if spread <= _NOTHING * max(abs(estimate), 1.0):
        reason = "no interval: all pairs differ by the same"
        return {"low": math.nan, "high": math.nan, "p": math.nan, "reason": reason}
    half = float(stdtrit(g - 1, (1 + confidence) / 2)) * spread
    p = 2 * float(stdtr(g - 1, -abs(estimate) / spread))
    return {"low": estimate - half, "high": estimate + half, "p": p}
