"""Numbers of the interactive matrix, packed so that hundreds of models fit into one file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32, Int

from jaxalign.analysis.relations.model_labels import training_corpus
from jaxalign.models.card import ModelCard
from jaxalign.report.drawing.heatmap import clustering, color_scale
from jaxalign.report.tabs.parts import Part
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.colors import modality_colors
from jaxalign.report.vocabulary.relations import RELATIONS, kind, relation
from jaxalign.report.vocabulary.source import MetricView

_COLUMNS = ("value", "calibrated", "ci_low", "ci_high", "z", "p", "q", "null_mean", "n")
_FACTS = {
    "name": "Name",
    "family": "Family",
    "modality": "Modality",
    "pretrained": "Pretrained",
    "width": "Width d",
    "parameters": "Parameters",
    "training_data": "Training data",
    "label_level": "Labels",
    "symmetry": "Rotations",
    "layer": "Layer",
    "pooling": "Pooling",
    "licence": "Licence",
    "citation": "Citation",
    "notes": "Notes",
}


def explorer_payload(parts: Sequence[Part]) -> dict[str, Any] | None:
    """All scores of pairs, for the matrix and the table of pairs.

    Numbers are float32 in base64, little-endian. Of a symmetric metric the triangle i <= j is
    stored row by row (m(m+1)/2 numbers), of a directed one the whole matrix. A column without any
    number is null, one that is the same everywhere a single number.

    Args:
      parts: alignments as read.

    Returns:
      `{"datasets": [...], "relations": [...]}`, JSON-ready; None without a single pair of models.
    """
    datasets = [_dataset(part) for part in parts if part.metrics and len(part.ids) > 1]
    if not datasets:
        return None
    return {"datasets": datasets, "relations": list(RELATIONS.values())}


def _dataset(part: Part) -> dict[str, Any]:
    views = part.metrics
    cards = views[0].cards
    colors = modality_colors([card.modality for card in cards])
    short = labels.short_names(list(views[0].ids))
    return {
        "name": part.name,
        "n": part.n,
        "models": [
            {
                "id": view_id,
                "short": short[row],
                "family": card.family,
                "modality": card.modality,
                "corpus": training_corpus(card),
                "kind": kind(card),
                "card": _card(card),
            }
            for row, (view_id, card) in enumerate(zip(views[0].ids, cards, strict=True))
        ],
        "modalityColors": colors,
        "relations": _relations(cards),
        "metrics": [_metric(view, part.alignment.table) for view in views],
    }


def _card(card: ModelCard) -> dict[str, str]:
    """What a card states, as words; a card of a plain array states nothing."""
    if not card.modality:
        return {}
    facts = {words: getattr(card, field) for field, words in _FACTS.items()}
    shown = {True: "yes", False: "no"}
    return {
        words: f"{value:,}" if type(value) is int else shown.get(value, str(value))
        for words, value in facts.items()
        if value not in ("", None)
    }


def _relations(cards: tuple[ModelCard, ...]) -> str:
    names = list(RELATIONS)
    rows, columns = np.triu_indices(len(cards))
    codes = [names.index(relation(cards[i], cards[j])) for i, j in zip(rows, columns, strict=True)]
    return base64.b64encode(np.array(codes, np.uint8).tobytes()).decode()


def _metric(view: MetricView, table: pd.DataFrame) -> dict[str, Any]:
    rows = table[table["metric"] == view.metric]
    if view.k is not None and "k" in rows:
        rows = rows[rows["k"] == view.k]
    place = {name: i for i, name in enumerate(view.ids)}
    a, b = (rows[side].map(place).to_numpy(np.int64) for side in ("model_a", "model_b"))
    size, at = _places(a, b, len(view.ids), symmetric=view.symmetric)
    columns = {
        name: _packed(_spread(rows[name], at, size)) for name in _COLUMNS if name in rows.columns
    }
    colors = color_scale(view)
    reasons = rows["reason"] if "reason" in rows else pd.Series("", index=rows.index)
    return {
        "id": view.metric,
        "title": view.title,
        "axis": view.axis,
        "definition": view.definition,
        "k": view.k,
        "similarity": view.similarity,
        "symmetric": view.symmetric,
        "best": view.best,
        "null": view.null,
        "floor": view.floor,
        "normalization": view.normalization,
        "low": colors.low,
        "high": colors.high,
        "order": clustering(view).order.tolist(),
        "columns": columns,
        "nulls": _words(rows["null"], at, size) if "null" in rows else None,
        "reasons": {str(int(i)): why for i, why in zip(at, reasons, strict=True) if why},
    }


def _places(
    a: Int[np.ndarray, " rows"], b: Int[np.ndarray, " rows"], m: int, *, symmetric: bool
) -> tuple[int, Int[np.ndarray, " rows"]]:
    """Length of the packed columns, and the place of every row of the table in them."""
    if not symmetric:
        return m * m, a * m + b
    low, high = np.minimum(a, b), np.maximum(a, b)
    return m * (m + 1) // 2, low * m - low * (low - 1) // 2 + high - low


def _spread(
    column: pd.Series, at: Int[np.ndarray, " rows"], size: int
) -> Float32[np.ndarray, " size"]:
    values = np.full(size, np.nan, np.float32)
    with np.errstate(over="ignore", under="ignore"):  # p = 1e-200 becomes 0: read as "below 1e-38"
        values[at] = pd.to_numeric(column).to_numpy(np.float64, na_value=np.nan)
    return values


def _packed(values: Float[np.ndarray, " size"]) -> str | float | None:
    if np.isnan(values).all():
        return None
    if (values == values[0]).all():
        return float(values[0])
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def _words(column: pd.Series, at: Int[np.ndarray, " rows"], size: int) -> dict[str, Any]:
    """Words by code; 0 stands for none."""
    known = sorted({word for word in column if word})
    codes = np.zeros(size, np.uint16)
    codes[at] = column.map({word: i + 1 for i, word in enumerate(known)}).fillna(0).to_numpy(int)
    return {
        "words": ["", *known],
        "codes": base64.b64encode(codes.astype("<u2").tobytes()).decode(),
    }
