"""A single pair of arrays through the same statistics and terms of features as the engine's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxalign.embeddings.sources import model_rows
from jaxalign.metrics._checks import check_pair
from jaxalign.metrics._definition import FeatureMetric
from jaxalign.pairwise.diagnostics import row_diagnostics
from jaxalign.types import Score


def feature_score(
    metric: FeatureMetric,
    x,
    y,
    *,
    normalize: str | None,
    seed: int = 0,
    describe: Callable[[Any], dict] = lambda _: {},
) -> Score:
    """Score of one pair of arrays; checks first, then the path that the engine takes too.

    Args:
      metric: definition of the metric.
      x: `[n, dx]` embeddings.
      y: `[n, dy]` embeddings.
      normalize: row normalization; None means the metric's default.
      seed: of the metric's random choices.
      describe: statistics → what they tell about one side.

    Returns:
      Score with diagnostics.

    Raises:
      ValueError: see `check_pair`.
    """
    x, y = check_pair(metric, x, y)
    normalize = normalize or metric.default_normalize
    statistics, sides = [], {}
    for name, side in (("x", x), ("y", y)):
        rows = model_rows(side, normalize).load()
        statistics.append(metric.statistics(rows, seed))
        sides[name] = row_diagnostics(rows) | {"dtype": str(side.dtype)}
        sides[name] |= describe(statistics[-1])
    cross = metric.cross(*statistics) if metric.cross else None
    value, reason = metric.term(*statistics, cross)
    warning = "" if reason or metric.warning is None else metric.warning(*statistics)
    diagnostics = {
        "n": len(x),
        "normalization": normalize,
        "variant": metric.variant,
        "precision": "float64",
        **sides,
    }
    diagnostics |= {"reason": reason} if reason else {}
    diagnostics |= {"warning": warning} if warning else {}
    return Score(value, metric.id, diagnostics)
