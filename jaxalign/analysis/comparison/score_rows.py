"""Scores of one model from the tidy table, and the intervals and calibrations that go with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxalign.metrics.registry import metric_definition

_CALIBRATED = ("calibrated", "calibrated_low", "calibrated_high", "null_mean", "null_q")


def pairs_with(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of a tidy table that compare a model with another one."""
    mine = table[(table["model_a"] == name) | (table["model_b"] == name)]
    return mine[mine["model_a"] != mine["model_b"]].reset_index(drop=True)


def with_intervals(
    scores: pd.DataFrame, rows: Mapping[str, pd.DataFrame], name: str
) -> pd.DataFrame:
    """The tidy rows with the intervals of `row_intervals`: of the first k, model → others.

    Args:
      scores: rows of pairs with the model.
      rows: metric → its `row_intervals`.
      name: the model.
    """
    found = {}
    for metric, row in rows.items():
        symmetric = metric_definition(metric).symmetric
        for entry in row.itertuples():
            for pair in ((name, entry.other), (entry.other, name))[: 2 if symmetric else 1]:
                found[metric, _number(entry.k), *pair] = entry.ci_low, entry.ci_high
    keys = [(r.metric, _number(r.k), r.model_a, r.model_b) for r in scores.itertuples()]
    ends = np.array([found.get(key, (np.nan, np.nan)) for key in keys]).reshape(-1, 2)
    return scores.assign(ci_low=ends[:, 0], ci_high=ends[:, 1])


def completed(row: pd.DataFrame, scores: pd.DataFrame, name: str) -> pd.DataFrame:
    """A row of scores with what the tidy table knows of each: interval, calibration, null.

    Args:
      row: see `row_intervals`.
      scores: tidy rows of pairs with the model, with intervals.
      name: the model.

    Returns:
      The row with `ci_low` and `ci_high` of the table, `calibrated`, its interval, `null_mean`, and
      `null_q`, the false-discovery value of the score against chance.
    """
    if row.empty:
        return row.assign(**dict.fromkeys(_CALIBRATED, np.nan))
    metric, k = row["metric"].iloc[0], _number(row["k"].iloc[0])
    definition = metric_definition(metric)
    of = scores[scores["metric"] == metric]
    of = of if k is None else of[of["k"] == k]
    of = of if definition.symmetric else of[of["model_a"] == name]
    other = of["model_b"].where(of["model_a"] == name, of["model_a"])
    of = of.assign(other=other).set_index("other").loc[row["other"]].reset_index()
    perfect = definition.perfect(int(of["n"].iloc[0]), k)
    ends = [
        calibrated_ends(r.value, r.calibrated, r.ci_low, r.ci_high, perfect)
        for r in of.itertuples()
    ]
    return row.assign(
        ci_low=of["ci_low"],
        ci_high=of["ci_high"],
        calibrated=of["calibrated"],
        calibrated_low=[low for low, _ in ends],
        calibrated_high=[high for _, high in ends],
        null_mean=of["null_mean"],
        null_q=of["q"],
    )


def calibrated_ends(
    value: float, calibrated: float, low: float, high: float, perfect: float
) -> tuple[float, float]:
    """An interval of a score as one of the calibrated score c = (s − τ)/(s_max − τ).

    The threshold τ is taken as known; it follows from s and c. Of a score below its threshold c is
    0, and τ is only known to be at least s: the upper end is then the largest possible one.

    Args:
      value: the score s.
      calibrated: c, at least 0.
      low: lower end of the interval of s.
      high: upper end.
      perfect: s_max, the score of a perfect match; for distances their least value.

    Returns:
      Lower and upper end, at least 0 and the smaller one first; NaN where there is no interval.
    """
    if not all(map(math.isfinite, (value, calibrated, low, high))) or calibrated >= 1:
        return math.nan, math.nan
    threshold = (value - calibrated * perfect) / (1 - calibrated)
    room = perfect - threshold
    if room == 0:
        return math.nan, math.nan
    ends = sorted(max((end - threshold) / room, 0.0) for end in (low, high))
    return ends[0], ends[1]


def _number(k: Any) -> int | None:
    return None if k is None or pd.isna(k) else int(k)
