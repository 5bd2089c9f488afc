"""Layer × layer maps: which layers of one model see what which layers of another see."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from jaxalign.analysis.relations.layer_maps import (
    layer_map,
    layer_summary,
    layers_of,
    split_label,
)
from jaxalign.report.charts import reading
from jaxalign.report.charts.grid import Grid, draw_grid, grid_plotly, numbers
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Cell, Table, number, text
from jaxalign.report.vocabulary.views import Chart, View

MOST_MAPS = 12
_QUESTION = (
    "Which layers of two models see the same? Layers run from the input, at the top left, to the "
    "output."
)
_MAXIMUM = (
    "The best pair of layers is the largest of many scores and stands above a single one by chance "
    "alone; the null of the maximum comes with the best layers of a run over layers."
)


def layers_view(report: reading.Report) -> tuple[View | None, list[str]]:
    """The tab of layer maps, and what is missing for it."""
    charts, notes, missing = [], [_MAXIMUM], []
    rows: list[tuple[Cell, ...]] = []
    for source in report.sources:
        scores = reading.similarity(source)
        orders = layer_orders(source)
        known = {} if scores is None else layers_of(scores.matrix, orders)
        deep = [model for model, layers in known.items() if len(layers) > 1]
        if not deep:
            missing.append(
                f"{source.prefix}maps of layers need embeddings of several layers of a model, "
                "under labels “model@layer”"
            )
            continue
        pairs = _shown(scores.matrix, deep, orders)
        shown = enumerate(pairs[:MOST_MAPS])
        charts += [_chart(source, scores, *pair, orders, place) for place, pair in shown]
        if len(pairs) > MOST_MAPS:
            notes.append(
                f"{source.prefix}The {MOST_MAPS} maps with the best scores of {len(pairs)}; the "
                "table has all pairs."
            )
        rows += _rows(source, layer_summary(scores.matrix, orders=orders))
    if not charts:
        return None, missing
    columns = ("Data set", "Model a", "Model b", "Layers a", "Layers b", "Best layer a")
    columns += ("Best layer b", "Best score", "Last layers", "Mean", "Depths correspond")
    table = Table("layers", "Best and last layers of all pairs", columns, tuple(rows))
    notes.append(
        "“Depths correspond” is the rank correlation of the depth of a layer with that of its best "
        "layer in the other model."
    )
    view = View("layers", "Layers", _QUESTION, tuple(charts), (table,), tuple(notes))
    return view, missing


def layer_orders(source: reading.Source) -> dict[str, tuple[str, ...]]:
    """Model → its layers from input to output, as its cards list them."""
    found = {}
    for name, card in source.cards.items():
        model, layer = split_label(name)
        if layer and card.layers:
            found[model] = tuple(card.layers)
    return found


def _shown(scores: xr.DataArray, deep: list[str], orders: Mapping) -> list[tuple[str, str]]:
    """Pairs of models with layers, each also with itself, best score first."""

    def best(pair: tuple[str, str]) -> float:
        values = layer_map(scores, *pair, orders=orders).values.astype(float)
        if pair[0] == pair[1]:
            values = values[np.triu_indices(len(values), 1)]
        return float(np.nanmax(values)) if np.isfinite(values).any() else -math.inf

    pairs = itertools.combinations_with_replacement(deep, 2)
    return sorted(pairs, key=lambda pair: (pair[0] == pair[1], -best(pair)))


def _chart(
    source: reading.Source, scores: reading.Scores, a: str, b: str, orders: Mapping, place: int
) -> Chart:
    found = layer_map(scores.matrix, a, b, orders=orders)
    rows, columns = (
        tuple(str(v) for v in found.coords[side].values) for side in ("layer_a", "layer_b")
    )
    values = np.asarray(found.values, np.float64)
    shown = np.where(np.eye(len(values), dtype=bool), np.nan, values) if a == b else values
    finite = shown[np.isfinite(shown)]
    hover = tuple(
        tuple(f"{a}: {x}\n{b}: {y}\n{labels.score(values[i, j])}" for j, y in enumerate(columns))
        for i, x in enumerate(rows)
    )
    grid = Grid(
        values=shown,
        rows=rows,
        columns=columns,
        hover=hover,
        x=f"layer of {b}",
        y=f"layer of {a}",
        quantity="score",
        low=float(finite.min(initial=0.0)),
        high=float(finite.max(initial=0.0)),
        numbers=numbers(shown),
    )
    title = source.titled(f"Layers of {a}" if a == b else f"Layers of {a} and {b}")
    data = pd.DataFrame(values, index=list(rows), columns=list(columns))
    return Chart(
        name=f"layers-{place}{source.slug}",
        title=title,
        alt=f"Scores of {len(rows)} layers of {a} with {len(columns)} layers of {b}.",
        caption=f"{scores.axis}; a layer with itself is left out." if a == b else scores.axis,
        plotly=grid_plotly(grid),
        draw=lambda: draw_grid(grid, title),
        data=data.reset_index(names="layer"),
    )


def _rows(source: reading.Source, summary: pd.DataFrame) -> list[tuple[Cell, ...]]:
    deep = summary[(summary["layers_a"] > 1) | (summary["layers_b"] > 1)]
    return [
        (
            text(source.name),
            text(row.model_a),
            text(row.model_b),
            number(int(row.layers_a)),
            number(int(row.layers_b)),
            text(_known(row.best_a)),
            text(_known(row.best_b)),
            *(
                number(value, labels.score(value))
                for value in (row.best, row.last, row.mean, row.correspondence)
            ),
        )
        for row in deep.itertuples()
    ]


def _known(value) -> str:
    return value if isinstance(value, str) else ""
