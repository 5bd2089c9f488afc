"""Estimators of intrinsic dimension from sorted neighbor distances: pure functions, float64.

They rest on one model: the volumes of the balls that reach to a row's successive neighbors grow by
independent exponential steps, so ratios of distances tell the dimension and nothing of the density.
Errors treat rows as independent. Neighboring rows share distances: on uniform data the true spread
of the estimates was found to be up to a third larger.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from scipy.special import exprel

from jaxalign.metrics._definition import ModelEstimate

KEPT = 0.9  # share of the smallest ratios that the regression reads
_LEAST_ROWS = 2


def twonn(distances: Float64[np.ndarray, "n k"], *, fit: str = "ml") -> ModelEstimate:
    """Two nearest neighbors: with μ = r₂/r₁, P(μ > t) = t^−d.

    * `"ml"`: d = (N − 1)/Σ ln μ, unbiased under the model; standard error d/√(N − 2).
    * `"regression"`: slope through the origin of −ln(1 − F) on ln μ, F_i = i/N over sorted μ, of
      the ⌊0.9·N⌋ smallest; error by the delta method for exponential order statistics.

    Args:
      distances: ascending neighbor distances; columns beyond the second are not read.
      fit: `"ml"` or `"regression"`.

    Returns:
      Estimate; details count rows used, left out (r₁ = 0: duplicates) and tied (r₂ = r₁).
    """
    logs, details = _log_ratios(distances[:, 0], distances[:, 1])
    details["fit"] = fit
    if reason := _unusable(logs):
        return ModelEstimate(math.nan, reason=reason, details=details)
    n = len(logs)
    if fit == "ml":
        value = (n - 1) / float(logs.sum())
        error = value / math.sqrt(n - 2) if n > 2 else math.nan
        return _estimate(value, error, details)
    kept = max(int(n * KEPT), 1)
    expected = -np.log1p(-np.arange(1, kept + 1) / n)
    smallest = np.sort(logs)[:kept]
    # One scale for all logs, so that their squares stay within range.
    unit = smallest[-1]
    if unit == 0:
        reason = (
            f"the {kept} smallest of {n} ratios r2/r1 are all 1: most neighbors are equidistant"
        )
        return ModelEstimate(math.nan, reason=reason, details=details)
    smallest = smallest / unit
    value = float(smallest @ expected / (smallest @ smallest) / unit)
    return _estimate(value, value * _slope_error(expected, n), details | {"rows_fitted": kept})


def levina_bickel(
    distances: Float64[np.ndarray, "n k"], *, combine: str = "harmonic"
) -> ModelEstimate:
    """Maximum likelihood over k neighbors: 1/d_i = 1/(k − 1) Σ_{j<k} ln(T_k/T_j).

    * `"harmonic"`: d = 1/mean(1/d_i), the maximum of the joint likelihood.
    * `"mean"`: d = mean(d_i); larger by about (k − 1)/(k − 2).

    Args:
      distances: ascending neighbor distances; every column is read, k is their number.
      combine: `"harmonic"` or `"mean"`.

    Returns:
      Estimate with the standard error of the mean over rows; details count rows used, left out
      (T_1 = 0: duplicates) and tied (T_k = T_1).
    """
    k = distances.shape[1]
    usable = _usable(distances[:, 0], distances[:, -1])
    kept = distances[usable]
    inverse = (np.log(kept[:, -1:]) - np.log(kept[:, :-1])).sum(1) / (k - 1)
    details = _counts(usable, inverse) | {"k": k, "combine": combine}
    if reason := _unusable(inverse):
        return ModelEstimate(math.nan, reason=reason, details=details)
    root = math.sqrt(len(inverse))
    if combine == "harmonic":
        value = 1 / float(inverse.mean())
        return _estimate(value, value * value * float(inverse.std(ddof=1)) / root, details)
    if details["rows_tied"]:
        reason = (
            f"{details['rows_tied']} structures have all {k} neighbors at one distance, so their "
            'own estimate is infinite; combine="harmonic" includes them'
        )
        return ModelEstimate(math.nan, reason=reason, details=details)
    return _estimate(float((1 / inverse).mean()), float((1 / inverse).std(ddof=1)) / root, details)


def gride_scale(distances: Float64[np.ndarray, "n k"], n1: int) -> ModelEstimate:
    """One scale of GRIDE: with μ = r_{2n}/r_n, μ^−d follows the Beta(n, n) distribution.

    d solves (N − 1)/d = Σ ln μ · [(2n − 1) − (n − 1)/(1 − μ^−d)]; standard error from the observed
    information N/d² + (n − 1) Σ ln²μ · μ^d/(μ^d − 1)². At n = 1 it is the ML fit of TwoNN.

    Args:
      distances: ascending neighbor distances, 2n columns or more.
      n1: n, the order of the nearer neighbor.

    Returns:
      Estimate; details hold n1, n2 = 2n, the mean distance r_{2n} and the counts of rows.
    """
    near, far = distances[:, n1 - 1], distances[:, 2 * n1 - 1]
    logs, counts = _log_ratios(near, far)
    scale = float(far[_usable(near, far)].mean()) if len(logs) else math.nan
    details = {"n1": n1, "n2": 2 * n1, "mean_distance": scale} | counts
    if reason := _unusable(logs):
        return ModelEstimate(math.nan, reason=reason, details=details)
    value = _gride_root(logs, n1)
    t = value * logs
    # μ^d/(μ^d − 1)² · t² = e^−t/exprel(−t)²: no singularity at a tie, t = 0.
    information = len(logs) + (n1 - 1) * float((np.exp(-t) / exprel(-t) ** 2).sum())
    return _estimate(value, value / math.sqrt(information), details)


def gride(distances: Float64[np.ndarray, "n k"]) -> ModelEstimate:
    """The scale curve of GRIDE at n = 1, 2, 4, … while 2n <= k; its value is the one at n = 1.

    The finest scale has the least curvature and density bias, and its value does not depend on how
    many neighbors the caller has. It is also the most easily disturbed by noise: where the curve
    falls from n = 1 to a plateau, the plateau is the dimension.

    Args:
      distances: ascending neighbor distances; k >= 2.

    Returns:
      Estimate; `details["curve"]` holds one dictionary a scale: n1, n2, value, error, reason,
      mean_distance (mean r_{2n}), rows_used, rows_excluded, rows_tied.
    """
    scales = [2**power for power in range(distances.shape[1].bit_length() - 1)]
    estimates = [gride_scale(distances, n1) for n1 in scales]
    curve = [
        {"value": e.value, "error": e.error, "reason": e.reason} | e.details for e in estimates
    ]
    finest = estimates[0]
    counts = {key: value for key, value in finest.details.items() if key.startswith("rows_")}
    return ModelEstimate(
        finest.value, finest.error, finest.reason, counts | {"n1": 1, "n2": 2, "curve": curve}
    )


def _gride_root(logs: Float64[np.ndarray, " n"], n1: int) -> float:
    """The score falls strictly in d; 1 <= t/(1 − e^−t) <= 1 + t brackets its root within 2."""
    from scipy.optimize import brentq  # slow to import: only where it is used

    n, total = len(logs), float(logs.sum())
    if n1 == 1:
        return (n - 1) / total
    low = (n - 1 + (n1 - 1) * n) / ((2 * n1 - 1) * total)
    high = (n - 1 + (n1 - 1) * n) / (n1 * total)

    def score(factor: float) -> float:
        t = factor * low * logs
        return n - 1 - (2 * n1 - 1) * float(t.sum()) + (n1 - 1) * float((1 / exprel(-t)).sum())

    # In units of `low`, free of the scale of d; widened by more than the bracket's own rounding.
    return low * brentq(score, 1 - 1e-9, high / low * (1 + 1e-9), xtol=1e-15, rtol=1e-15)


def _slope_error(expected: Float64[np.ndarray, " m"], n: int) -> float:
    """Relative standard error of the slope, for order statistics of n exponential variables.

    The i-th is Σ_{j<=i} Z_j/(n − j + 1) with independent Z_j of unit variance; the derivative of
    ln(slope) by the i-th, at the expected values e, is −e_i/Σe².
    """
    reach = np.cumsum(expected[::-1])[::-1] / (n - np.arange(len(expected)))
    return float(np.sqrt((reach * reach).sum()) / (expected @ expected))


def _usable(
    near: Float64[np.ndarray, " n"], far: Float64[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Rows whose ratio is defined: a zero distance is a duplicate, an infinite one overflow."""
    return (near > 0) & np.isfinite(far)


def _log_ratios(
    near: Float64[np.ndarray, " n"], far: Float64[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, " m"], dict[str, Any]]:
    usable = _usable(near, far)
    logs = np.log(far[usable]) - np.log(near[usable])
    return logs, _counts(usable, logs)


def _counts(usable: Bool[np.ndarray, " n"], logs: Float64[np.ndarray, " m"]) -> dict[str, Any]:
    return {
        "rows_used": int(usable.sum()),
        "rows_excluded": int((~usable).sum()),
        "rows_tied": int((logs == 0).sum()),
    }


def _unusable(logs: Float64[np.ndarray, " m"]) -> str:
    """Why there is no estimate; "" if there is one."""
    if len(logs) < _LEAST_ROWS:
        return (
            f"{len(logs)} structures have distinct neighbors, {_LEAST_ROWS} are needed: the others "
            "have a duplicate (distance 0)"
        )
    if not logs.any():
        return "every structure has its neighbors at one distance: the ratios tell no dimension"
    return ""


def _estimate(value: float, error: float, details: dict[str, Any]) -> ModelEstimate:
    if math.isfinite(value):
        return ModelEstimate(value, error, details=details)
    reason = "the neighbors of every structure are as good as equidistant: the estimate overflows"
    return ModelEstimate(math.nan, reason=reason, details=details)
