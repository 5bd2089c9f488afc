"""Alignments of stated scores, as an engine would give them, and what their views must hold."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from jaxalign.alignment.graph_cache import GraphCache
from jaxalign.alignment.results import COLUMNS, Alignment
from jaxalign.metrics.registry import metric_definition
from jaxalign.models.card import ModelCard

HOSTILE = '<b>%{x}</b> & $a_b$ "q" </script>'
FAMILIES = (("ANI", "3d"), ("SevenNet", "3d"), ("BERT", "string"), ("D-MPNN", "graph"))


def cards_of(names, *, corpora=("A: 1 million", "B")):
    """Trained models, two of a family in turn."""
    found = {}
    for i, name in enumerate(names):
        family, modality = FAMILIES[(i // 2) % len(FAMILIES)]
        facts = {"pretrained": True, "training_data": corpora[i % len(corpora)]}
        found[name] = ModelCard(id=name, name=name, family=family, modality=modality, **facts)
    return found


def symmetric(rng, m):
    values = rng.uniform(0.1, 0.9, size=(m, m))
    values = (values + values.T) / 2
    np.fill_diagonal(values, 1.0)
    return values


def alignment_of(cards, scores, *, ks=None, calibrated=True, **facts):
    """An alignment whose metrics have these matrices; of single models their diagonals."""
    names, ks, rows = list(cards), ks or {}, []
    for metric, values in scores.items():
        definition = metric_definition(metric)
        single = metric.startswith("id:")
        for i, a in enumerate(names):
            for j, b in enumerate(names):
                if (single and i == j) or (not single and (i <= j or not definition.symmetric)):
                    score = float(values[i, j])
                    own = score - 0.05 if calibrated and i != j and not single else np.nan
                    rows.append((a, b, metric, score, own, ks.get(metric)))
    table = pd.DataFrame(
        rows, columns=["model_a", "model_b", "metric", "value", "calibrated", "k"]
    ).reindex(columns=list(COLUMNS))
    table = table.astype({"k": "Int64", "ci_low": float, "ci_high": float})
    table["reason"] = ""
    settings = {m: {"k": ks.get(m), "normalization": "l2", "similarity": "inner"} for m in scores}
    known = {"metrics": settings, "n": 100, "ids": [], "grouped": True, "failed_models": {}}
    return Alignment(table, cards, known | {"graph_keys": {}} | facts, GraphCache(None))


def check_view(view):
    """Strict JSON that plotly accepts, and names that cannot be markup."""
    import plotly.graph_objects

    names = [chart.name for chart in view.charts]
    assert len(set(names)) == len(names)
    for chart in view.charts:
        text = json.dumps(chart.plotly, allow_nan=False)
        assert "<b>" not in text
        assert "</script>" not in text
        plotly.graph_objects.Figure(json.loads(text))  # raises on what plotly does not know
        assert chart.title
        assert chart.alt
        assert chart.caption
    for table in view.tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
    return view


@pytest.fixture
def views():
    """Makes an alignment, and checks views: (alignment_of, cards_of, symmetric, check_view)."""
    return alignment_of, cards_of, symmetric, check_view
