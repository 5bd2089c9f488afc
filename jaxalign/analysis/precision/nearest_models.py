"""The nearest model of each model, and whether its lead over the second is more than chance."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.precision.paired_scores import Replicates, compare_scores
from jaxalign.metrics.registry import metric_definition
from jaxalign.significance.p_values import ALPHA
from jaxalign.types import Labels

COLUMNS = (
    *("metric", "k", "model", "nearest", "second", "score", "second_score", "difference"),
    *("ci_low", "ci_high", "effect", "p", "p_holm", "q", "nearer", "method", "reason"),
)


def nearest_models(
    result: Alignment,
    metric: str,
    *,
    k: int | None = None,
    groups: Labels | None = None,
    alpha: float = ALPHA,
    replicates: Replicates | None = None,
) -> pd.DataFrame:
    """The nearest model of each model, and whether it is significantly nearer than the second.

    The two-sided test of the best against the second best keeps its level although both were chosen
    by their scores.

    Args:
      result: see `compare_scores`.
      metric: see `compare_scores`; directed metrics read model → others.
      k: see `compare_scores`.
      groups: see `compare_scores`.
      alpha: level of `nearer`, for the false-discovery rate over all models.
      replicates: see `compare_scores`.

    Returns:
      One row a model that has scores with two others, see `COLUMNS` of this module.

    Raises:
      ValueError: see `compare_scores`; fewer than three models with scores.
      ResultError: see `compare_scores`.

    References:
      Hung, Fithian: Annals of Statistics 47, 758 (2019) (the level of this test).
    """
    matrix = result.matrix(metric, k=k)
    sign = 1 if metric_definition(metric).is_similarity else -1
    comparisons = []
    for place, name in enumerate(result.models):
        goodness = sign * matrix.values[place]
        goodness[place] = math.nan
        order = np.argsort(-goodness, kind="stable")[: np.isfinite(goodness).sum()]
        if len(order) > 1:
            best, second = (result.models[number] for number in order[:2])
            comparisons.append(((name, best), (name, second)))
    if not comparisons:
        raise ValueError(
            f"no model has scores of {metric} with two others: got {len(result.models)} models"
        )
    settings = {"k": k, "groups": groups, "alpha": alpha, "replicates": replicates}
    table = compare_scores(result, metric, pairs=comparisons, **settings)
    names = {
        "model_a": "model",
        "model_b": "nearest",
        "model_d": "second",
        "score_ab": "score",
        "score_cd": "second_score",
    }
    table = table.rename(columns=names)
    table["nearer"] = table.pop("closer") == "ab"
    return table[list(COLUMNS)]
