"""Checks of one pair of arrays, shared by the public functions of all families."""

from __future__ import annotations

import numpy as np

from jaxalign.metrics._definition import Metric
from jaxalign.validation import check_finite, check_k, check_matrix


def check_pair(metric: Metric, x, y, *, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Two finite `[n, d]` arrays of equal length, and a k that the metric is defined for.

    Raises:
      ValueError: what came, what was wanted, how to mend it.
    """
    x, y = check_matrix(x, name="x"), check_matrix(y, name="y")
    if len(x) != len(y):
        raise ValueError(
            f"x and y must embed the same structures: got {len(x)} and {len(y)} rows; "
            "pass arrays of equal length, or Embeddings with ids to align()"
        )
    check_n(metric, len(x))
    if metric.default_k is not None:
        check_k(k, len(x), least=metric.least_k)
    check_finite(x, name="x")
    check_finite(y, name="y")
    return x, y


def check_n(metric: Metric, n: int) -> None:
    """The metric is defined for n structures.

    Raises:
      ValueError: naming the least n.
    """
    if n < metric.least_n:
        raise ValueError(f"{metric.id} needs at least {metric.least_n} structures: got n={n}")
