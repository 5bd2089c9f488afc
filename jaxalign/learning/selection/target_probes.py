"""Errors of probes by cross-validation within the small target set."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float64, Int64

from jaxalign.learning.selection.pool import TaskValues
from jaxalign.learning.selection.probes import ProbeErrors, folds, predict

FOLDS = 5


@dataclasses.dataclass(frozen=True, eq=False)
class CrossValidated:
    """Out-of-fold errors of one probe on one target set.

    Attributes:
      error: as `ProbeErrors.error`; NaN if there is a reason.
      absolute: `[target]` absolute error of every structure in the unit of the label; NaN of
        structures that could not be judged.
      reason: why there is no error.
    """

    error: float
    absolute: Float64[np.ndarray, " target"]
    reason: str = ""


def cross_validated(
    probe: str,
    x: Float64[np.ndarray, "n d"],
    task: TaskValues,
    groups: Int64[np.ndarray, " n"],
    target: Int64[np.ndarray, " target"],
    *,
    seed: int = 0,
) -> CrossValidated:
    """Predicts every structure of the target set from the other folds.

    The composition model of every fold is fitted on its training rows.

    Args:
      probe: one of `probes.PROBES`.
      x: embeddings of all structures.
      task: labels of all structures, of which only those of the target set are read.
      groups: of all structures.
      target: rows of the target set.
      seed: of the folds.

    Returns:
      The errors. Linear probes need more training rows than columns, or have no error but a reason.
    """
    labels, predicted = np.full((2, len(target)), np.nan)
    for train, test in folds(groups[target], FOLDS, seed=seed):
        if probe == "linear" and len(train) <= x.shape[1] + 1:
            reason = f"a linear fit of {x.shape[1]} columns needs more than {len(train)} structures"
            return CrossValidated(math.nan, np.full(len(target), np.nan), reason)
        residuals, known = task.beyond_composition(target[train])
        judged = test[known[target[test]]]
        if not len(judged):
            continue
        labels[judged] = residuals[target[judged]]
        fitted = (x[target[train]], residuals[target[train]], x[target[judged]])
        predicted[judged] = predict(probe, *fitted, groups[target[train]])
    absolute, judged = np.abs(labels - predicted), np.isfinite(predicted)
    if judged.sum() < 2 or np.ptp(labels[judged]) == 0:
        return CrossValidated(math.nan, absolute, "the labels of the target set do not vary")
    return CrossValidated(ProbeErrors.of(labels[judged], predicted[judged]).error, absolute)
