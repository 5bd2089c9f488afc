"""The significance columns of the table: every score beside what chance explains."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxalign.alignment.engine import PairScore
from jaxalign.alignment.nulls import Null
from jaxalign.alignment.plan import MetricPlan
from jaxalign.significance import p_values
from jaxalign.significance.gamma import gamma_tail, gamma_threshold
from jaxalign.significance.permutations import SampledNull

_NAMES = {
    "gamma": "closed-form moments, gamma tail",
    "quadratic": "closed-form moments, χ² bound",
}
_ABSENT = dict.fromkeys(("calibrated", "null_mean", "z", "p", "q"), math.nan) | {"null": ""}


def significance_columns(
    scores: Sequence[PairScore],
    nulls: Mapping[tuple[MetricPlan, str, str], Null | SampledNull],
    n: int,
    scheme: str = "",
) -> list[dict[str, Any]]:
    """Columns of every score; NaN for models with themselves and scores without null.

    `z` counts standard deviations towards more alike: for distances, below the null's mean. `q` is
    the Benjamini–Hochberg value over all tested pairs of the same metric and k.

    Args:
      scores: scores in the order of the table.
      nulls: closed-form or sampled nulls of the pairs that have one.
      n: number of structures.
      scheme: how permutations were sampled, in words.

    Returns:
      `calibrated`, `null_mean`, `z`, `p`, `q` and, in words, `null` of each score.
    """
    rows = []
    for score in scores:
        null = nulls.get((score.plan, score.a, score.b))
        rows.append(_ABSENT | _columns(score, null, n, scheme))
    families: dict[MetricPlan, list[int]] = defaultdict(list)
    for number, score in enumerate(scores):
        families[score.plan].append(number)
    for members in families.values():
        q = p_values.false_discovery(np.array([rows[number]["p"] for number in members]))
        for number, value in zip(members, q.tolist(), strict=True):
            rows[number]["q"] = value
    return rows


def _columns(
    score: PairScore, null: Null | SampledNull | None, n: int, scheme: str
) -> dict[str, Any]:
    if null is None or math.isnan(score.value):
        return {}
    metric = score.plan.metric
    sign = 1.0 if metric.is_similarity else -1.0
    z = sign * (score.value - null.mean) / null.sd if null.sd > 0 else math.nan
    if isinstance(null, SampledNull):
        threshold, p = null.threshold, null.p
        name = f"{null.permutations} permutations{scheme}"
    else:
        at, p = _decided(null, z, sign)
        threshold = null.mean + sign * at * null.sd
        name = _NAMES[null.tail]
    perfect = metric.perfect(n, score.plan.k)
    return {
        "calibrated": p_values.calibrated_score(score.value, threshold=threshold, perfect=perfect),
        "null_mean": null.mean,
        "z": z,
        "p": p,
        "null": name,
    }


def _decided(null: Null, z: float, sign: float) -> tuple[float, float]:
    """Threshold in standard deviations, and p."""
    if null.tail == "quadratic":
        return p_values.quadratic_threshold(), p_values.quadratic_tail(z)
    skewness = sign * null.skewness
    # A count stands for the interval of half a step around it.
    half = null.step / 2
    return gamma_threshold(skewness) + half, gamma_tail(z - half, skewness)
