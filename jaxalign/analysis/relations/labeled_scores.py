"""Matrices of scores between models as analyses read them: of one order, symmetric, without gaps.

Analyses that compare pairs take the mean of both directions of a directed score, and leave out the
score of a model with itself. Tests that relabel models need every pair: models with missing scores
are left out, fewest first.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float64, Int

from jaxalign.alignment.results import Alignment


def score_matrix(
    alignment: Alignment, metric: str, *, column: str = "value", k: int | None = None
) -> xr.DataArray:
    """One column of the table of an alignment as a labeled matrix.

    Args:
      alignment: the alignment.
      metric: one of its metrics.
      column: a numeric column: `"value"`, `"calibrated"`, `"z"`, `"q"`, …
      k: which k, of a metric that was computed for several; None means the first.

    Returns:
      `[model_a, model_b]` float64, named after the metric.

    Raises:
      ValueError: the metric, this k of it, or the column is not there.
    """
    return alignment.matrix(metric, k=k, column=column)


def read_scores(scores: xr.DataArray) -> tuple[tuple[str, ...], Float64[np.ndarray, "m m"]]:
    """Labels and values of a matrix of scores, columns in the order of the rows.

    Args:
      scores: `[model_a, model_b]`, with the same labels on both sides.

    Returns:
      The labels, and the values as float64.

    Raises:
      ValueError: not a square matrix over one set of different labels.
    """
    if scores.ndim != 2:
        raise ValueError(f"scores must be a matrix [model_a, model_b]: got dims {scores.dims}")
    rows, columns = (
        [str(v) for v in scores[d].values] if d in scores.coords else [] for d in scores.dims
    )
    if len(set(rows)) < scores.shape[0] or sorted(rows) != sorted(columns):
        raise ValueError(
            "scores must have the same different labels on both sides: got "
            f"{rows[:5]} and {columns[:5]} for shape {scores.shape}"
        )
    place = {name: i for i, name in enumerate(columns)}
    values = np.array(scores.values, np.float64)
    return tuple(rows), values[:, [place[name] for name in rows]]


def labeled(names: tuple[str, ...], values: Float64[np.ndarray, "m m"], name: str) -> xr.DataArray:
    """A matrix over models with its labels."""
    coords = {"model_a": list(names), "model_b": list(names)}
    return xr.DataArray(values, coords=coords, dims=("model_a", "model_b"), name=name)


def both_directions(values: Float64[np.ndarray, "m m"]) -> Float64[np.ndarray, "m m"]:
    """Mean of both directions of every pair, NaN where one is missing; the diagonal is NaN."""
    mean = (values + values.T) / 2
    np.fill_diagonal(mean, np.nan)
    return mean


def complete_models(values: Float64[np.ndarray, "m m"]) -> Int[np.ndarray, " kept"]:
    """Models all of whose pairs have a value, after the worst ones were left out.

    The model with the most missing pairs goes first, of equals the last one, until none is missing.

    Args:
      values: scores of pairs; NaN where missing; the diagonal is ignored.

    Returns:
      Row numbers of the models that stay, ascending; a single one has no pair and may stay.
    """
    missing = ~np.isfinite(values) | ~np.isfinite(values.T)
    np.fill_diagonal(missing, False)
    kept = np.arange(len(values))
    while missing.any():
        counts = missing.sum(axis=1)
        worst = len(kept) - 1 - int(np.argmax(counts[::-1]))
        kept = np.delete(kept, worst)
        missing = np.delete(np.delete(missing, worst, axis=0), worst, axis=1)
    return kept
