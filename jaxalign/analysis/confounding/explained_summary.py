"""The few numbers of trivial explanations that a page shows: one line an encoder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxalign.analysis.confounding.explained import Explained
from jaxalign.models.card import ModelCard

_NUMBERS = (*("floor", "twin", "control_score", "raw", "residual", "strata", "left"),)
_OF_PAIRS = ("model_a", "model_b", "method", "n", "conditional", "null_mean", "q")


def explanation_summary(explained: Explained, cards: Mapping[str, ModelCard]) -> dict[str, Any]:
    """What the page keeps of the tables: plain values, to be stored with an alignment.

    Scores of an encoder with others are medians over the pretrained encoders of other families;
    where there is none, over all other pretrained ones.

    Args:
      explained: the tables of a run.
      cards: cards by label.

    Returns:
      `metric`, `k`, `conditions` and `encoders`: one mapping a pretrained encoder with `floor` (a
      score), and calibrated scores: `twin` (median of the random twin), `control` and its
      `control_score`, `raw`, `residual` and `strata` (medians); `left`, the share of variance that
      the confounders do not explain. `pairs`: of all pairs of pretrained encoders some columns of
      `conditional_alignment`, column → values. None where there is no number.
    """
    if not len(explained.controls):
        return {"metric": "", "k": None, "conditions": [], "encoders": [], "pairs": {}}
    metric = explained.controls["metric"].iloc[0]
    k = explained.controls["k"].iloc[0]
    same = {name: _of(getattr(explained, name), metric, k) for name in ("controls", "floors")}
    pairs = _of(explained.conditional, metric, k)
    methods = {name: pairs[pairs["method"] == name] for name in ("residual", "strata")}
    raw = next((table for table in methods.values() if len(table)), pairs)
    encoders = []
    for name, card in cards.items():
        if not _is_encoder(card):
            continue
        control, floor = (_row(table, name) for table in same.values())
        others = _others(name, cards)
        twin = floor.get("twin") or None
        found = {
            "floor": floor.get("floor"),
            "twin": twin and _median(raw, "raw_calibrated", twin, others),
            "control_score": control.get("calibrated"),
            "raw": _median(raw, "raw_calibrated", name, others),
            "left": _left(methods["residual"], name),
        }
        found |= {m: _median(t, "calibrated", name, others) for m, t in methods.items()}
        numbers = {field: _plain(found[field]) for field in _NUMBERS}
        encoders.append({"model": name, "control": control.get("control", ""), **numbers})
    return {
        "metric": metric,
        "k": None if pd.isna(k) else int(k),
        "conditions": [dict(facts) for facts in explained.facts],
        "encoders": encoders,
        "pairs": _pairs(pairs, [name for name, card in cards.items() if _is_encoder(card)]),
    }


def _pairs(pairs: pd.DataFrame, encoders: Sequence[str]) -> dict[str, list[Any]]:
    kept = pairs[pairs["model_a"].isin(encoders) & pairs["model_b"].isin(encoders)]
    columns = {name: kept[name].tolist() for name in _OF_PAIRS}
    numbers = ("n", "conditional", "null_mean", "q")
    return columns | {name: [_plain(value) for value in columns[name]] for name in numbers}


def _of(table: pd.DataFrame, metric: str, k: Any) -> pd.DataFrame:
    rows = table[table["metric"] == metric]
    return rows if pd.isna(k) else rows[rows["k"] == k]


def _row(table: pd.DataFrame, model: str) -> dict[str, Any]:
    rows = table[table["model"] == model]
    return rows.iloc[0].to_dict() if len(rows) else {}


def _others(name: str, cards: Mapping[str, ModelCard]) -> list[str]:
    others = [o for o, card in cards.items() if o != name and _is_encoder(card)]
    family = cards[name].family
    return [o for o in others if not family or cards[o].family != family] or others


def _median(pairs: pd.DataFrame, column: str, name: str, others: Sequence[str]) -> float:
    a, b = pairs["model_a"], pairs["model_b"]
    mine = (a.eq(name) & b.isin(others)) | (b.eq(name) & a.isin(others))
    values = pairs.loc[mine, column].to_numpy(np.float64)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else math.nan


def _left(pairs: pd.DataFrame, name: str) -> float:
    """The share of variance left, which every row of a model repeats."""
    for side in "ab":
        rows = pairs[pairs[f"model_{side}"] == name]
        if len(rows):
            return float(rows[f"left_{side}"].iloc[0])
    return math.nan


def _plain(value: Any) -> float | None:
    """A finite float or None: JSON has no NaN."""
    return None if value is None or not math.isfinite(float(value)) else float(value)


def _is_encoder(card: ModelCard) -> bool:
    return card.pretrained and card.modality != "control"
