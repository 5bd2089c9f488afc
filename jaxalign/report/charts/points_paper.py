"""Figures of points on paper: matplotlib, in the type sizes of the other figures."""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from jaxalign.report.charts.points import Axis, Line, PointFigure, Points
from jaxalign.report.drawing import canvas
from jaxalign.report.vocabulary import labels

INK, SOFT, GRID = "#1b1b1b", "#5c5c5c", "#e6e6e6"
SIZE = 8.0
_PAD, _PLANE, _ROW = 0.14, 3.6, 0.2  # inches
_PLOT = 4.6
_PIXEL = 0.75  # points a CSS pixel
_MARKS = MappingProxyType(
    {
        "circle": "o",
        "square": "s",
        "diamond": "D",
        "triangle-up": "^",
        "cross": "P",
        "x": "X",
        "triangle-down": "v",
    }
)
_DASHES = MappingProxyType({"solid": "-", "dash": "--", "dot": ":"})
_SIDES = MappingProxyType(
    {
        "right": ((5, 0), "left", "center"),
        "left": ((-5, 0), "right", "center"),
        "above": ((0, 4), "center", "bottom"),
        "below": ((0, -4), "center", "top"),
    }
)


def draw_points(figure: PointFigure, title: str) -> Figure:
    """Draws a figure of points; call it inside `canvas.style()`.

    Args:
      figure: what to draw.
      title: heading.

    Returns:
      The figure, its legend at the right.
    """
    rows = [drawable(words) for _, words in figure.y.ticks]
    beside = canvas.widest(rows, SIZE) + 0.15 if rows else 0.6
    left = _PAD + (0.1 if figure.y.opposite else beside)
    right = beside if figure.y.opposite else 0.15
    legend = _legend(figure)
    words = canvas.widest([handle.get_label() for handle in legend], 7.5)
    wide = words + 0.45 if legend else 0.0
    inside = _PLANE if figure.equal and figure.x.limits else _PLOT
    height = max(_ROW * figure.rows, 3 * _ROW) if figure.rows else _PLANE
    height = max(height, 0.165 * len(legend))
    bottom, top = 0.62, _PAD + 0.42
    whole = (left + inside + right + wide + _PAD, bottom + height + top)
    drawn = Figure(figsize=whole, dpi=canvas.DPI, facecolor="white")
    FigureCanvasAgg(drawn)
    place = (left / whole[0], bottom / whole[1], inside / whole[0], height / whole[1])
    axes = drawn.add_axes(place)
    style = {"fontsize": 10.0, "weight": "bold", "color": INK, "va": "top"}
    drawn.text(_PAD / whole[0], 1 - _PAD / whole[1], drawable(title), gid="title-0", **style)
    _content(axes, figure)
    frame(axes, figure.x, figure.y)
    if figure.equal:
        axes.set_aspect("equal", adjustable="box" if figure.x.limits else "datalim")
    if legend:
        corner = ((left + inside + right + 0.05) / whole[0], (bottom + height) / whole[1])
        style = {"fontsize": 7.5, "frameon": False, "borderaxespad": 0, "handletextpad": 0.3}
        drawn.legend(handles=legend, loc="upper left", bbox_to_anchor=corner, **style)
    return drawn


def drawable(text: str) -> str:
    """Words in the font of the figures, in one line."""
    return labels.short_names([text], limit=120)[0] if text.strip() else ""


def frame(axes: Axes, x: Axis, y: Axis) -> None:
    """Scales, ticks, titles and grid of both axes."""
    for axis, own, scale, limits in (
        (x, axes.xaxis, axes.set_xscale, axes.set_xlim),
        (y, axes.yaxis, axes.set_yscale, axes.set_ylim),
    ):
        if axis.log:
            scale("log")
        if axis.limits is not None:
            limits(*axis.limits)
        if axis.ticks:
            own.set_ticks([v for v, _ in axis.ticks], [drawable(words) for _, words in axis.ticks])
            own.set_minor_locator(NullLocator())
        if axis.hidden:
            own.set_visible(False)
        own.set_label_text(drawable(axis.title), fontsize=SIZE, color=INK)
    axes.tick_params(labelsize=SIZE - 0.5, length=0, colors=INK, which="both")
    if x.opposite:
        axes.xaxis.tick_top()
    if y.opposite:
        axes.yaxis.tick_right()
    axes.set_axisbelow(True)
    for axis, name in ((x, "x"), (y, "y")):
        if axis.grid:
            axes.grid(visible=True, axis=name, color=GRID, linewidth=0.6)
    for side in axes.spines.values():
        side.set_visible(False)


def _content(axes: Axes, figure: PointFigure) -> None:
    for number, region in enumerate(figure.regions):
        x, y = zip(*region.corners, strict=True)
        axes.fill(x, y, color="#8a8a8a", alpha=0.13, lw=0, zorder=0)
        style = {"fontsize": SIZE - 0.5, "ha": "center", "va": "center", "color": SOFT}
        axes.text(*region.at, drawable(region.label), gid=f"region-{number}", **style)
    for line in figure.lines:
        style = {"ls": _DASHES[line.dash], "lw": _PIXEL * line.width, "color": line.color}
        axes.plot(list(line.x), list(line.y), solid_capstyle="round", zorder=2, **style)
    for number, points in enumerate(figure.points):
        _points(axes, points, number)
    for number, label in enumerate(figure.labels):
        shift, ha, va = _SIDES[label.side]
        style = {"fontsize": SIZE - 1, "ha": ha, "va": va, "color": INK, "gid": f"label-{number}"}
        where = {"xytext": shift, "textcoords": "offset points", "zorder": 5}
        axes.annotate(drawable(label.text), (label.x, label.y), **where, **style)


def _points(axes: Axes, points: Points, number: int) -> None:
    x, y = np.asarray(points.x, np.float64), np.asarray(points.y, np.float64)
    if len(points.words):
        for a, b, text in zip(x, y, points.words, strict=True):
            if math.isfinite(a) and math.isfinite(b):
                style = {"fontsize": 6.5, "ha": "center", "va": "center", "color": SOFT}
                axes.text(a, b, drawable(text), zorder=4, **style)
        return
    known = np.isfinite(x) & np.isfinite(y)
    if len(points.spans):
        spans = np.asarray(points.spans, np.float64)
        for a, b, (low, high) in zip(x, y, spans, strict=True):
            ends = ([low, high], [b, b]) if points.along == "x" else ([a, a], [low, high])
            axes.plot(*ends, color=points.color, lw=1.1, zorder=3)
    face = "none" if points.hollow else points.color
    edge = points.color if points.hollow else "white"
    style = {"s": (_PIXEL * points.size) ** 2, "marker": _MARKS[points.symbol], "zorder": 4}
    style |= {"facecolors": face, "edgecolors": edge, "linewidths": 1.2 if points.hollow else 0.4}
    axes.scatter(x[known], y[known], gid=f"points-{number}", **style)


def _legend(figure: PointFigure) -> list[Line2D]:
    return [_line_key(line) for line in figure.lines if line.name] + [
        _key(points) for points in figure.points if points.name
    ]


def _line_key(line: Line) -> Line2D:
    style = {"ls": _DASHES[line.dash], "color": line.color, "lw": 1.2}
    return Line2D([], [], label=drawable(line.name), **style)


def _key(points: Points) -> Line2D:
    face = "none" if points.hollow else points.color
    style = {"marker": _MARKS[points.symbol], "mfc": face, "mec": points.color, "ms": 5.0}
    return Line2D([], [], ls="none", label=drawable(points.name), **style)
