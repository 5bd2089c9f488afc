"""Errors of probes on many held-out structures: what the criteria are to predict."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import stdtrit

from jaxalign.learning.selection.draws import Draw
from jaxalign.learning.selection.pool import TaskValues
from jaxalign.learning.selection.probes import ProbeErrors, predict

HELD_OUT_PROBES = ("ridge", "knn")


def held_out_errors(
    probe: str,
    x: Float64[np.ndarray, "n d"],
    task: TaskValues,
    groups: Int64[np.ndarray, " n"],
    draw: Draw,
) -> ProbeErrors:
    """Trains a probe on the training rows of a draw and judges it on its test rows.

    Args:
      probe: one of `probes.PROBES`.
      x: embeddings of all structures.
      task: their labels; the composition model is fitted on the training rows.
      groups: of all structures.
      draw: the rows.

    Returns:
      Errors over the test rows whose elements all occur in the training rows.

    Raises:
      ValueError: no test row is left, or their labels do not vary.
    """
    residuals, known = task.beyond_composition(draw.train)
    test = draw.test[known[draw.test]]
    if len(test) < 2 or np.ptp(residuals[test]) == 0:
        raise ValueError(
            f"{task.name}: labels of the {len(test)} test structures of draw {draw.number} do not "
            "vary; hold out more, or choose another label"
        )
    train = draw.train
    predicted = predict(probe, x[train], residuals[train], x[test], groups[train])
    return ProbeErrors.of(residuals[test], predicted)


def corrected_interval(
    values: Float64[np.ndarray, " draws"], *, train: int, test: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of a mean over splits that share training rows.

        mean ± t_{R−1} √((1/R + test/train) s²)

    Args:
      values: one of every split.
      train: training rows of a split.
      test: test rows of a split.
      confidence: of the interval.

    Returns:
      Low and high; NaN for a single split.

    References:
      Nadeau, Bengio: Machine Learning 52, 239 (2003).
    """
    count = len(values)
    if count < 2 or not np.isfinite(values).all():
        return math.nan, math.nan
    spread = math.sqrt((1 / count + test / train) * float(np.var(values, ddof=1)))
    half = float(stdtrit(count - 1, (1 + confidence) / 2)) * spread
    mean = float(np.mean(values))
    return mean - half, mean + half
