"""Figures of points as plotly.js takes them: strict JSON, and names that cannot be markup."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

from jaxalign.report.charts.points import Axis, Label, Line, PointFigure, Points, Region

_PLOT, _ROW, _MARGIN = 430, 21, 120  # CSS pixels: height of a plane, of a row, of all around it
_SHADE = "rgba(138, 138, 138, 0.13)"
_TICKS = 12
_SIDES = {
    "right": {"xanchor": "left", "yanchor": "middle", "xshift": 7},
    "left": {"xanchor": "right", "yanchor": "middle", "xshift": -7},
    "above": {"xanchor": "center", "yanchor": "bottom", "yshift": 6},
    "below": {"xanchor": "center", "yanchor": "top", "yshift": -6},
}


def escaped(text: str) -> str:
    """Words that plotly shows as they are: it reads tags and entities in all of its texts."""
    return html.escape(str(text), quote=False).replace("\n", "<br>")


def strict(values: Iterable[float]) -> list[float | None]:
    """Numbers of strict JSON: None where a value is not finite."""
    plain = (float(value) for value in values)
    return [value if math.isfinite(value) else None for value in plain]


def points_plotly(figure: PointFigure) -> dict[str, Any]:
    """A figure of points for plotly.js.

    Args:
      figure: what to draw.

    Returns:
      `data` and `layout`, which name no color of ink, paper or grid; the height grows with the
      rows.
    """
    traces = [_region(region) for region in figure.regions]
    traces += [_line(line) for line in figure.lines]
    traces += [_points(points) for points in figure.points]
    height = _MARGIN + (max(_ROW * figure.rows, 3 * _ROW) if figure.rows else _PLOT)
    layout: dict[str, Any] = {
        "height": height,
        "hovermode": "closest",
        "showlegend": any(trace["showlegend"] for trace in traces),
        "legend": {"itemsizing": "constant", "tracegroupgap": 0},
        "margin": {"l": 60, "r": 20, "t": 24, "b": 56},
        "xaxis": _axis(figure.x, side="top" if figure.x.opposite else "bottom"),
        "yaxis": _axis(figure.y, side="right" if figure.y.opposite else "left"),
        "annotations": [_words(region) for region in figure.regions if region.label]
        + [_label(label, figure) for label in figure.labels],
    }
    if figure.rows or figure.equal:  # beside a square it would take half of its width
        layout["legend"] |= {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0.0}
    if figure.equal:
        layout["xaxis"] |= {"constrain": "domain"}
        layout["yaxis"] |= {"constrain": "domain", "scaleanchor": "x", "scaleratio": 1}
    return {"data": traces, "layout": layout}


def _axis(axis: Axis, *, side: str) -> dict[str, Any]:
    found: dict[str, Any] = {"side": side, "automargin": True, "zeroline": False}
    found["title"] = {"text": escaped(axis.title), "standoff": 8}
    if axis.log:
        found |= {"type": "log", "dtick": 1}
    if axis.limits is not None:
        ends = [math.log10(end) for end in axis.limits] if axis.log else list(axis.limits)
        found["range"] = [float(end) for end in ends]
    if axis.ticks:
        found |= {
            "tickmode": "array",
            "tickvals": [float(value) for value, _ in axis.ticks],
            "ticktext": [escaped(words) for _, words in axis.ticks],
            "tickfont": {"size": _TICKS},
        }
        found.pop("dtick", None)
    if not axis.grid:
        found["showgrid"] = False
    if axis.hidden:
        found |= {"showticklabels": False, "showgrid": False, "ticks": ""}
    return found


def _points(points: Points) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "scatter",
        "x": strict(points.x),
        "y": strict(points.y),
        "name": escaped(points.name),
        "showlegend": bool(points.name),
        # Never a template: a name with %{x} in it would be filled in.
        "hovertext": [escaped(words) for words in points.hover],
        "hoverinfo": "text" if len(points.hover) else "skip",
    }
    if points.words:
        words = [escaped(text) for text in points.words]
        return trace | {"mode": "text", "text": words, "textfont": {"size": _TICKS - 2}}
    symbol = points.symbol + ("-open" if points.hollow else "")
    outline = {"width": 1.6 if points.hollow else 0.6}
    outline |= {} if points.hollow else {"color": "rgba(255, 255, 255, 0.7)"}
    marker = {"color": points.color, "symbol": symbol, "size": float(points.size), "line": outline}
    trace |= {"mode": "markers", "marker": marker}
    if len(points.spans):
        trace[f"error_{points.along}"] = _spans(points)
    return trace


def _spans(points: Points) -> dict[str, Any]:
    middle = points.x if points.along == "x" else points.y
    below = [m - low for m, (low, _) in zip(middle, points.spans, strict=True)]
    above = [high - m for m, (_, high) in zip(middle, points.spans, strict=True)]
    return {
        "type": "data",
        "symmetric": False,
        "array": strict(above),
        "arrayminus": strict(below),
        "color": points.color,
        "thickness": 1.3,
        "width": 3,
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": strict(line.x),
        "y": strict(line.y),
        "name": escaped(line.name),
        "showlegend": bool(line.name),
        "hoverinfo": "skip",
        "line": {"color": line.color, "dash": line.dash, "width": float(line.width)},
        "connectgaps": False,
    }


def _region(region: Region) -> dict[str, Any]:
    corners = [*region.corners, region.corners[0]]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": strict(x for x, _ in corners),
        "y": strict(y for _, y in corners),
        "fill": "toself",
        "fillcolor": _SHADE,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _words(region: Region) -> dict[str, Any]:
    x, y = region.at
    size = {"size": _TICKS}
    return {"x": x, "y": y, "text": escaped(region.label), "showarrow": False, "font": size}


def _label(label: Label, figure: PointFigure) -> dict[str, Any]:
    x, y = (
        math.log10(value) if axis.log else float(value)
        for value, axis in ((label.x, figure.x), (label.y, figure.y))
    )
    place: dict[str, Any] = _SIDES[label.side]
    font = {"size": _TICKS - 1}
    return {"x": x, "y": y, "text": escaped(label.text), "showarrow": False, "font": font} | place


def texts(values: Sequence[Sequence[str]]) -> list[list[str]]:
    """A grid of words, each escaped."""
    return [[escaped(text) for text in row] for row in values]
