"""The nearest model of each model, and whether its lead over the second is more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.precision.paired_scores import Replicates, compare_scores
from jaxalign.analysis.precision.score_influences import Pair
from jaxalign.metrics._definition import GraphMetric
from jaxalign.metrics.registry import metric_definition
from jaxalign.significance.p_values import ALPHA, false_discovery
from jaxalign.significance.paired import holm
from jaxalign.types import Labels

_AT_ONCE = 4  # models whose contributions are held
COLUMNS = (
    *("metric", "k", "model", "nearest", "second", "score", "second_score", "difference"),
    *("ci_low", "ci_high", "effect", "p", "p_holm", "q", "nearer", "method", "reason"),
)


def nearest_models(
    result: Alignment,
    metric: str,
    *,
    k: int | None = None,
    models: Sequence[str] | None = None,
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
      models: those that are looked at, such as trained ones; None means all.
      groups: see `compare_scores`.
      alpha: level of `nearer`, for the false-discovery rate over all models.
      replicates: see `compare_scores`.

    Returns:
      One row a model that has scores with two others, see `COLUMNS` of this module.

    Raises:
      ValueError: see `compare_scores`; unknown models; fewer than three models with scores.
      ResultError: see `compare_scores`.

    References:
      Hung, Fithian: Annals of Statistics 47, 758 (2019) (the level of this test).
    """
    comparisons = _leaders(result, metric, k, result.models if models is None else models)
    settings = {"k": k, "groups": groups, "alpha": alpha, "replicates": replicates}
    # Contributions of graph metrics take 24 bytes an edge and pair: not of all models at once.
    of_edges = isinstance(metric_definition(metric), GraphMetric)
    size = _AT_ONCE if of_edges else len(comparisons)
    table = pd.concat(
        compare_scores(result, metric, pairs=comparisons[start : start + size], **settings)
        for start in range(0, len(comparisons), size)
    ).reset_index(drop=True)
    p = table["p"].to_numpy(np.float64)
    table["p_holm"], table["q"] = holm(p), false_discovery(p)
    names = {
        "model_a": "model",
        "model_b": "nearest",
        "model_d": "second",
        "score_ab": "score",
        "score_cd": "second_score",
    }
    table = table.rename(columns=names)
    table["nearer"] = (table["q"] <= alpha) & (table["difference"] != 0)
    return table[list(COLUMNS)]


def _leaders(
    result: Alignment, metric: str, k: int | None, models: Sequence[str]
) -> list[tuple[Pair, Pair]]:
    """Every model with its best and its second best one."""
    if unknown := sorted(set(models) - set(result.models)):
        raise ValueError(f"unknown models {unknown}: choose among {list(result.models)}")
    matrix = result.matrix(metric, k=k).sel(model_a=list(models), model_b=list(models))
    sign = 1 if metric_definition(metric).is_similarity else -1
    comparisons = []
    for place, name in enumerate(models):
        goodness = sign * matrix.values[place]
        goodness[place] = math.nan
        order = np.argsort(-goodness, kind="stable")[: np.isfinite(goodness).sum()]
        if len(order) > 1:
            best, second = (models[number] for number in order[:2])
            comparisons.append(((name, best), (name, second)))
    if not comparisons:
        raise ValueError(
            f"no model has scores of {metric} with two others: got {len(models)} models"
        )
    return comparisons
