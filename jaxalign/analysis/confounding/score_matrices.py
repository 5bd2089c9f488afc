"""Columns of an alignment's table as matrices, for conclusions that look at many pairs at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from jaxalign.alignment.results import Alignment
from jaxalign.metrics._definition import ModelMetric
from jaxalign.metrics.registry import metric_definition


class ScoreMatrices(NamedTuple):
    """Some columns of one metric.

    Attributes:
      k: neighbors, or None.
      place: model → row and column of the matrices.
      columns: name → `[model_a, model_b]`; NaN where there is nothing.
    """

    k: int | None
    place: dict[str, int]
    columns: dict[str, Float64[np.ndarray, "m m"]]


def score_matrices(
    result: Alignment, metric: str, *, k: int | None, columns: Sequence[str]
) -> ScoreMatrices:
    """Columns of the table under one metric.

    Args:
      result: the alignment.
      metric: one of its metrics, of pairs.
      k: which k; None means the first.
      columns: names of numeric columns.

    Returns:
      Full matrices, also of symmetric metrics, whose pairs the table names once.

    Raises:
      ValueError: the metric, or this k of it, was not computed, or is of single models.
    """
    definition = metric_definition(metric)
    if isinstance(definition, ModelMetric):
        raise ValueError(f"{metric} is of single models: it has no pairs")
    k = result.matrix(metric, k=k).attrs.get("k")
    rows = result.table[result.table["metric"] == metric]
    rows = rows if k is None else rows[rows["k"] == k]
    place = {name: i for i, name in enumerate(result.models)}
    a, b = (rows[side].map(place).to_numpy(int) for side in ("model_a", "model_b"))
    found = {}
    for column in columns:
        matrix = found[column] = np.full((len(place), len(place)), np.nan)
        if definition.symmetric:
            matrix[b, a] = rows[column]
        matrix[a, b] = rows[column]
    return ScoreMatrices(k, place, found)


def best_of(scores: Sequence[float], metric: str) -> int | None:
    """Place of the best score; None if all are NaN."""
    values = np.array(scores, np.float64)
    if not np.isfinite(values).any():
        return None
    return int(np.nanargmax(values if metric_definition(metric).is_similarity else -values))
