"""CKNNA over random halves of the structures: errors of trees of models and of best pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxalign.alignment import engine
from jaxalign.alignment.confidence import interval_columns, interval_settings
from jaxalign.alignment.start import start_run
from jaxalign.analysis.claims.intervals import CONFIDENCE
from jaxalign.analysis.claims.replicates import FACT, METRIC, replicate_facts


def check_halves(halves: int) -> int:
    """Returns a number of halves if it makes sense.

    Raises:
      ValueError: if it is not 0, and odd or below 4.
    """
    if halves:
        interval_settings(CONFIDENCE, replicates=halves)
    return halves


def half_facts(
    embeddings: Mapping[str, Any], common: Mapping[str, Any], *, halves: int
) -> dict[str, Any]:
    """The fact `replicates` of a run: CKNNA of all pairs at its first k, over every half.

    Random splits of the structures into disjoint halves (of whole groups), as those of intervals.
    This one metric takes a small part of the time of intervals of all scores.

    Args:
      embeddings: model → embeddings.
      common: arguments of `align`; its workdir keeps the scores.
      halves: how many, an even number of at least 4; 0 for none.

    Returns:
      The fact by its name; nothing without halves or CKNNA.

    Raises:
      ValueError: a number of halves that makes no sense, or too few structures for k.
    """
    if not check_halves(halves) or METRIC not in common["metrics"]:
        return {}
    settings = interval_settings(CONFIDENCE, replicates=halves)
    k = common["k"].get(METRIC) if isinstance(common["k"], Mapping) else common["k"]
    first = k if k is None or isinstance(k, int) else k[0]
    own = {"metrics": (METRIC,), "k": first, "progress": False}
    state, plans = start_run(embeddings, **{**common, **own})
    found = interval_columns(state, plans, engine.run(state, plans), settings)
    facts = replicate_facts(
        found.replicates,
        metric=METRIC,
        k=plans[0].k,
        models=[model.name for model in state.inputs.models],
        taken=float(np.mean(found.facts["rows"])),
    )
    return {FACT: facts}
