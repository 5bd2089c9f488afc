"""Two encoders by their best pair of layers, beside what choosing the best gives by chance.

The best of many layer pairs is high by choice alone. The statistic is therefore the best score over
all layer pairs, and its null the best score over the same layer pairs under one permutation.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxalign.alignment.engine import PairScore
from jaxalign.alignment.plan import MetricPlan
from jaxalign.alignment.sampled_nulls import Cell
from jaxalign.significance import p_values
from jaxalign.significance.permutations import sampled_null

COLUMNS = (
    *("metric", "k", "encoder_a", "encoder_b", "layer_a", "layer_b", "layer_pairs", "value"),
    *("calibrated", "null_mean", "p", "q", "permutations"),
)


def check_encoders(encoders: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """The encoder of every model; a model that is not named is its own.

    Raises:
      ValueError: a label that no model has.
    """
    if unknown := sorted(set(encoders) - set(names)):
        raise ValueError(
            f"encoders names models that are not compared: {unknown[:5]}; known: {list(names)[:5]}"
        )
    return {name: str(encoders.get(name, name)) for name in names}


def best_layers(
    scores: Sequence[PairScore],
    samples: Mapping[Cell, np.ndarray],
    encoders: Mapping[str, str],
    n: int,
) -> pd.DataFrame:
    """The best layer pair of every pair of encoders, and its p-value under the maximum statistic.

    Args:
      scores: observed scores of layers.
      samples: their null scores, under the same permutations all.
      encoders: layer → encoder.
      n: structures.

    Returns:
      One row a metric, k and pair of encoders, see `COLUMNS`; directed metrics have both orders.

    References:
      Westfall, Young: Resampling-Based Multiple Testing, Wiley (1993); Gröger et al.,
      arXiv:2602.14486 (2026).
    """
    families: dict[tuple[MetricPlan, str, str], list[PairScore]] = defaultdict(list)
    for score in scores:
        sides = encoders[score.a], encoders[score.b]
        if score.plan.metric.symmetric:
            sides = tuple(sorted(sides))
        if sides[0] != sides[1] and (score.plan, score.a, score.b) in samples:
            families[score.plan, *sides].append(score)
    rows = [_row(*family, found, samples, encoders, n) for family, found in families.items()]
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    for _, members in table.groupby(["metric", table["k"].fillna(-1)]):
        q = p_values.false_discovery(members["p"].to_numpy(np.float64))
        table.loc[members.index, "q"] = q
    return table.astype({"k": "Int64", "q": np.float64})


def _row(
    plan: MetricPlan,
    a: str,
    b: str,
    found: Sequence[PairScore],
    samples: Mapping[Cell, np.ndarray],
    encoders: Mapping[str, str],
    n: int,
) -> dict[str, Any]:
    best = max if plan.metric.is_similarity else min
    chosen = best(found, key=lambda score: score.value)
    drawn = np.stack([samples[s.plan, s.a, s.b] for s in found])
    reduce = np.fmax.reduce if plan.metric.is_similarity else np.fmin.reduce
    null = sampled_null(
        chosen.value, reduce(drawn), similarity=plan.metric.is_similarity, stopped=False
    )
    layers = (chosen.a, chosen.b) if encoders[chosen.a] == a else (chosen.b, chosen.a)
    return {
        "metric": plan.metric.id,
        "k": plan.k,
        "encoder_a": a,
        "encoder_b": b,
        "layer_a": layers[0],
        "layer_b": layers[1],
        "layer_pairs": len(found),
        "value": chosen.value,
        "calibrated": p_values.calibrated_score(
            chosen.value, threshold=null.threshold, perfect=plan.metric.perfect(n, plan.k)
        ),
        "null_mean": null.mean,
        "p": null.p,
        "q": math.nan,
        "permutations": null.permutations,
    }
