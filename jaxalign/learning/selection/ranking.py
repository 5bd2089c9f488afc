"""The order of candidates by one criterion on one target set, and which of them are apart."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from scipy.special import stdtr

from jaxalign.learning.selection.criteria import Criterion
from jaxalign.learning.selection.held_out import corrected_interval

LEVEL = 0.05
_LEAST_GROUPS = 3


def ranking(
    values: Mapping[str, float],
    criterion: Criterion,
    absolute: Mapping[str, Float64[np.ndarray, " target"]],
    groups: Int64[np.ndarray, " target"],
) -> pd.DataFrame:
    """Candidates in the order of a criterion.

    Where the criterion is a probe, every candidate's absolute errors are compared with those of the
    best one, structure by structure: one-sided t tests over groups of structures, corrected for
    their number (Holm). The probes are taken as they were fitted, so differences that another
    target set of this size would show are larger than these tests know.

    Args:
      values: candidate → value of the criterion; NaN goes last.
      criterion: with its direction.
      absolute: candidate → absolute error of every structure of the target set; empty if the
        criterion is no probe.
      groups: of the structures.

    Returns:
      One row a candidate, best first: `rank` (NaN without a value), `candidate`, `value`,
      `p_worse` (that the best has smaller errors), `distinguishable` (from the best; None where
      it is not tested).
    """
    names = sorted(values, key=lambda name: _order(criterion.sign * values[name]))
    scores = np.array([criterion.sign * values[name] for name in names], np.float64)
    better = (scores[None, :] > scores[:, None]).sum(axis=1)
    ranks = np.where(np.isfinite(scores), better + 1.0, math.nan)
    tests = [_p_worse(absolute.get(name), absolute.get(names[0]), groups) for name in names]
    tests[0] = math.nan
    p = _holm(np.array(tests))
    return pd.DataFrame(
        {
            "rank": ranks,
            "candidate": names,
            "value": [values[name] for name in names],
            "p_worse": p,
            "distinguishable": [None if math.isnan(q) else bool(q < LEVEL) for q in p],
        }
    )


def held_out_columns(errors: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
    """Held-out errors of every candidate over draws, one column a probe with its interval.

    Args:
      errors: of one task: `candidate`, `probe`, `draw`, `error`, `train`, `test`.
      confidence: of the intervals, see `held_out.corrected_interval`.

    Returns:
      By candidate: `{probe}`, `{probe}_low`, `{probe}_high`, and `{probe}_rank`.
    """
    columns = {}
    for probe, own in errors.groupby("probe", sort=False):
        wide = own.pivot(index="candidate", columns="draw", values="error")
        train, test = (float(own[side].mean()) for side in ("train", "test"))
        limits = {
            name: corrected_interval(
                row.to_numpy(np.float64), train=train, test=test, confidence=confidence
            )
            for name, row in wide.iterrows()
        }
        mean = wide.mean(axis=1)
        columns[probe] = mean
        columns[f"{probe}_low"] = pd.Series({name: low for name, (low, _) in limits.items()})
        columns[f"{probe}_high"] = pd.Series({name: high for name, (_, high) in limits.items()})
        columns[f"{probe}_rank"] = mean.rank(method="min")
    return pd.DataFrame(columns).rename_axis("candidate")


def _order(score: float) -> tuple[bool, float]:
    return math.isnan(score), -score


def _p_worse(own: np.ndarray | None, best: np.ndarray | None, groups: np.ndarray) -> float:
    """One-sided t test over groups that the best candidate's errors are smaller."""
    if own is None or best is None:
        return math.nan
    worse = own - best
    known = np.isfinite(worse)
    if not known.any():
        return math.nan
    number = np.unique(groups[known], return_inverse=True)[1]
    means = np.bincount(number, worse[known]) / np.bincount(number)
    spread = float(np.std(means, ddof=1)) if len(means) >= _LEAST_GROUPS else 0.0
    if spread == 0:
        return math.nan
    t = float(means.mean()) / (spread / math.sqrt(len(means)))
    return float(stdtr(len(means) - 1, -t))


def _holm(p: Float64[np.ndarray, " tests"]) -> Float64[np.ndarray, " tests"]:
    """Step-down p-values of Holm; NaN where there was no test."""
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = (len(order) - np.arange(len(order))) * p[order]
    found = np.full(len(p), math.nan)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return found
