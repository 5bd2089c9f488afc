"""All metrics by id."""

from __future__ import annotations

import difflib

from jaxalign.metrics._cknna import CKNNA, CKNNA_PLATONIC
from jaxalign.metrics._definition import GraphMetric
from jaxalign.metrics._mutual_knn import MUTUAL_KNN

METRICS: dict[str, GraphMetric] = {m.id: m for m in (MUTUAL_KNN, CKNNA, CKNNA_PLATONIC)}


def metric_definition(name: str) -> GraphMetric:
    """Definition of a metric.

    Args:
      name: metric id, e.g. `"cknna"`.

    Raises:
      ValueError: unknown id; close matches and all ids are named.
    """
    if name not in METRICS:
        close = difflib.get_close_matches(name, METRICS, n=1, cutoff=0.7)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown metric {name!r}{hint}; available: {', '.join(METRICS)}")
    return METRICS[name]
