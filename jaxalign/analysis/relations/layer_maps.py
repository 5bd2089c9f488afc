"""Layer × layer maps: which layers of one model are aligned with which of another.

Layers are rows and columns of an alignment like models, under labels "model@layer". The best pair
of layers is the maximum of many scores and so above the score of any one pair by chance alone: its
significance needs the null of the maximum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float64
from scipy.stats import rankdata

from jaxalign.analysis.relations.labeled_scores import read_scores

SEPARATOR = "@"
_LEAST_LAYERS = 3


def split_label(label: str) -> tuple[str, str]:
    """Model and layer of "model@layer", parted at the last "@"; without one the layer is ""."""
    model, separator, layer = label.rpartition(SEPARATOR)
    return (model, layer) if separator else (label, "")


def layers_of(
    scores: xr.DataArray, orders: Mapping[str, Sequence[str]] | None = None
) -> dict[str, tuple[str, ...]]:
    """Layers of every model.

    Args:
      scores: `[model_a, model_b]` with labels "model@layer".
      orders: model → its layers from input to output, as in its card; layers of other models, and
        those that are not named, come in the order of the labels.

    Returns:
      Model → its layers from input to output.
    """
    found: dict[str, list[str]] = {}
    for label in read_scores(scores)[0]:
        model, layer = split_label(label)
        found.setdefault(model, []).append(layer)
    for model, order in (orders or {}).items():
        place = {layer: number for number, layer in enumerate(order)}
        found.get(model, []).sort(key=lambda layer: place.get(layer, len(place)))
    return {model: tuple(layers) for model, layers in found.items()}


def layer_map(
    scores: xr.DataArray,
    a: str,
    b: str,
    *,
    orders: Mapping[str, Sequence[str]] | None = None,
) -> xr.DataArray:
    """Scores of the layers of one model with those of another, or with its own.

    Args:
      scores: `[model_a, model_b]` with labels "model@layer".
      a: first model, without layer.
      b: second model.
      orders: as of `layers_of`.

    Returns:
      `[layer_a, layer_b]`, from input to output; directed scores read a → b.

    Raises:
      ValueError: a model that has no layer here.
    """
    labels, values = read_scores(scores)
    known = layers_of(scores, orders)
    for model in (a, b):
        if model not in known:
            raise ValueError(f"no layers of {model!r}: choose one of {list(known)}")
    place = {split_label(label): row for row, label in enumerate(labels)}
    rows, columns = ([place[model, layer] for layer in known[model]] for model in (a, b))
    return xr.DataArray(
        values[np.ix_(rows, columns)],
        coords={"layer_a": list(known[a]), "layer_b": list(known[b])},
        dims=("layer_a", "layer_b"),
        name=scores.name,
        attrs={"model_a": a, "model_b": b},
    )


def layer_summary(
    scores: xr.DataArray,
    *,
    orders: Mapping[str, Sequence[str]] | None = None,
    similarity: bool = True,
) -> pd.DataFrame:
    """The best and the last layers of every two models, and whether depths correspond.

    Args:
      scores: `[model_a, model_b]` with labels "model@layer".
      orders: as of `layers_of`.
      similarity: whether larger means more alike.

    Returns:
      One row a pair of different models: `model_a`, `model_b`, `layers_a`, `layers_b`, `best_a`,
      `best_b` (layers of the best score; of equals the first), `best`, `depth_a`, `depth_b` (0
      first, 1 last layer; NaN of a single one), `last` (score of both last layers), `mean`, and
      `correspondence`: the rank correlation of the depth of a layer of a with the depth of its best
      layer in b, averaged over both directions; NaN under three layers, or where one layer is best
      for all.
    """
    names = list(layers_of(scores, orders))
    rows = []
    for number, a in enumerate(names):
        for b in names[number + 1 :]:
            found = layer_map(scores, a, b, orders=orders)
            rows.append({"model_a": a, "model_b": b, **_summary(found, 1 if similarity else -1)})
    columns = ["model_a", "model_b", "layers_a", "layers_b", "best_a", "best_b", "best"]
    columns += ["depth_a", "depth_b", "last", "mean", "correspondence"]
    return pd.DataFrame(rows, columns=columns)


def _summary(found: xr.DataArray, sign: int) -> dict[str, object]:
    values = np.asarray(found.values, np.float64)
    facts: dict[str, object] = {"layers_a": values.shape[0], "layers_b": values.shape[1]}
    facts["last"] = float(values[-1, -1])
    signed = np.where(np.isfinite(values), sign * values, -np.inf)
    if not np.isfinite(signed).any():
        return facts
    best = np.unravel_index(int(np.argmax(signed)), values.shape)
    for side, row, count in zip("ab", best, values.shape, strict=True):
        facts[f"best_{side}"] = str(found[f"layer_{side}"].values[row])
        facts[f"depth_{side}"] = int(row) / (count - 1) if count > 1 else math.nan
    facts |= {"best": float(values[best]), "mean": float(np.nanmean(values))}
    facts["correspondence"] = float(np.mean([_correspondence(s) for s in (signed, signed.T)]))
    return facts


def _correspondence(signed: Float64[np.ndarray, "layers others"]) -> float:
    """Spearman correlation of depths with those of the best layers on the other side."""
    known = np.isfinite(signed).any(axis=1)
    best = signed[known].argmax(axis=1)
    if len(best) < _LEAST_LAYERS or np.ptp(best) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(np.flatnonzero(known)), rankdata(best))[0, 1])
