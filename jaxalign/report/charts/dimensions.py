"""The ladder of intrinsic dimensions, and how estimates depend on the scale."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from jaxalign.analysis.relations.dimension_ladder import (
    METHODS,
    dimension_ladder,
    finest_values,
    ladder_order,
)
from jaxalign.report.charts import reading
from jaxalign.report.charts.marks import Marks
from jaxalign.report.charts.model_points import model_points
from jaxalign.report.charts.points import Axis, Line, PointFigure, Points, log_ticks, row_axis
from jaxalign.report.charts.points_page import points_plotly
from jaxalign.report.charts.points_paper import draw_points
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Cell, Table, number, text
from jaxalign.report.vocabulary.views import Chart, View

NAMES = {"id:twonn": "TwoNN", "id:mle": "maximum likelihood", "id:gride": "GRIDE"}
_STYLES = {
    "id:twonn": ("#0072b2", "circle"),
    "id:mle": ("#d55e00", "square"),
    "id:gride": ("#009e73", "diamond"),
}
_QUESTION = (
    "How many coordinates does each model need to place these structures? The intrinsic dimension "
    "is estimated from how fast neighbors become more with distance."
)
_ERRORS = (
    "Intervals are of 95 %: resampled over structures where the run computed intervals, else ± "
    "1.96 standard errors of the estimator, which takes structures as independent and is too small "
    "by up to a third."
)
_WIDE = 30.0  # ratio of largest to smallest dimension from which on the axis is logarithmic


def dimension_view(report: reading.Report) -> tuple[View | None, list[str]]:
    """The tab of dimensions, and what is missing for it."""
    charts, findings, missing = [], [], []
    rows: list[tuple[Cell, ...]] = []
    for source in report.sources:
        estimates = source.alignment.diagnostics.get("estimates") or {}
        ladder = dimension_ladder(source.alignment.table, estimates)
        ladder = ladder[ladder["model"].isin(source.cards)]
        if not np.isfinite(ladder["value"].to_numpy(float)).any():
            missing.append(
                f"{source.prefix}intrinsic dimensions need id:twonn, id:mle or id:gride among the "
                "metrics"
            )
            continue
        charts.append(_ladder(source, ladder))
        if (ladder.groupby(["model", "method"])["scale"].nunique() > 1).any():
            charts.append(_curves(source, report.marks, ladder))
        else:
            missing.append(
                f"{source.prefix}curves of dimension over scales need id:gride, or id:mle for "
                "several k"
            )
        found = _summaries(source, ladder)
        rows += found
        findings += _findings(source, ladder)
    if not charts:
        return None, missing
    lead, notes = reading.leading(_QUESTION, findings, [_ERRORS])
    columns = ("Data set", "Method", "Neighbors", "Trained models", "Median", "Smallest", "Largest")
    table = Table("dimensions", "Intrinsic dimension of trained models", columns, tuple(rows))
    return View("dimension", "Intrinsic dimension", lead, tuple(charts), (table,), notes), missing


def _ladder(source: reading.Source, ladder: pd.DataFrame) -> Chart:
    order = ladder_order(ladder)
    place = {name: float(row) for row, name in enumerate(order)}
    points = []
    for method in METHODS:
        scales = sorted(ladder.loc[ladder["method"] == method, "scale"].unique())
        if not scales:
            continue
        own = ladder[(ladder["method"] == method) & (ladder["scale"] == scales[0])]
        own = own[np.isfinite(own["value"])]
        color, symbol = _STYLES[method]
        points.append(
            Points(
                own["value"].tolist(),
                [place[name] for name in own["model"]],
                [_hover(row) for row in own.itertuples()],
                name=_named(method, scales[0]),
                color=color,
                symbol=symbol,
                spans=list(zip(own["low"], own["high"], strict=True)),
            )
        )
    ends = ladder[["value", "low", "high"]].to_numpy(float)
    figure = PointFigure(
        _axis(ends[np.isfinite(ends)]),
        row_axis(labels.short_names(order)),
        points=tuple(points),
        rows=len(order),
    )
    title = source.titled("Ladder of intrinsic dimensions")
    return Chart(
        name=f"dimension{source.slug}",
        title=title,
        alt=f"Intrinsic dimension of {labels.count(len(order), 'model')}, largest first.",
        caption="Models by dimension, largest first, each method at its finest scale.",
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=ladder,
    )


def _curves(source: reading.Source, marks: Marks, ladder: pd.DataFrame) -> Chart:
    counts = ladder.groupby("method")["scale"].nunique()
    method = max(METHODS, key=lambda name: (counts.get(name, 0), name == "id:gride"))
    own = ladder[(ladder["method"] == method) & np.isfinite(ladder["value"])]
    own = own.sort_values("scale", kind="stable")
    names = list(dict.fromkeys(own["model"]))
    lines = [
        Line(
            own.loc[own["model"] == name, "scale"].tolist(),
            own.loc[own["model"] == name, "value"].tolist(),
            color=marks.modality(source.cards[name]),
            dash="solid" if source.cards[name].pretrained else "dot",
        )
        for name in names
    ]
    hover = [_hover(row) for row in own.itertuples()]
    x, y = own["scale"].tolist(), own["value"].tolist()
    scales = sorted(set(x))
    ends = (scales[0] / 1.15, scales[-1] * 1.15)
    figure = PointFigure(
        Axis(
            "neighbors that the estimate reaches to",
            log=True,
            limits=ends,
            ticks=tuple((scale, f"{scale:g}") for scale in scales),
        ),
        _axis(own["value"].to_numpy(float)),
        points=model_points(x, y, own["model"].tolist(), hover, source.cards, marks),
        lines=tuple(lines),
    )
    title = source.titled("Dimension over scales")
    return Chart(
        name=f"dimension-scales{source.slug}",
        title=title,
        alt=f"Intrinsic dimension of {labels.count(len(names), 'model')} over scales.",
        caption=f"{NAMES[method]}; one line a model, dotted where it is not trained.",
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=own,
    )


def _axis(values: np.ndarray) -> Axis:
    positive = values[values > 0]
    title = "intrinsic dimension (number of coordinates)"
    if len(positive) and positive.max() > _WIDE * positive.min():
        limits = (float(positive.min()) / 1.3, float(positive.max()) * 1.3)
        return Axis(f"{title}, logarithmic", log=True, limits=limits, ticks=log_ticks(*limits))
    return Axis(title, limits=(0.0, 1.08 * float(values.max(initial=1.0))))


def _named(method: str, scale: float) -> str:
    return f"{NAMES[method]}, {scale:g} neighbors"


def _hover(row) -> str:
    told = reading.span(row.low, row.high)
    first = f"{row.model}\n{_named(row.method, row.scale)}: {labels.fixed(row.value, 2)}"
    return f"{first}\n{told}" if told else first


def _trained(source: reading.Source, ladder: pd.DataFrame) -> pd.DataFrame:
    known = reading.compared(source)
    return ladder[ladder["model"].isin(known) & np.isfinite(ladder["value"])]


def _findings(source: reading.Source, ladder: pd.DataFrame) -> list[str]:
    own = _trained(source, ladder)
    method = next((m for m in METHODS if (own["method"] == m).any()), None)
    if method is None:
        return []
    values = finest_values(own, method)
    low, high = (pick(values, key=values.__getitem__) for pick in (min, max))
    count = labels.count(len(values), "trained model")
    middle = float(np.median(list(values.values())))
    return [
        f"{source.prefix}Trained models need {labels.fixed(middle, 1)} coordinates in the median "
        f"({NAMES[method]}, {count}), from {labels.fixed(values[low], 1)} ({low}) to "
        f"{labels.fixed(values[high], 1)} ({high})."
    ]


def _summaries(source: reading.Source, ladder: pd.DataFrame) -> list[tuple[Cell, ...]]:
    rows = []
    own = _trained(source, ladder)
    for (method, scale), part in own.groupby(["method", "scale"], sort=False):
        values = part["value"].to_numpy(float)
        three = (float(f(values)) if len(values) else math.nan for f in (np.median, min, max))
        cells = [number(value, labels.fixed(value, 2)) for value in three]
        first = (text(source.name), text(NAMES[method]), number(int(scale)), number(len(values)))
        rows.append((*first, *cells))
    return rows
