"""Probes: small regressors on frozen embeddings, with standardized columns.

    linear: min ‖y − b − Xw‖²        ridge: min ‖y − b − Xw‖² + α‖w‖²
    knn: ŷ = Σ_j y_j/d_j / Σ_j 1/d_j over the k nearest training rows, d Euclidean

Predictions are clipped to the range of the training labels: without this a ridge fit of 1,600
molecules predicted a single one of 400 so far off that the mean error doubled. (Clipping columns
instead would double the errors of wide embeddings, which test rows leave in some column.)

α and k are chosen within the training rows: α by leave-one-out errors, or by folds of whole groups
where groups are shared; k by three folds.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from jaxalign.learning.selection.extra import require_sklearn

PROBES = ("linear", "ridge", "knn")
ALPHAS = tuple(10.0**power for power in range(-4, 7))
NEIGHBORS = (1, 2, 4, 8, 16)
_INNER_FOLDS = 3


@dataclasses.dataclass(frozen=True)
class ProbeErrors:
    """Errors of predictions.

    Attributes:
      error: mean absolute error over `deviation`: 1 is no better than the mean of the labels.
        Few structures far outside decide root-mean-square errors of linear probes, and much less
        these.
      mae: mean absolute error, in the unit of the label.
      rmse: root-mean-square error, likewise.
      r2: coefficient of determination.
      deviation: mean absolute deviation of the labels from their mean.
      n: predictions.
    """

    error: float
    mae: float
    rmse: float
    r2: float
    deviation: float
    n: int

    @classmethod
    def of(
        cls, labels: Float64[np.ndarray, " n"], predicted: Float64[np.ndarray, " n"]
    ) -> ProbeErrors:
        """Errors of predicted labels, which vary."""
        wrong = labels - predicted
        mae, deviation = (np.mean(np.abs(v)) for v in (wrong, labels - np.mean(labels)))
        return cls(
            error=float(mae / deviation),
            mae=float(mae),
            rmse=float(np.sqrt(np.mean(wrong**2))),
            r2=float(1 - np.mean(wrong**2) / np.var(labels)),
            deviation=float(deviation),
            n=len(labels),
        )


def folds(
    groups: Int64[np.ndarray, " n"], count: int, *, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds of cross-validation; groups that are shared stay whole.

    Args:
      groups: number of each row's group.
      count: folds.
      seed: of the shuffle, where no group is shared.

    Returns:
      Training and test rows of every fold.
    """
    selection = require_sklearn("model_selection")
    rows = np.arange(len(groups))
    if not shared(groups):
        return list(selection.KFold(count, shuffle=True, random_state=seed).split(rows))
    return list(selection.GroupKFold(count).split(rows, groups=groups))


def shared(groups: Int64[np.ndarray, " n"]) -> bool:
    """Whether two rows are of one group."""
    return len(np.unique(groups)) < len(groups)


def predict(
    probe: str,
    x: Float64[np.ndarray, "train d"],
    y: Float64[np.ndarray, " train"],
    new: Float64[np.ndarray, "test d"],
    groups: Int64[np.ndarray, " train"],
) -> Float64[np.ndarray, " test"]:
    """Fits a probe with its inner cross-validation and predicts new rows.

    Args:
      probe: one of `PROBES`.
      x: embeddings of the training rows.
      y: their labels.
      new: embeddings to predict from.
      groups: of the training rows.

    Returns:
      Predicted labels, within the range of `y`.

    Raises:
      ValueError: an unknown probe.
      MissingExtraError: scikit-learn is not installed.
    """
    # The scale of labels would decide which α are tried.
    center, scale = float(np.mean(y)), float(np.std(y)) or 1.0
    fitted = _estimator(probe, groups).fit(x, (y - center) / scale)
    predicted = center + scale * np.asarray(fitted.predict(new), np.float64)
    return np.clip(predicted, y.min(), y.max())


def _estimator(probe: str, groups: np.ndarray) -> Any:
    linear, pipeline = require_sklearn("linear_model"), require_sklearn("pipeline")
    scaler = require_sklearn("preprocessing").StandardScaler()
    if probe == "linear":
        return pipeline.make_pipeline(scaler, linear.LinearRegression())
    if probe == "ridge":
        inner = folds(groups, _INNER_FOLDS) if shared(groups) else None
        return pipeline.make_pipeline(scaler, linear.RidgeCV(ALPHAS, cv=inner))
    if probe == "knn":
        return _neighbor_search(pipeline, scaler, folds(groups, _INNER_FOLDS))
    raise ValueError(f"unknown probe {probe!r}: choose one of {PROBES}")


def _neighbor_search(pipeline: Any, scaler: Any, inner: list) -> Any:
    nearest = require_sklearn("neighbors").KNeighborsRegressor(weights="distance")
    fewest = min(len(train) for train, _ in inner)
    return require_sklearn("model_selection").GridSearchCV(
        pipeline.make_pipeline(scaler, nearest),
        {"kneighborsregressor__n_neighbors": [k for k in NEIGHBORS if k <= fewest]},
        scoring="neg_mean_squared_error",
        cv=inner,
    )
