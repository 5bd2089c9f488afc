"""The ladder of intrinsic dimensions: how many coordinates each model's embeddings need.

An estimate is of a scale, the number of neighbors that it reaches to: 2 for TwoNN, k for maximum
likelihood, 2n for each step of GRIDE. Over scales a model's estimates are a curve: flat where the
dimension is well defined, falling where noise fills the finest scale, and lower at large scales
where curvature and the edges of the data count.

References:
  Facco, d'Errico, Rodriguez, Laio: Sci. Rep. 7, 12140 (2017); Denti, Doimo, Laio, Mira: Sci. Rep.
  12, 20005 (2022), GRIDE; Levina, Bickel: NIPS 17 (2004).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

METHODS = ("id:twonn", "id:mle", "id:gride")
COLUMNS = ("model", "method", "scale", "value", "error", "low", "high", "interval", "reason")
_NUMBERS = ("scale", "value", "error", "low", "high")
_FINEST = 2  # neighbors that GRIDE reaches to at n = 1, of which its value is
_NORMAL = 1.959963984540054  # 95 % of a normal distribution


def dimension_ladder(
    table: pd.DataFrame, estimates: Mapping[str, Mapping[str, Any]] | None = None
) -> pd.DataFrame:
    """All estimates of a run, one row a model, method and scale.

    Args:
      table: of an alignment; metrics of `METHODS` for as many k as were asked for.
      estimates: `diagnostics["estimates"]`: standard errors, and the curves of GRIDE.

    Returns:
      `model`, `method`, `scale` (neighbors that are reached), `value`, `error` (standard error of
      the estimator, rows taken as independent; NaN if none is at hand), `low` and `high` (95 %),
      `interval` (`"resampled"` where the run computed intervals, `"estimator"` for ± 1.96 standard
      errors, "" for none), `reason` (why there is no value). In the order of the table; empty
      without such metrics.
    """
    rows = []
    known = table[table["metric"].isin(METHODS)]
    for entry in known.to_dict("records"):
        method, model = str(entry["metric"]), str(entry["model_a"])
        details = (estimates or {}).get(method, {}).get(model) or {}
        rows += _scales(entry, method, model, details)
    found = pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(_NUMBERS, np.float64))
    return found.drop_duplicates(["model", "method", "scale"], keep="first", ignore_index=True)


def ladder_order(ladder: pd.DataFrame) -> list[str]:
    """Models by their dimension, largest first; those without a value last.

    The method with most values decides, of equals the first of `METHODS`, at its finest scale.

    Args:
      ladder: as of `dimension_ladder`.
    """
    models = list(dict.fromkeys(ladder["model"]))
    counts = ladder[np.isfinite(ladder["value"])].groupby("method")["model"].nunique()
    if counts.empty:
        return models
    method = max(METHODS, key=lambda name: counts.get(name, 0))
    finest = finest_values(ladder, method)
    return sorted(models, key=lambda name: -finest.get(name, -math.inf))


def finest_values(ladder: pd.DataFrame, method: str) -> dict[str, float]:
    """Value of every model by one method at its finest scale; models without one are left out."""
    known = ladder[(ladder["method"] == method) & np.isfinite(ladder["value"])]
    first = known.sort_values("scale", kind="stable").drop_duplicates("model")
    return dict(zip(first["model"], first["value"].astype(float), strict=True))


def _scales(
    entry: Mapping[str, Any], method: str, model: str, details: Mapping[str, Any]
) -> Iterable[tuple]:
    """The rows of one entry of the table: one, or the curve of GRIDE."""
    k = _number(entry.get("k"))
    ends = tuple(_number(entry.get(name)) for name in ("ci_low", "ci_high"))
    value, reason = _number(entry["value"]), str(entry.get("reason") or "")
    if method == "id:gride":
        yield _row(model, method, _FINEST, value, _number(details.get("error")), ends, reason)
        for step in details.get("curve") or ():
            if step["n2"] > _FINEST:
                told = (_number(step["value"]), _number(step["error"]))
                why = str(step.get("reason") or "")
                yield _row(model, method, step["n2"], *told, (math.nan, math.nan), why)
        return
    # Details are kept for one k: an error of another scale is none of this one.
    same = method == "id:twonn" or _number(details.get("k")) == k
    error = _number(details.get("error")) if same else math.nan
    scale = _FINEST if method == "id:twonn" else k
    yield _row(model, method, scale, value, error, ends, reason)


def _row(model, method, scale, value, error, ends, reason) -> tuple:
    low, high = ends
    kind = "resampled" if math.isfinite(low) and math.isfinite(high) else ""
    if not kind and math.isfinite(value) and math.isfinite(error):
        low, high, kind = max(value - _NORMAL * error, 0.0), value + _NORMAL * error, "estimator"
    return (model, method, float(scale), value, error, low, high, kind, reason)


def _number(value: Any) -> float:
    """A float; NaN for nothing."""
    return math.nan if value is None or value is pd.NA else float(value)
