"""Mean scores within and between groups of models, and whether the groups mean anything.

    B_gh = mean of s_ab over a ∈ g, b ∈ h, a ≠ b;
    contrast = mean over pairs within groups − mean over pairs between groups.

The contrast is tested by permuting the labels over the models (a Mantel test with one indicator
matrix), since pairs that share a model are not independent.

References:
  Hubert, Schultz: Br. J. Math. Statist. Psychol. 29, 190 (1976), quadratic assignment.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float64

from jaxalign.analysis.relations.labeled_scores import both_directions, complete_models, read_scores
from jaxalign.analysis.relations.matrix_regression import matrix_regression
from jaxalign.analysis.relations.model_labels import labels_of, same_label
from jaxalign.analysis.relations.permutations import PERMUTATIONS


@dataclasses.dataclass(frozen=True)
class Contrast:
    """Within against between; NaN where it cannot be had, and then `reason` says why.

    Attributes:
      within: mean score of pairs of one group.
      between: mean score of pairs of two groups.
      difference: within − between.
      low: lower end of the interval of the difference.
      high: its upper end.
      p: permutation p-value of the difference.
      permutations: draws beside the observed labels.
      models: number of models compared.
      groups: number of groups with at least two of them.
      pairs_within: number of pairs of one group.
      pairs_between: number of pairs of two groups.
      left_out: models with missing scores.
      reason: why a number is NaN; "" if none is.
    """

    within: float
    between: float
    difference: float
    low: float
    high: float
    p: float
    permutations: int
    models: int
    groups: int
    pairs_within: int
    pairs_between: int
    left_out: tuple[str, ...] = ()
    reason: str = ""


def block_matrix(scores: xr.DataArray, labels: Mapping[str, str]) -> xr.Dataset:
    """Mean scores of all pairs of two groups; of a directed score from block_a to block_b.

    Args:
      scores: `[model_a, model_b]`; NaN where not computed; self pairs are left out. Choose the
        models first, e.g. `scores.loc[names, names]` with `compared_models(cards)`.
      labels: model → group; models with an empty one are left out.

    Returns:
      `mean`, `low`, `high` (smallest and largest score) and `pairs` (finite ones; both directions
      of a directed score), each `[block_a, block_b]`, groups in the order of their first models.
      NaN where there is no pair: within a group of one.

    Raises:
      ValueError: scores that are no matrix over one set of models, or a model without a label.
    """
    names, values = read_scores(scores)
    groups = np.array(labels_of(names, labels), dtype=object)
    np.fill_diagonal(values, np.nan)
    if np.array_equal(values, values.T, equal_nan=True):  # every pair once
        same = (groups[:, None] == groups[None, :]) & np.tri(len(names), dtype=bool)
        values[same] = np.nan
    order = [g for g in dict.fromkeys(groups) if g]
    found = {
        name: np.full((len(order), len(order)), np.nan) for name in ("mean", "low", "high")
    } | {"pairs": np.zeros((len(order), len(order)), np.int64)}
    for a, first in enumerate(order):
        for b, second in enumerate(order):
            block = values[np.ix_(groups == first, groups == second)]
            block = block[np.isfinite(block)]
            found["pairs"][a, b] = block.size
            if block.size:
                for name, of in (("mean", np.mean), ("low", np.min), ("high", np.max)):
                    found[name][a, b] = of(block)
    dims = ("block_a", "block_b")
    return xr.Dataset(
        {name: (dims, matrix) for name, matrix in found.items()},
        coords={"block_a": order, "block_b": order},
        attrs={"metric": str(scores.name or "")},
    )


def block_contrast(
    scores: xr.DataArray,
    labels: Mapping[str, str],
    *,
    clusters: Mapping[str, str] | None = None,
    permutations: int = PERMUTATIONS,
    alternative: str = "two-sided",
    confidence: float = 0.95,
    seed: int = 0,
) -> Contrast:
    """Mean within groups − mean between groups, with a permutation test over labels of models.

    Args:
      scores: `[model_a, model_b]`; of directed scores the mean of both directions is taken.
      labels: model → group; a model with an empty one is of no group, and alone.
      clusters: model → cluster that the jackknife of the interval leaves out at a time; None leaves
        out single models.
      permutations: of the labels; all of them where these are fewer.
      alternative: `"two-sided"`, `"greater"` (more alike within, of similarities) or `"less"`.
      confidence: of the interval.
      seed: of the permutations.

    Returns:
      The contrast.

    Raises:
      ValueError: scores that are no matrix over one set of models, or a model without a label.
    """
    names, values = read_scores(scores)
    values = both_directions(values)
    kept = complete_models(values)
    chosen = [names[i] for i in kept]
    own = labels_of(chosen, labels)
    values, same = values[np.ix_(kept, kept)], same_label(own)
    row = matrix_regression(
        values,
        {"same": same},
        permutations=permutations,
        alternative=alternative,
        clusters=chosen if clusters is None else labels_of(chosen, clusters),
        confidence=confidence,
        seed=seed,
    ).iloc[0]
    upper = np.triu_indices(len(chosen), 1)
    pairs, inside = values[upper], same[upper] == 1
    within, between = _mean(pairs[inside]), _mean(pairs[~inside])
    return Contrast(
        within=within,
        between=between,
        difference=within - between,
        low=float(row["low"]),
        high=float(row["high"]),
        p=float(row["p"]),
        permutations=int(row["permutations"]),
        models=len(chosen),
        groups=sum(own.count(label) > 1 for label in set(own) - {""}),
        pairs_within=int(inside.sum()),
        pairs_between=int((~inside).sum()),
        left_out=tuple(name for name in names if name not in chosen),
        reason=(_missing_side(within, between) if len(pairs) else "") or str(row["reason"]),
    )


def _mean(values: Float64[np.ndarray, " pairs"]) -> float:
    return float(values.mean()) if len(values) else math.nan


def _missing_side(within: float, between: float) -> str:
    if math.isnan(within):
        return "no two models share a group"
    return "all models are of one group" if math.isnan(between) else ""
