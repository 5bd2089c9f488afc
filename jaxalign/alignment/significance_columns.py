"""The significance columns of the table: every score beside what chance explains."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxalign.alignment.nulls import Null
from jaxalign.alignment.plan import MetricPlan
from jaxalign.significance import p_values

if TYPE_CHECKING:
    from jaxalign.alignment.engine import PairScore

COLUMNS = ("calibrated", "null_mean", "z", "p", "q", "null")

_TAILS = {
    "normal": (p_values.normal_tail, p_values.normal_threshold()),
    "quadratic": (p_values.quadratic_tail, p_values.quadratic_threshold()),
}
_NAMES = {
    "normal": "closed-form moments, normal tail",
    "quadratic": "closed-form moments, χ² bound",
}
_ABSENT = {"calibrated": math.nan, "null_mean": math.nan, "z": math.nan, "p": math.nan, "null": ""}


def significance_columns(
    scores: Sequence[PairScore], nulls: Mapping[tuple[MetricPlan, str, str], Null], n: int
) -> list[dict[str, Any]]:
    """One dictionary of `COLUMNS` a score; NaN for models with themselves and scores without null.

    `z` counts standard deviations towards more alike: for distances, below the null's mean. `q` is
    the Benjamini–Hochberg value over all tested pairs of the same metric and k.

    Args:
      scores: scores in the order of the table.
      nulls: closed-form nulls of the pairs that have one.
      n: number of structures.
    """
    rows = [
        _columns(score, nulls.get((score.plan, score.a, score.b)), n) | {"q": math.nan}
        for score in scores
    ]
    families: dict[MetricPlan, list[int]] = defaultdict(list)
    for number, score in enumerate(scores):
        families[score.plan].append(number)
    for members in families.values():
        q = p_values.false_discovery(np.array([rows[number]["p"] for number in members]))
        for number, value in zip(members, q.tolist(), strict=True):
            rows[number]["q"] = value
    return rows


def _columns(score: PairScore, null: Null | None, n: int) -> dict[str, Any]:
    if null is None or math.isnan(score.value):
        return dict(_ABSENT)
    metric = score.plan.metric
    sign = 1.0 if metric.is_similarity else -1.0
    z = sign * (score.value - null.mean) / null.sd
    tail, threshold = _TAILS[null.tail]
    return {
        "calibrated": p_values.calibrated_score(
            score.value,
            threshold=null.mean + sign * threshold * null.sd,
            perfect=metric.perfect(n, score.plan.k),
        ),
        "null_mean": null.mean,
        "z": z,
        "p": tail(z),
        "null": _NAMES[null.tail],
    }
