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
    found = {column: result.matrix(metric, k=k, column=column) for column in columns}
    place = {name: i for i, name in enumerate(result.models)}
    chosen = result.matrix(metric, k=k).attrs.get("k")
    return ScoreMatrices(chosen, place, {name: m.values for name, m in found.items()})


def best_of(scores: Sequence[float], metric: str) -> int | None:
    """Place of the best score; None if all are NaN."""
    values = np.array(scores, np.float64)
    if not np.isfinite(values).any():
        return None
    return int(np.nanargmax(values if metric_definition(metric).is_similarity else -values))
