"""A figure of points, lines and regions, stated once and drawn twice: on the page and on paper.

All words are plain: they come from users, and whoever draws them makes them harmless.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

GRAY = "#8a8a8a"
"""Of lines that are no data: legible on a light and on a dark ground."""

_FEW = 4  # decades in which every tick of 1, 2 and 5 has room

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down")


@dataclasses.dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
      title: quantity and unit; "" for rows that need none.
      log: logarithmic.
      limits: first and last value, in units of the data; the larger one may be first.
      ticks: (value, words) of all ticks; without any they are chosen by the drawing.
      opposite: at the right, or at the top.
      hidden: neither ticks nor grid.
      grid: lines at the ticks.
    """

    title: str = ""
    log: bool = False
    limits: tuple[float, float] | None = None
    ticks: tuple[tuple[float, str], ...] = ()
    opposite: bool = False
    hidden: bool = False
    grid: bool = True


@dataclasses.dataclass(frozen=True)
class Points:
    """Points of one kind; those with a NaN are not drawn.

    Attributes:
      x: places.
      y: places.
      hover: what is said of each, in lines.
      name: of the kind, in the legend; "" for none.
      color: hex color.
      symbol: one of `SYMBOLS`.
      hollow: outlined only.
      size: diameter in CSS pixels.
      spans: lower and upper ends of an interval of each; () for none.
      along: axis of the spans, `"x"` or `"y"`.
      words: written at each point instead of a mark; () for marks.
    """

    x: Sequence[float]
    y: Sequence[float]
    hover: Sequence[str] = ()
    name: str = ""
    color: str = GRAY
    symbol: str = "circle"
    hollow: bool = False
    size: float = 9.0
    spans: Sequence[tuple[float, float]] = ()
    along: str = "x"
    words: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Line:
    """A line through places; a NaN lifts the pen.

    Attributes:
      x: places.
      y: places.
      name: in the legend; "" for none.
      color: hex color.
      dash: `"solid"`, `"dash"` or `"dot"`.
      width: CSS pixels.
    """

    x: Sequence[float]
    y: Sequence[float]
    name: str = ""
    color: str = GRAY
    dash: str = "solid"
    width: float = 1.2


@dataclasses.dataclass(frozen=True)
class Region:
    """A shaded polygon with its name.

    Attributes:
      corners: (x, y) in order.
      label: its name; "" for none.
      at: where the name is centered.
    """

    corners: tuple[tuple[float, float], ...]
    label: str = ""
    at: tuple[float, float] = (0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Label:
    """The name of a point, at a place beside it where it meets no other one.

    Attributes:
      x: of the point.
      y: of the point.
      text: the name.
      side: `"right"`, `"left"`, `"above"` or `"below"`.
    """

    x: float
    y: float
    text: str
    side: str


@dataclasses.dataclass(frozen=True)
class PointFigure:
    """A whole figure.

    Attributes:
      x: horizontal axis.
      y: vertical axis.
      points: kinds of points, the last on top.
      lines: below the points.
      regions: below the lines.
      labels: names beside points.
      rows: number of rows, where the vertical axis is a list; 0 where it is a quantity.
      equal: one unit is as long on both axes.
    """

    x: Axis
    y: Axis
    points: tuple[Points, ...] = ()
    lines: tuple[Line, ...] = ()
    regions: tuple[Region, ...] = ()
    labels: tuple[Label, ...] = ()
    rows: int = 0
    equal: bool = False


def row_axis(names: Sequence[str], *, opposite: bool = False) -> Axis:
    """The axis of a list: row 0 on top, one tick a row."""
    ticks = tuple((float(row), name) for row, name in enumerate(names))
    return Axis(limits=(len(names) - 0.4, -0.6), ticks=ticks, opposite=opposite)


def log_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Ticks of a logarithmic axis: 1, 2, 5, 10, … within a few decades, else powers of ten."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= _FEW else (1,)
    values = [step * 10.0**decade for decade in decades for step in steps]
    return tuple((value, f"{value:g}") for value in values if low <= value <= high)
