"""Scores over subsamples of the structures, as a run keeps them for the support of branches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from jaxalign.analysis.relations.labeled_scores import labeled, read_scores


def read_replicates(facts: Mapping[str, Any] | None, scores: xr.DataArray) -> list[xr.DataArray]:
    """The replicates of some scores.

    Args:
      facts: `diagnostics["replicates"]`: `metric`, `k`, `models` and `values`, of each replicate
        the upper triangle with the diagonal, row by row; None for none.
      scores: the scores that were replicated, named after their metric, with their k in `attrs`.

    Returns:
      Matrices over the models of `scores`; none if the facts are of another metric or k, or lack a
      model.
    """
    names = read_scores(scores)[0]
    if not facts or facts["metric"] != scores.name or facts["k"] != scores.attrs.get("k"):
        return []
    known = [str(name) for name in facts["models"]]
    if not set(names) <= set(known):
        return []
    upper, found = np.triu_indices(len(known)), []
    for stored in facts["values"]:
        matrix = np.full((len(known), len(known)), np.nan)
        matrix[upper] = [np.nan if value is None else value for value in stored]
        matrix.T[upper] = matrix[upper]
        whole = labeled(tuple(known), matrix, str(facts["metric"]))
        found.append(whole.sel(model_a=list(names), model_b=list(names)))
    return found
