"""Small plots side by side, with one legend and one note: the figures of measurements."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from jaxalign.report.drawing import canvas
from jaxalign.report.vocabulary.labels import MINUS

_PAD, _WIDTH, _HEIGHT, _COLUMNS = 0.18, 3.3, 2.3, 2
_LEFT, _BELOW, _ABOVE = 0.78, 0.55, 0.32  # room of a panel's labels, inches
_SIZE, _INK, _SOFT = 8.0, "#1b1b1b", "#5c5c5c"


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve; without a mark it is a bound, drawn dashed or, with a color, dotted.

    Attributes:
      label: for the legend; bounds are explained by titles and the note.
      x: positive values.
      y: values; positive on a logarithmic axis.
      color: of the curve; "" for ink.
      mark: matplotlib marker.
      errors: half lengths of the error bars; empty for none.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    color: str = ""
    mark: str = ""
    errors: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Panel:
    """One plot: title, axes with their units, curves; x is logarithmic, and y unless `linear`."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    linear: bool = False


def draw_panels(panels: Sequence[Panel], *, title: str, note: str) -> Figure:
    """Draws panels in two columns.

    Args:
      panels: at least one.
      title: above all.
      note: below all; wrapped.

    Returns:
      The figure.
    """
    columns, rows = min(_COLUMNS, len(panels)), -(-len(panels) // _COLUMNS)
    cell, tall = _LEFT + _WIDTH + 0.1, _ABOVE + _HEIGHT + _BELOW
    width = 2 * _PAD + columns * cell
    lines = canvas.wrap(note, width=width - 2 * _PAD, size=_SIZE)
    below = _PAD + 0.16 * len(lines)
    keys = {line.label: line for panel in panels for line in panel.lines if line.mark}
    above = _PAD + 0.32 + 0.24 * len(_legend_rows(list(keys), width - 2 * _PAD))
    height = below + 0.1 + rows * tall + above
    figure, sheet = canvas.sheet(width, height)
    style = {"va": "top", "color": _INK}
    top = height - _PAD
    canvas.write(sheet, _PAD, top, title, size=11.0, gid="title", weight="bold", **style)
    _legend(sheet, keys, top=top - 0.36, width=width - 2 * _PAD)
    for number, panel in enumerate(panels):
        row, column = divmod(number, _COLUMNS)
        left = _PAD + column * cell + _LEFT
        bottom = height - above - (row + 1) * tall + _BELOW
        box = (left / width, bottom / height, _WIDTH / width, _HEIGHT / height)
        _draw(figure.add_axes(box), panel, gid=f"panel-{number}")
    for number, words in enumerate(lines):
        y = below - 0.16 * number
        canvas.write(sheet, _PAD, y, words, size=_SIZE, gid=f"note-{number}", va="top", color=_SOFT)
    return figure


def short_number(value: float) -> str:
    """A tick of any magnitude: 0.01, 20, 4k, 1.5M, 3G."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9999 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _draw(axes: Axes, panel: Panel, *, gid: str) -> None:
    axes.set_gid(gid)
    axes.set_xscale("log", base=2)
    axes.set_yscale("linear" if panel.linear else "log")
    for line in panel.lines:
        bound = {"linestyle": ":" if line.color else "--", "linewidth": 1.0, "zorder": 1}
        curve = {"marker": line.mark, "markersize": 4.5, "linewidth": 1.3, "alpha": 0.9}
        axes.plot(line.x, line.y, color=line.color or _SOFT, **(curve if line.mark else bound))
        if line.errors:
            bars = {"fmt": "none", "ecolor": line.color or _SOFT, "elinewidth": 1.0, "capsize": 2}
            axes.errorbar(line.x, line.y, yerr=line.errors, **bars)
    places = sorted({x for line in panel.lines for x in line.x})
    axes.xaxis.set_major_locator(FixedLocator(_apart(places)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    if panel.linear:
        axes.margins(y=0.08)
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.3g}".replace("-", MINUS)))
    else:
        _vertical(axes, [y for line in panel.lines for y in line.y])
    axes.set_title(panel.title, fontsize=9.0, loc="left", color=_INK)
    axes.set_xlabel(panel.x, fontsize=_SIZE, color=_INK)
    axes.set_ylabel(panel.y, fontsize=_SIZE, color=_INK)
    axes.tick_params(labelsize=7.5, colors=_INK)
    axes.grid(True, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _vertical(axes: Axes, values: Sequence[float]) -> None:
    low, high = min(values) / 1.4, max(values) * 1.4
    axes.set_ylim(low, high)
    # Within two decades, decades alone would leave one or two ticks.
    steps = (1.0, 2.0, 5.0) if math.log10(high / low) < 2.5 else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=steps, numticks=12))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: short_number(y)))


def _apart(places: Sequence[float]) -> list[float]:
    """Ticks at the measured places, without those whose labels would touch."""
    kept: list[float] = []
    span = math.log2(places[-1] / places[0]) or 1.0
    for place in places:
        if not kept or math.log2(place / kept[-1]) / span * _WIDTH > 0.45:
            kept.append(place)
    return kept


def _legend_rows(labels: Sequence[str], width: float) -> list[list[str]]:
    rows: list[list[str]] = []
    used = math.inf
    for label in labels:
        wide = 0.6 + canvas.extent(label, _SIZE)[0]
        if used + wide > width:
            rows.append([])
            used = 0.0
        rows[-1].append(label)
        used += wide
    return rows


def _legend(sheet: Axes, keys: dict[str, Line], *, top: float, width: float) -> None:
    for number, labels in enumerate(_legend_rows(list(keys), width)):
        x, y = _PAD, top - 0.24 * number - 0.08
        for label in labels:
            line = keys[label]
            sheet.plot([x, x + 0.3], [y, y], color=line.color, linewidth=1.3)
            sheet.plot([x + 0.15], [y], marker=line.mark, markersize=4.5, color=line.color)
            style = {"va": "center_baseline", "color": _INK}
            canvas.write(sheet, x + 0.38, y, label, size=_SIZE, gid=f"legend-{label}", **style)
            x += 0.6 + canvas.extent(label, _SIZE)[0]
