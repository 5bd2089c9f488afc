"""A small matrix with a number in every cell: blocks of models, layers against layers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from jaxalign.report.charts.points import Axis
from jaxalign.report.charts.points_page import escaped, texts
from jaxalign.report.charts.points_paper import INK, SIZE, drawable, frame
from jaxalign.report.drawing import canvas
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.colors import MISSING, ink, scale

_CELL, _MOST = 34, 30  # CSS pixels a row; rows and columns from which on numbers are left out
_UPRIGHT = 6  # columns whose names have room side by side
_INCH = 0.36
_STEPS = 16  # colors that the page is given; it blends between them


@dataclasses.dataclass(frozen=True, eq=False)
class Grid:
    """A matrix to be drawn.

    Attributes:
      values: `[rows, columns]`; NaN where there is nothing.
      rows: names, top to bottom.
      columns: names, left to right.
      hover: what is said of each cell.
      x: what the columns are.
      y: what the rows are.
      quantity: what the color means, with unit.
      low: end of the color scale.
      high: other end.
      similarity: larger means more alike: dark.
      numbers: words in the cells; () for none.
    """

    values: Float64[np.ndarray, "rows columns"]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    hover: tuple[tuple[str, ...], ...]
    x: str
    y: str
    quantity: str
    low: float
    high: float
    similarity: bool = True
    numbers: tuple[tuple[str, ...], ...] = ()


def numbers(values: Float64[np.ndarray, "rows columns"]) -> tuple[tuple[str, ...], ...]:
    """Cells as words of two decimals; none where there are too many to be read."""
    if max(values.shape, default=0) > _MOST:
        return ()
    return tuple(tuple(_short(value) for value in row) for row in values.tolist())


def grid_plotly(grid: Grid) -> dict[str, Any]:
    """A matrix for plotly.js; the height grows with its rows."""
    colors = _scale(grid)
    places = np.linspace(0.0, 1.0, _STEPS)
    trace: dict[str, Any] = {
        "type": "heatmap",
        "z": [[v if math.isfinite(v) else None for v in row] for row in grid.values.tolist()],
        "x": list(range(len(grid.columns))),
        "y": list(range(len(grid.rows))),
        "zmin": colors.low,
        "zmax": colors.high,
        "colorscale": [[float(p), to_hex(colors.cmap(float(p)))] for p in places],
        "xgap": 1,
        "ygap": 1,
        "hovertext": texts(grid.hover),
        "hoverinfo": "text",
        "hoverongaps": False,
        "colorbar": {"title": {"text": escaped(grid.quantity), "side": "right"}, "thickness": 12},
    }
    if grid.numbers:  # numbers alone: no name can be taken for a template
        trace |= {"text": [list(row) for row in grid.numbers], "texttemplate": "%{text}"}
        trace["textfont"] = {"size": 11 if max(grid.values.shape) <= 16 else 9}
    rows, columns = (_names(names, 40) for names in (grid.rows, grid.columns))
    slanted = len(columns) > _UPRIGHT
    below = 6 * max(map(len, columns), default=0) if slanted else 20  # pixels that names take
    layout = {
        "height": 100 + below + (_CELL if grid.numbers else 20) * max(len(rows), 3),
        "margin": {"l": 60, "r": 20, "t": 16, "b": 60},
        "xaxis": _axis(columns, grid.x, "bottom"),
        "yaxis": _axis(rows, grid.y, "left") | {"autorange": "reversed"},
    }
    return {"data": [trace], "layout": layout}


def draw_grid(grid: Grid, title: str) -> Figure:
    """Draws a matrix with matplotlib; call it inside `canvas.style()`."""
    rows, columns = (_names(names, 28) for names in (grid.rows, grid.columns))
    cell = _INCH if grid.numbers else 0.2
    beside, below = canvas.widest(rows, SIZE) + 0.4, canvas.widest(columns, SIZE) + 0.4
    inside = (max(cell * len(columns), 1.0), max(cell * len(rows), 0.6))
    wide = max(beside + inside[0] + 1.2, canvas.extent(drawable(title), 10.0, "bold")[0] + 0.4)
    whole = (wide, below + inside[1] + 0.55)
    drawn = Figure(figsize=whole, dpi=canvas.DPI, facecolor="white")
    FigureCanvasAgg(drawn)
    style = {"fontsize": 10.0, "weight": "bold", "color": INK, "va": "top"}
    drawn.text(0.14 / whole[0], 1 - 0.14 / whole[1], drawable(title), gid="title-0", **style)
    corner = (beside / whole[0], below / whole[1])
    axes = drawn.add_axes((*corner, inside[0] / whole[0], inside[1] / whole[1]))
    _cells(axes, grid)
    ticks = [tuple((float(i), name) for i, name in enumerate(names)) for names in (columns, rows)]
    x = Axis(grid.x, limits=(-0.5, len(columns) - 0.5), ticks=ticks[0])
    frame(axes, x, Axis(grid.y, limits=(len(rows) - 0.5, -0.5), ticks=ticks[1]))
    axes.tick_params(axis="x", rotation=90)
    axes.grid(visible=False)
    _bar(drawn, grid, at=(beside + inside[0] + 0.15, below), height=inside[1])
    return drawn


def _cells(axes, grid: Grid) -> None:
    colors = _scale(grid)
    for row, values in enumerate(grid.values.tolist()):
        for column, value in enumerate(values):
            color = colors.color(value) if math.isfinite(value) else MISSING
            style = {"fc": color, "ec": "white", "lw": 0.5, "gid": f"cell-{row}-{column}"}
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1.0, 1.0, **style))
            if grid.numbers and math.isfinite(value):
                style = {"fontsize": 6.5, "ha": "center", "va": "center", "color": ink(color)}
                axes.text(column, row, grid.numbers[row][column], **style)


def _bar(drawn: Figure, grid: Grid, *, at: tuple[float, float], height: float) -> None:
    width, tall = drawn.get_size_inches()
    axes = drawn.add_axes((at[0] / width, at[1] / tall, 0.12 / width, height / tall))
    colors = _scale(grid)
    steps = np.linspace(colors.low, colors.high, 128)
    ends = (0.0, 1.0, colors.low, colors.high)
    axes.imshow(steps[:, None], aspect="auto", origin="lower", cmap=colors.cmap, extent=ends)
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.set_ylabel(drawable(grid.quantity), fontsize=SIZE - 0.5, color=INK)
    axes.tick_params(labelsize=SIZE - 1, length=2)
    for side in axes.spines.values():
        side.set_visible(False)


def _scale(grid: Grid):
    return scale(grid.low, grid.high, dark="high" if grid.similarity else "low")


def _axis(names: Sequence[str], title: str, side: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "side": side,
        "automargin": True,
        "showgrid": False,
        "zeroline": False,
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [escaped(name) for name in names],
        "title": {"text": escaped(title), "standoff": 10},
    }
    long = side == "bottom" and len(names) > _UPRIGHT
    return found | ({"tickangle": -60} if long else {})


def _names(names: Sequence[str], limit: int) -> list[str]:
    return labels.short_names(list(names), limit=limit)


def _short(value: float) -> str:
    return labels.fixed(value, 2) if math.isfinite(value) else ""
