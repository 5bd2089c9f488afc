"""Criteria that are alignments: of a candidate with the label, and with the other candidates.

A label is a model of one column. Candidates and labels go through one alignment of the target set,
with standardized columns and Euclidean neighbors (cosines of one column are ±1), and the criterion
is the calibrated score: closed-form nulls, or permutations of groups where these are shared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from jaxalign.alignment.align import align
from jaxalign.learning.selection.criteria import TO_OTHERS
from jaxalign.learning.selection.probes import shared
from jaxalign.metrics._definition import ModelMetric
from jaxalign.metrics.registry import metric_definition

NORMALIZE, SIMILARITY = "standardize", "euclidean"
PERMUTATIONS = 199  # of whole groups, which have no closed-form null
_LABEL = "label of {}"


def alignment_criteria(
    embeddings: Mapping[str, Float64[np.ndarray, "target d"]],
    labels: Mapping[str, Float64[np.ndarray, " target"]],
    families: Mapping[str, str],
    groups: Int64[np.ndarray, " target"],
    *,
    metrics: Sequence[str],
    k: Any = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Scores of every candidate with every label, and without labels.

    Args:
      embeddings: candidate → rows of the target set.
      labels: task → labels of the same rows.
      families: candidate → family.
      groups: of the rows.
      metrics: metric ids.
      k: neighbors, as in `jaxalign.align`.
      seed: as there.

    Returns:
      Records of `task`, `candidate`, `criterion`, `value` (calibrated, larger is better; of
      intrinsic dimensions as they are), `raw` (as the metric defines it), `p` (of independence)
      and `reason` (why a value is NaN).

    Raises:
      ValueError: a candidate is called like the label of a task; k does not fit the rows.
    """
    columns = {_LABEL.format(task): y[:, None] for task, y in labels.items()}
    if taken := sorted(set(columns) & set(embeddings)):
        raise ValueError(f"candidates must not be called {taken}: rename them")
    few = shared(groups)
    table = align(
        {**embeddings, **columns},
        metrics=tuple(metrics),
        k=k,
        normalize=NORMALIZE,
        similarity=SIMILARITY,
        groups=groups if few else None,
        permutations=PERMUTATIONS if few else 0,
        seed=seed,
    ).table
    records = []
    for task in labels:
        records += _with_label(table, list(embeddings), task)
        records += [{"task": task, **found} for found in _without(table, families, metrics)]
    return records


def _with_label(table: pd.DataFrame, candidates: list[str], task: str) -> list[dict[str, Any]]:
    rows = table[table["model_b"].eq(_LABEL.format(task)) & table["model_a"].isin(candidates)]
    return [
        {
            "task": task,
            "candidate": row.model_a,
            "criterion": f"label:{row.metric}",
            "value": float(row.calibrated),
            "raw": float(row.value),
            "p": float(row.p),
            "reason": row.reason or _uncalibrated(row.calibrated),
        }
        for row in rows.itertuples()
    ]


def _uncalibrated(value: float) -> str:
    return "no null to calibrate by" if math.isnan(value) else ""


def _without(
    table: pd.DataFrame, families: Mapping[str, str], metrics: Sequence[str]
) -> list[dict[str, Any]]:
    records = []
    for metric in metrics:
        rows = table[table["metric"] == metric]
        if isinstance(metric_definition(metric), ModelMetric):
            records += _own(rows[rows["model_a"].isin(families)], metric)
        elif metric in TO_OTHERS:
            records += _with_others(rows, families, metric)
    return records


def _own(rows: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    return [
        {
            "candidate": row.model_a,
            "criterion": f"own:{metric}",
            "value": float(row.value),
            "raw": float(row.value),
            "p": math.nan,
            "reason": row.reason,
        }
        for row in rows.itertuples()
    ]


def _with_others(
    rows: pd.DataFrame, families: Mapping[str, str], metric: str
) -> list[dict[str, Any]]:
    """Means over candidates of other families, or over all others if there is one family."""
    pairs = rows[rows["model_a"].isin(families) & rows["model_b"].isin(families)]
    pairs = pairs[pairs["model_a"] != pairs["model_b"]]
    a, b = pairs["model_a"].map(families), pairs["model_b"].map(families)
    pairs = pairs[a != b] if len(set(families.values())) > 1 else pairs
    records = []
    for candidate in families:
        own = pairs[pairs["model_a"].eq(candidate) | pairs["model_b"].eq(candidate)]
        value, raw = float(own["calibrated"].mean()), float(own["value"].mean())
        records.append(
            {
                "candidate": candidate,
                "criterion": f"others:{metric}",
                "value": value,
                "raw": raw,
                "p": math.nan,
                "reason": "no score with the others" if math.isnan(value) else "",
            }
        )
    return records
