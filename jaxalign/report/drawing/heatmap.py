"""Clustered heatmap of one metric: dendrogram, modality strip, cells, labels, colour bar, legend.

Everything is placed in inches on one sheet. The sizes follow from the number of models and from the
measured labels, so the figure grows instead of its texts colliding.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jaxalign.report.drawing import canvas
from jaxalign.report.drawing.colorbar import bar_height, bar_width, draw_bar
from jaxalign.report.drawing.legend import (
    draw_box,
    draw_legend,
    draw_swatch,
    is_hatched,
    legend_size,
)
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.colors import Scale, ink, modality_colors, scale
from jaxalign.report.vocabulary.order import Clustering, cluster, dissimilarity
from jaxalign.report.vocabulary.source import MetricView

PRINT_VALUES = 16  # models up to which the value is written into every cell
_PAD, _GAP, _STRIP, _TREE = 0.14, 0.05, 0.11, 0.85
_SIDE_GAP, _LEGEND_GAP = 0.3, 0.34
_INK, _SOFT = "#1b1b1b", "#5c5c5c"


@dataclasses.dataclass(frozen=True, eq=False)
class _Layout:
    """Positions in inches; (x, y) is the lower left corner of the cells."""

    width: float
    height: float
    x: float
    y: float
    cell: float
    count: int
    font: float
    names: list[str]
    side: float
    title: list[str]

    @property
    def top(self) -> float:
        return self.y + self.cell * self.count

    def row(self, position: float | int) -> float:
        return self.top - (position + 0.5) * self.cell


@functools.lru_cache(maxsize=64)  # views are compared by identity
def clustering(view: MetricView) -> Clustering:
    """The order in which a view's models are drawn."""
    distances = dissimilarity(view.values, similarity=view.similarity, best=view.best)
    return cluster(distances, ids=view.ids)


def color_scale(view: MetricView) -> Scale:
    """Scale over the values of different models; the diagonal would only use up contrast."""
    values = np.array([pair.value for pair in view.pairs])
    values = values[np.isfinite(values)]
    marks = [mark for mark in (view.floor, view.null) if mark is not None]
    low, high = min([0.0, *values, *marks]), max([0.0, *values, *marks])
    return scale(float(low), float(high), dark="high" if view.similarity else "low")


def draw_heatmap(view: MetricView, *, n: int) -> Figure:
    """Draws the clustered heatmap of one metric.

    Args:
      view: scores of at least two models.
      n: number of structures, for the title.

    Returns:
      Figure with all texts at 6 points or more, none of which touch.
    """
    tree, colors = clustering(view), color_scale(view)
    layout = _layout(view, order=tree.order, colors=colors, n=n)
    figure, axes = canvas.sheet(layout.width, layout.height)
    for line, text in enumerate(layout.title):
        y = layout.height - _PAD - 0.2 * line
        canvas.write(
            axes, _PAD, y, text, size=10.0, gid=f"title-{line}", va="top", weight="bold", color=_INK
        )
    _cells(axes, view, layout, order=tree.order, colors=colors)
    _names(axes, layout)
    _strips(axes, view, layout, order=tree.order)
    _dendrogram(axes, view, layout, tree=tree)
    top = layout.top + _GAP + _STRIP
    length = _bar_length(layout.cell * layout.count)
    bottom = draw_bar(axes, view, colors, x=layout.side, top=top, length=length)
    draw_legend(axes, view, x=layout.side, top=bottom - _LEGEND_GAP)
    return figure


def _layout(view: MetricView, *, order: np.ndarray, colors: Scale, n: int) -> _Layout:
    count = len(view.ids)
    if count <= PRINT_VALUES:
        cell = 0.62 if count <= 4 else 0.42
    else:
        cell = float(np.clip(8.0 / count, 0.135, 0.32))
    font = float(np.clip(cell * 72 * 0.6, canvas.SMALLEST, 8.5))
    short = labels.short_names(view.ids)
    names = [short[i] for i in order]
    label = canvas.widest(names, font) + 2 * _GAP
    x = _PAD + 0.1 + _TREE + _GAP + _STRIP + _GAP
    heat = cell * count
    side = x + heat + label + _SIDE_GAP
    width = side + max(bar_width(view, colors), legend_size(view)[0]) + _PAD
    facts = [view.title, f"n = {n:,} structures", labels.count(count, "model")]
    if view.k is not None:
        facts.insert(1, f"k = {view.k}")
    title = canvas.wrap(" · ".join(facts), width=width - 2 * _PAD, size=10.0, weight="bold")
    head = _PAD + 0.2 * len(title) + 0.1 + _STRIP + _GAP
    bar = bar_height(view, length=_bar_length(heat))
    legend = bar + _LEGEND_GAP + legend_size(view)[1] - _STRIP - _GAP
    body = max(heat + max(label, 0.5), legend)
    height = head + body + _PAD
    y = height - head - heat
    return _Layout(width, height, x, y, cell, count, font, names, side, title)


def _bar_length(heat: float) -> float:
    return float(np.clip(0.4 * heat, 1.5, 3.0))


def _cells(axes: Axes, view: MetricView, at: _Layout, *, order: np.ndarray, colors: Scale) -> None:
    values = view.values[np.ix_(order, order)]
    line = 0.8 if at.count <= PRINT_VALUES else 0.3
    edges = np.arange(at.count + 1) * at.cell
    shown = np.where(np.isfinite(values) & ~np.eye(at.count, dtype=bool), values, np.nan)
    axes.pcolormesh(
        at.x + edges,
        at.top - edges,
        np.ma.masked_invalid(shown),
        cmap=colors.cmap,
        vmin=colors.low,
        vmax=colors.high,
        edgecolors="white",
        linewidth=line,
        gid="cells",
    )
    for i in range(at.count):
        draw_box(axes, at.x + i * at.cell, at.row(i) - at.cell / 2, size=at.cell, kind="self")
    for i, j in np.argwhere(~np.isfinite(values) & ~np.eye(at.count, dtype=bool)).tolist():
        draw_box(axes, at.x + j * at.cell, at.row(i) - at.cell / 2, size=at.cell, kind="missing")
    frame = at.cell * at.count
    axes.add_patch(Rectangle((at.x, at.y), frame, frame, fill=False, lw=0.6, ec="#9a9a9a"))
    if at.count > PRINT_VALUES:
        return
    for i, j in np.argwhere(np.isfinite(shown)).tolist():
        canvas.write(
            axes,
            at.x + (j + 0.5) * at.cell,
            at.row(i),
            labels.fixed(float(shown[i, j]), 2),
            size=7.5,
            gid=f"value-{i}-{j}",
            ha="center",
            va="center_baseline",
            color=ink(colors.color(float(shown[i, j]))),
        )


def _names(axes: Axes, at: _Layout) -> None:
    right, low = at.x + at.cell * at.count + _GAP, at.y - _GAP
    for i, name in enumerate(at.names):
        style = {"size": at.font, "color": _INK}
        canvas.write(
            axes, right, at.row(i), name, gid=f"row-label-{i}", va="center_baseline", **style
        )
        middle = at.x + (i + 0.5) * at.cell
        canvas.write(
            axes,
            middle,
            low,
            name,
            gid=f"column-label-{i}",
            rotation=90,
            ha="center",
            va="top",
            **style,
        )


def _strips(axes: Axes, view: MetricView, at: _Layout, *, order: np.ndarray) -> None:
    colors = modality_colors([card.modality for card in view.cards])
    for position, model in enumerate(order):
        card = view.cards[model]
        style = {"color": colors[card.modality], "hatched": is_hatched(card)}
        x, y = at.x + position * at.cell, at.row(position) - at.cell / 2
        left = at.x - _GAP - _STRIP
        draw_swatch(axes, left, y, width=_STRIP, height=at.cell, **style)
        draw_swatch(axes, x, at.top + _GAP, width=at.cell, height=_STRIP, **style)


def _dendrogram(axes: Axes, view: MetricView, at: _Layout, *, tree: Clustering) -> None:
    """Tree to the left of the cells, with the height of its root on a small scale below."""
    if not tree.brackets:
        return
    root = at.x - 2 * _GAP - _STRIP
    top = tree.height if tree.height > 0 else 1.0
    inches = _TREE / top
    lines = [
        [(root - inches * h, at.row(p)) for p, h in zip(corners, heights, strict=True)]
        for corners, heights in tree.brackets
    ]
    width = 0.9 if at.count <= 60 else 0.6
    axes.add_collection(
        LineCollection(lines, colors="#444444", linewidths=width, gid="dendrogram", capstyle="butt")
    )
    y = at.y - 0.07
    ticks = [(root, "0"), (root - inches * tree.height, labels.fixed(tree.height, 2))]
    axes.add_collection(
        LineCollection(
            [[(root - _TREE, y), (root, y)], *[[(x, y), (x, y - 0.04)] for x, _ in ticks]],
            colors=_SOFT,
            linewidths=0.6,
        )
    )
    style = {"size": 6.5, "color": _SOFT, "ha": "center", "va": "top"}
    for number, (x, text) in enumerate(ticks if tree.height > 0 else ticks[:1]):
        canvas.write(axes, x, y - 0.06, text, gid=f"tree-tick-{number}", **style)
    words = f"{labels.fixed(view.best, 0)} − score" if view.similarity else "distance"
    canvas.write(axes, root - _TREE / 2, y - 0.19, words, gid="tree-axis", **style)
