"""Alignment of every checkpoint of trained networks to models that stay as they are.

A run is one network trained once; its checkpoints are models of an alignment like all others. Each
is compared with several references:

* `"other architectures"`: the last checkpoints of all runs of other architectures, each
  architecture with the same weight;
* `"other seeds"`: the last checkpoints of the same network trained from other seeds;
* whatever else is named, e.g. `"pretrained"`: families of models, each family with the same weight.

The alignment to a reference is the weighted mean Σ_j w_j s_ij of scores, of which pairs without a
score are left out. No checkpoint is ever compared with its own run.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float64
from scipy.special import stdtrit

from jaxalign.alignment.results import Alignment
from jaxalign.significance.intervals import subset_errors

OTHER_ARCHITECTURES = "other architectures"
OTHER_SEEDS = "other seeds"
CONFIDENCE = 0.95
_ABOUT = ("run", "architecture", "width", "depth", "parameters", "seed", "step", "last", "error_ev")
_NUMBERS = ("value", "calibrated", "low", "high")
COLUMNS = ("model", *_ABOUT, "reference", "metric", *_NUMBERS)

Families = Mapping[str, Sequence[str]]  # family → models


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as a model of an alignment.

    Attributes:
      model: its label, e.g. `"invariant-32x2-s0@1000"`.
      run: what it is a checkpoint of, e.g. `"invariant-32x2-s0"`.
      architecture: e.g. `"invariant"`.
      width: of the network.
      depth: number of blocks.
      parameters: number of parameters.
      seed: of parameters and minibatches.
      step: updates made.
      last: whether it is the one that training ended with.
      error_ev: mean absolute error on validation data, in eV.
    """

    model: str
    run: str
    architecture: str
    width: int
    depth: int
    parameters: int
    seed: int
    step: int
    last: bool
    error_ev: float


@dataclasses.dataclass(frozen=True, eq=False)
class Halves:
    """Scores over random halves of the structures.

    Attributes:
      matrices: one a half, `[model_a, model_b]`; 2i and 2i + 1 are over disjoint ones.
      taken: structures in a half.
    """

    matrices: Sequence[xr.DataArray]
    taken: float


def trajectories(
    alignment: Alignment,
    checkpoints: Sequence[Checkpoint],
    references: Mapping[str, Families],
    *,
    metrics: Sequence[str] = ("cknna",),
    halves: Halves | None = None,
) -> pd.DataFrame:
    """Alignment to every reference, and intrinsic dimension, of every checkpoint.

    Args:
      alignment: holds all checkpoints and the models of the references.
      checkpoints: which of its models are checkpoints, and of what.
      references: name → families of models that are none of the checkpoints.
      metrics: symmetric similarities; of several k the first.
      halves: of the first metric, for intervals over structures.

    Returns:
      One row a checkpoint, reference and metric: the columns `COLUMNS`. `value` is the mean raw
      score; `calibrated` that of calibrated scores; `low` and `high` its 95 % interval for the
      choice of structures, NaN without halves. Intrinsic dimensions, as far as the alignment has
      any, are rows without a reference, in `value`.

    Raises:
      ValueError: a checkpoint or a model of a reference is not in the alignment.
    """
    names = list(alignment.models)
    _require_known([c.model for c in checkpoints], names)
    for families in references.values():
        _require_known([model for members in families.values() for model in members], names)
    weights = {
        OTHER_ARCHITECTURES: _weights(checkpoints, names, _other_architectures),
        OTHER_SEEDS: _weights(checkpoints, names, _other_seeds),
    }
    weights |= {
        name: _weights(checkpoints, names, lambda own, every, f=families: f)
        for name, families in references.items()
    }
    parts = []
    for number, metric in enumerate(metrics):
        chosen = halves if number == 0 else None
        for reference, table in weights.items():
            found = _means(alignment, metric, checkpoints, table, chosen)
            parts += [{**row, "reference": reference, "metric": metric} for row in found]
    parts += _dimensions(alignment, checkpoints)
    return pd.DataFrame(parts, columns=list(COLUMNS))


def last_models(checkpoints: Iterable[Checkpoint]) -> list[str]:
    """Labels of the checkpoints that training ended with."""
    return [c.model for c in checkpoints if c.last]


def _require_known(wanted: Sequence[str], names: Sequence[str]) -> None:
    if missing := sorted(set(wanted) - set(names)):
        raise ValueError(
            f"{len(missing)} models of the trajectories are not in the alignment, e.g. "
            f"{missing[:3]}; align all checkpoints and references together"
        )


def _other_architectures(own: Checkpoint, every: Sequence[Checkpoint]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for other in every:
        if other.last and other.architecture != own.architecture:
            found.setdefault(other.architecture, []).append(other.model)
    return found


def _other_seeds(own: Checkpoint, every: Sequence[Checkpoint]) -> dict[str, list[str]]:
    same = (own.architecture, own.width, own.depth)
    members = [
        other.model
        for other in every
        if other.last
        and (other.architecture, other.width, other.depth) == same
        and other.run != own.run
    ]
    return {"": members} if members else {}


def _weights(checkpoints: Sequence[Checkpoint], names: Sequence[str], choose) -> np.ndarray:
    """`[checkpoints, models]`; rows sum to 1, or are 0 without a reference."""
    place = {name: column for column, name in enumerate(names)}
    table = np.zeros((len(checkpoints), len(names)))
    for row, own in enumerate(checkpoints):
        families = {f: members for f, members in choose(own, checkpoints).items() if members}
        for members in families.values():
            for member in members:
                table[row, place[member]] += 1 / (len(families) * len(members))
    return table


def _means(
    alignment: Alignment,
    metric: str,
    checkpoints: Sequence[Checkpoint],
    weights: Float64[np.ndarray, "checkpoints models"],
    halves: Halves | None,
) -> list[dict[str, Any]]:
    names, models = list(alignment.models), [c.model for c in checkpoints]
    raw = _weighted(alignment.matrix(metric), models, names, weights)
    shown = _weighted(alignment.matrix(metric, column="calibrated"), models, names, weights)
    half = np.full(len(models), np.nan)
    if halves is not None:
        replicates = [_weighted(m, models, names, weights) for m in halves.matrices]
        n = int(alignment.diagnostics["n"])
        # Calibration is linear above the threshold: 1 − calibrated = c (1 − value).
        with np.errstate(divide="ignore", invalid="ignore"):
            half = _half_widths(np.array(replicates), halves.taken, n) * (1 - shown) / (1 - raw)
    rows = zip(checkpoints, raw, shown, half, strict=True)
    return [
        _about(c) | {"value": v, "calibrated": s, "low": s - h, "high": s + h}
        for c, v, s, h in rows
    ]


def _weighted(
    matrix: xr.DataArray,
    models: Sequence[str],
    names: Sequence[str],
    weights: Float64[np.ndarray, "checkpoints models"],
) -> Float64[np.ndarray, " checkpoints"]:
    """Weighted means over the pairs that have a score; NaN without any."""
    values = np.asarray(matrix.sel(model_a=list(models), model_b=list(names)).values, np.float64)
    known = np.where(np.isfinite(values), weights, 0.0)
    total = known.sum(axis=1)
    sums = np.sum(known * np.where(np.isfinite(values), values, 0.0), axis=1)
    return np.where(total > 0, sums / np.where(total > 0, total, 1.0), np.nan)


def _half_widths(
    replicates: Float64[np.ndarray, "halves checkpoints"], taken: float, n: int
) -> Float64[np.ndarray, " checkpoints"]:
    single = np.zeros(replicates.shape[1], bool)  # means over structures, not over their pairs
    errors = subset_errors(replicates, taken=taken, total=n, of_tuples=single)
    return float(stdtrit(len(replicates) // 2, (1 + CONFIDENCE) / 2)) * errors


def _dimensions(alignment: Alignment, checkpoints: Sequence[Checkpoint]) -> list[dict[str, Any]]:
    rows = []
    for metric in alignment.metrics:
        if not alignment.metadata(metric)["of_single_models"]:
            continue
        values = alignment.matrix(metric)
        for checkpoint in checkpoints:
            value = float(values.sel(model_a=checkpoint.model, model_b=checkpoint.model))
            found = {"reference": "", "metric": metric} | dict.fromkeys(_NUMBERS, math.nan)
            rows.append(_about(checkpoint) | found | {"value": value})
    return rows


def _about(checkpoint: Checkpoint) -> dict[str, Any]:
    return {name: getattr(checkpoint, name) for name in ("model", *_ABOUT)}
