"""Intervals and paired tests of one model's scores with all others: one pass over the others.

The standard error of a single score is that of its difference from a score that is known: the
contributions of structures and edges, see `significance.paired`. So an interval costs what one pair
costs, and no further runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.precision.score_influences import Pair, score_influences
from jaxalign.metrics.registry import metric_definition
from jaxalign.significance.p_values import ALPHA, false_discovery
from jaxalign.significance.paired import Influence, holm, influence_test
from jaxalign.types import Labels

COLUMNS = (
    *("metric", "k", "other", "nearest", "value", "ci_low", "ci_high"),
    *("difference", "difference_low", "difference_high", "p", "p_holm", "q", "reason"),
)
_AT_ONCE = 8  # contributions of so many pairs are held


def row_intervals(
    result: Alignment,
    metric: str,
    name: str,
    others: Sequence[str],
    *,
    among: Sequence[str] = (),
    groups: Labels | None = None,
    confidence: float = 1 - ALPHA,
) -> pd.DataFrame:
    """One model's scores with others, sorted, each beside that of its nearest model.

    Args:
      result: scores with neighbor graphs and embeddings, as `align` returns them.
      metric: one of its metrics, of pairs; directed ones read model → others. Of several k the
        first counts.
      name: the model.
      others: models it is compared with.
      among: those of them that count as its nearest one, such as encoders without controls; () for
        all, also where none of these has a score.
      groups: one label a structure: structures of one group are dependent.
      confidence: probability that an interval covers.

    Returns:
      One row a model that has a score, best first: `ci_low` and `ci_high` of the score;
      `difference` of the nearest model's score from this one, with interval and two-sided `p`,
      adjusted over all rows for any false finding (`p_holm`) and for their share (`q`). Numbers are
      NaN where the metric has no contributions of structures, and `reason` says so.

    Raises:
      ValueError: the metric was not computed.
      ResultError: graphs or embeddings are not at hand.
    """
    matrix = result.matrix(metric)
    scores = {other: float(matrix.sel(model_a=name, model_b=other)) for other in others}
    sign = 1 if metric_definition(metric).is_similarity else -1
    known = [other for other in others if math.isfinite(scores[other])]
    ranked = sorted(known, key=lambda other: -sign * scores[other])
    best = next((other for other in ranked if other in among), ranked[0] if ranked else "")
    k = matrix.attrs.get("k")
    tested, reason = {}, f"{metric} has no contributions of structures: resample for intervals"
    try:
        for other, *found in _influences(result, metric, (name, best), ranked, k):
            tested[other] = _columns(metric, scores, best, other, *found, groups, confidence)
    except ValueError as error:  # too few independent structures
        reason = str(error)
    rows = [
        {"metric": metric, "k": k, "other": other, "value": scores[other]}
        | {"nearest": other == best, "difference": scores[best] - scores[other]}
        | tested.get(other, {"reason": reason})
        for other in ranked
    ]
    types = dict.fromkeys(COLUMNS[4:-1], np.float64) | {"k": "Int64"}
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS)).astype(types)
    p = table["p"].to_numpy(np.float64)
    table["p_holm"], table["q"] = holm(p), false_discovery(p)
    return table


def _influences(
    result: Alignment, metric: str, best: Pair, ranked: Sequence[str], k: int | None
) -> Iterator[tuple[str, Influence, Influence]]:
    """Model, contributions to its score, and those to the nearest one's; nothing without any."""
    for start in range(0, len(ranked), _AT_ONCE):
        pairs = [(best[0], other) for other in ranked[start : start + _AT_ONCE]]
        found = score_influences(result, metric, list(dict.fromkeys([best, *pairs])), k)
        if found is None:
            return
        for pair in pairs:
            yield pair[1], found[pair], found[best]


def _columns(
    metric: str,
    scores: dict[str, float],
    best: str,
    other: str,
    own: Influence,
    of_best: Influence,
    groups: Labels | None,
    confidence: float,
) -> dict[str, Any]:
    settings = {"groups": groups, "confidence": confidence}
    alone = influence_test(scores[other], own, _nothing(len(own.structures)), **settings)
    definition = metric_definition(metric)
    ends = np.clip([alone.low, alone.high], definition.low, definition.high)
    columns = {"ci_low": ends[0], "ci_high": ends[1], "reason": ""}
    if other == best:
        return columns
    apart = influence_test(scores[best] - scores[other], of_best, own, **settings)
    return columns | {
        "difference_low": apart.low,
        "difference_high": apart.high,
        "p": apart.p,
    }


def _nothing(n: int) -> Influence:
    """Contributions to a number that does not depend on the structures."""
    none = np.zeros(0, np.int64)
    return Influence(np.zeros(n), none, none, np.zeros(0))
