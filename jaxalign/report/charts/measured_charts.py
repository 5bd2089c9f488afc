"""What was measured of single models, and against N, as charts of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxalign.analysis.rotation import RotationDrift
from jaxalign.report.drawing.estimates import EstimateView, draw_estimates
from jaxalign.report.drawing.panels import Line, Panel
from jaxalign.report.drawing.rotation import draw_rotations, is_drawn
from jaxalign.report.drawing.sample_size import curve_panels, draw_curves
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.views import Chart

_SYMBOLS = {"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down"}
_MARKS = ("circle", "square", "triangle-up", "diamond")
_COLORS = ("#2f86c1", "#d55e00", "#4f9d3a", "#8d63bd")
_HOLDS = {True: "#2f86c1", False: "#d55e00", None: "#8c8c8c"}
_WORDS = {True: "claim holds", False: "claim fails", None: "no claim"}
_SMALLEST = 1e-9  # drawn at the edge: below what float32 can resolve


def estimates_chart(
    views: Sequence[EstimateView], ids: Sequence[str], *, name: str, title: str
) -> Chart:
    """Estimates of every model by all methods, with standard errors."""
    names = _names(ids)
    traces = []
    for number, view in enumerate(views):
        known = [i for i, model in enumerate(ids) if math.isfinite(view.values[model])]
        errors = [view.errors.get(ids[i], math.nan) for i in known]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": labels.markup(view.title + ("" if view.k is None else f", k = {view.k}")),
                "x": [round(view.values[ids[i]], 3) for i in known],
                "y": known,
                "text": [names[i] for i in known],
                "error_x": {
                    **{"type": "data", "thickness": 1.2, "width": 3},
                    "array": [round(e, 3) if math.isfinite(e) else None for e in errors],
                },
                "hovertemplate": "%{text}<br>%{x:.2f}<extra></extra>",
                "marker": {"symbol": _MARKS[number % 4], "color": _COLORS[number % 4], "size": 8},
            }
        )
    layout = _rows_layout(names, "intrinsic dimension (number of coordinates)")
    layout["xaxis"]["rangemode"] = "tozero"
    words = labels.joined([found.title for found in views])
    return Chart(
        name,
        title,
        f"Estimates of {labels.count(len(ids), 'model')} by {words}.",
        "Independent of the other models; missing marks are explained in the table. Bars: one "
        "standard error.",
        {"data": traces, "layout": layout},
        draw=lambda: draw_estimates(views, ids),
    )


def rotations_chart(drifts: Sequence[RotationDrift], *, name: str, title: str) -> Chart:
    """Drifts under rotations and orders of atoms, with the tolerance as a line."""
    shown = [drift for drift in drifts if is_drawn(drift)]
    names = _names([drift.model for drift in shown])
    traces = [
        _drifts(shown, kind, holds)
        for kind in ("rotation", "permutation")
        for holds in (True, False, None)
    ]
    layout = _rows_layout(names, "drift (share of the spread of the embeddings)")
    layout["xaxis"] |= {"type": "log", "exponentformat": "power", "dtick": 1}
    limit = shown[0].tolerance
    line = {"type": "line", "x0": limit, "x1": limit, "y0": 0, "y1": 1, "yref": "paper"}
    layout["shapes"] = [line | {"line": {"dash": "dash", "width": 1.2, "color": "#d55e00"}}]
    layout["annotations"] = [
        {
            **{"x": math.log10(limit), "y": 0.0, "yref": "paper", "yanchor": "bottom"},
            **{"xanchor": "left", "showarrow": False, "font": {"size": 11}},
            "text": f"invariant: at most {limit:g}",
        }
    ]
    return Chart(
        name,
        title,
        f"Drift of the embeddings of {labels.count(len(shown), 'model')} under rotations and "
        "orders of atoms, log scale.",
        "Lines run from the median over structures to the largest drift, which has the mark.",
        {"data": [trace for trace in traces if trace["x"]], "layout": layout},
        draw=lambda: draw_rotations(drifts),
    )


def sizes_charts(curves: Mapping[str, Any], *, name: str, titled: Any) -> list[Chart]:
    """One chart a metric and rule: scores of three pairs against the number of structures."""
    charts = []
    for number, panel in enumerate(curve_panels(curves)):
        charts.append(
            Chart(
                f"{name}-{number + 1}",
                titled(panel.title),
                f"{panel.title}: scores of the best, the median and the worst pair against the "
                "number of structures.",
                "Subsets of one size are disjoint; bars: one standard error. Dotted: the fitted "
                "limit of many structures; dashed: chance, where known in closed form.",
                panel_figure(panel),
                # On paper all panels are one figure.
                draw=(lambda: draw_curves(curves)) if number == 0 else None,
            )
        )
    return charts


def panel_figure(panel: Panel) -> dict[str, Any]:
    """A panel of curves as a plotly figure."""
    layout = {
        "height": 330,
        "xaxis": {"title": {"text": labels.markup(panel.x)}, "type": "log"},
        "yaxis": {"title": {"text": labels.markup(panel.y)}},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
    }
    layout["yaxis"] |= {} if panel.linear else {"type": "log"}
    places = sorted({x for line in panel.lines for x in line.x})
    layout["xaxis"] |= {"tickvals": places, "ticktext": [f"{x:,.0f}" for x in places]}
    return {"data": [_curve(line) for line in panel.lines], "layout": layout}


def _curve(line: Line) -> dict[str, Any]:
    trace = {"type": "scatter", "x": list(line.x), "y": list(line.y)}
    if not line.mark:
        look = {"dash": "dot" if line.color else "dash", "width": 1.2}
        color = line.color or "#8c8c8c"
        return trace | {"mode": "lines", "line": look | {"color": color}, "showlegend": False}
    trace |= {
        **{"mode": "lines+markers", "name": labels.markup(line.label)},
        **{"line": {"color": line.color, "width": 1.6}},
        "marker": {"symbol": _SYMBOLS.get(line.mark, "circle"), "size": 7},
    }
    if line.errors:
        trace["error_y"] = {"type": "data", "array": list(line.errors), "thickness": 1.2}
    return trace


def _drifts(shown: Sequence[RotationDrift], kind: str, holds: bool | None) -> dict[str, Any]:
    verdict = "holds_under_rotations" if kind == "rotation" else "holds_under_permutations"
    rows, low, high = [], [], []
    for row, drift in enumerate(shown):
        largest = getattr(drift, f"{kind}_max")
        if getattr(drift, verdict) is not holds or math.isnan(largest):
            continue
        rows.append(row + (-0.14 if kind == "rotation" else 0.14))
        high.append(max(largest, _SMALLEST))
        low.append(max(getattr(drift, f"{kind}_median"), _SMALLEST))
    words = "rotations" if kind == "rotation" else "orders of atoms"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{words}: {_WORDS[holds]}",
        "x": high,
        "y": rows,
        "text": [labels.markup(shown[round(row)].model) for row in rows],
        "error_x": {
            **{"type": "data", "symmetric": False, "array": [0.0] * len(high), "width": 0},
            "arrayminus": [h - m for h, m in zip(high, low, strict=True)],
        },
        "hovertemplate": f"%{{text}}<br>{words}: %{{x:.1e}}<extra></extra>",
        "marker": {
            **{"color": _HOLDS[holds], "size": 8},
            "symbol": "circle" if kind == "rotation" else "diamond",
        },
    }


def _names(ids: Sequence[str]) -> list[str]:
    return [labels.markup(name) for name in labels.short_names(list(ids))]


def _rows_layout(names: Sequence[str], axis: str) -> dict[str, Any]:
    """One row a model, first at the top."""
    return {
        "height": 110 + 22 * max(len(names), 4),
        "hovermode": "closest",
        "margin": {"l": 10, "r": 20, "t": 40, "b": 50},
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        "xaxis": {"title": {"text": axis}},
        "yaxis": {
            **{"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": list(names)},
            **{"range": [len(names) - 0.5, -0.5], "zeroline": False},
        },
    }
