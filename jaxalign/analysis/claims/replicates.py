"""Scores over halves of the structures, as a run keeps them in the diagnostics of its alignment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float64
from scipy.special import stdtrit

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.claims.intervals import CONFIDENCE
from jaxalign.analysis.relations.replicates import read_replicates
from jaxalign.significance.intervals import subset_errors

FACT = "replicates"
METRIC = "cknna"  # whose profiles make the tree of models
_DIGITS = 6  # of stored scores: errors of halves are of the order of .01


def replicate_facts(
    values: Float64[np.ndarray, "replicates pairs"],
    *,
    metric: str,
    k: int | None,
    models: Sequence[str],
    taken: float,
) -> dict[str, Any]:
    """What `diagnostics["replicates"]` holds: plain values.

    Args:
      values: scores of all pairs a ≤ b of a symmetric metric, row by row of the upper triangle;
        replicates 2i and 2i + 1 are over disjoint halves.
      metric: whose scores.
      k: of the metric.
      models: in the order of rows and columns.
      taken: structures in a half.
    """
    return {
        "metric": metric,
        "k": k,
        "models": list(models),
        "taken": taken,
        "values": [[_plain(value) for value in row] for row in np.round(values, _DIGITS)],
    }


def _plain(value: np.float64) -> float | None:
    """NaN is no JSON number."""
    return float(value) if np.isfinite(value) else None


def replicate_matrices(alignment: Alignment) -> list[xr.DataArray]:
    """One matrix `[model_a, model_b]` a half; none where the run has no halves."""
    facts: Mapping[str, Any] | None = alignment.diagnostics.get(FACT)
    return read_replicates(facts, alignment.matrix(METRIC)) if facts else []


def half_widths(
    values: Float64[np.ndarray, "replicates quantities"], run: Alignment
) -> Float64[np.ndarray, " quantities"]:
    """Half the widths of 95 % intervals of quantities that were computed on every half.

    Args:
      values: one row a half; rows 2i and 2i + 1 are over disjoint ones.
      run: the alignment that the halves belong to.

    Returns:
      t times the standard error for all structures; NaN with fewer than four halves.
    """
    if len(values) < 4:
        return np.full(values.shape[1], np.nan)
    errors = subset_errors(
        values,
        taken=float(run.diagnostics[FACT]["taken"]),
        total=int(run.diagnostics["n"]),
        of_tuples=np.zeros(values.shape[1], bool),
    )
    return stdtrit(len(values) // 2, (1 + CONFIDENCE) / 2) * errors


def half_width(run: Alignment, a: str, b: str) -> float:
    """Half the width of the 95 % interval of the score of one pair; NaN without halves."""
    values = [float(matrix.loc[a, b]) for matrix in replicate_matrices(run)]
    return float(half_widths(np.array(values, np.float64).reshape(-1, 1), run)[0])
