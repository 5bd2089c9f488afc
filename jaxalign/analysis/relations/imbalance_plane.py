"""The information-imbalance plane: which of two models knows the neighborhoods of the other.

Every pair of models is a point, Δ(a → b) against Δ(b → a). Both are small where the models know the
same, both near 1 where they are independent; where one is much smaller than the other, its source
contains what the other knows and more. The plane is parted by conventions, not tests:

    equivalent      max(Δ(a → b), Δ(b → a)) ≤ near,
    independent     min(Δ(a → b), Δ(b → a)) ≥ far,
    a contains b    ratio · Δ(a → b) ≤ Δ(b → a),   b contains a likewise,
    in part         all others: each knows a part of the other.

References:
  Glielmo, Zeni, Cheng, Csányi, Laio: PNAS Nexus 1, pgac039 (2022), Fig. 1.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import xarray as xr

from jaxalign.analysis.relations.labeled_scores import read_scores

NEAR, FAR, RATIO = 0.1, 0.9, 2.0
"""Where the regions end."""

EQUIVALENT, INDEPENDENT, PARTLY = "equivalent", "independent", "in part"
FIRST, SECOND = "a contains b", "b contains a"
REGIONS = (EQUIVALENT, FIRST, SECOND, PARTLY, INDEPENDENT)


def region(
    forward: float, backward: float, *, near: float = NEAR, far: float = FAR, ratio: float = RATIO
) -> str:
    """The region of one pair; "" if a direction is NaN.

    Args:
      forward: Δ(a → b).
      backward: Δ(b → a).
      near: largest imbalance of equivalent models.
      far: least imbalance of independent ones.
      ratio: how many times the smaller imbalance fits into the larger one where a model contains
        the other.

    Returns:
      One of `REGIONS`.

    Raises:
      ValueError: bounds that do not part the plane.
    """
    if not (0 <= near < far and ratio > 1):
        raise ValueError(f"regions need 0 <= near < far and ratio > 1: got {near}, {far}, {ratio}")
    if math.isnan(forward) or math.isnan(backward):
        return ""
    if max(forward, backward) <= near:
        return EQUIVALENT
    if min(forward, backward) >= far:
        return INDEPENDENT
    if ratio * forward <= backward:
        return FIRST
    return SECOND if ratio * backward <= forward else PARTLY


def imbalance_plane(
    scores: xr.DataArray, *, near: float = NEAR, far: float = FAR, ratio: float = RATIO
) -> pd.DataFrame:
    """Every pair of models on the plane.

    Args:
      scores: `[model_a, model_b]` information imbalance Δ(a → b).
      near: see `region`.
      far: see `region`.
      ratio: see `region`.

    Returns:
      One row a pair with both directions: `model_a` (the earlier one), `model_b`, `forward`
      Δ(a → b), `backward` Δ(b → a), `region`.

    Raises:
      ValueError: scores that are no matrix over one set of models, or bounds that part nothing.
    """
    names, values = read_scores(scores)
    rows = []
    for i, a in enumerate(names):
        for j in range(i + 1, len(names)):
            forward, backward = float(values[i, j]), float(values[j, i])
            found = region(forward, backward, near=near, far=far, ratio=ratio)
            if found:
                rows.append((a, names[j], forward, backward, found))
    return pd.DataFrame(rows, columns=["model_a", "model_b", "forward", "backward", "region"])


def imbalance_means(scores: xr.DataArray) -> pd.DataFrame:
    """How much every model tells of the others, and the others of it.

    Args:
      scores: `[model_a, model_b]` information imbalance Δ(a → b).

    Returns:
      One row a model with pairs, in order: `model`, `tells` (mean Δ from it to the others: small
      where it knows their neighborhoods), `told` (mean Δ from the others to it), `others` (models
      with both directions).
    """
    names, values = read_scores(scores)
    np.fill_diagonal(values, np.nan)
    both = np.isfinite(values) & np.isfinite(values.T)
    rows = []
    for i, name in enumerate(names):
        if both[i].any():
            tells, told = values[i, both[i]].mean(), values[both[i], i].mean()
            rows.append((name, float(tells), float(told), int(both[i].sum())))
    return pd.DataFrame(rows, columns=["model", "tells", "told", "others"])
