"""Colour bar that marks zero and the noise floor, not only round numbers."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from jaxalign.report.drawing import canvas
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.colors import Scale
from jaxalign.report.vocabulary.source import MetricView

_BAR, _TICK, _SIZE, _LINE = 0.16, 0.05, 7.5, 0.14
_TITLE_WIDTH = 1.75
_INK, _SOFT = "#1b1b1b", "#5c5c5c"


def marks(view: MetricView) -> list[tuple[str, float, str]]:
    """(gid, value, text) of the values marked beside the ticks: noise floor and chance level."""
    found = []
    if view.floor is not None:
        found.append(("colorbar-floor", view.floor, f"noise floor {labels.score(view.floor)}"))
    if view.null is not None:
        found.append(("colorbar-null", view.null, f"chance {labels.score(view.null)}"))
    return found


def bar_width(view: MetricView, colors: Scale) -> float:
    """Inches that the bar needs with its ticks, marks and title."""
    return max(_bar_left(colors) + _BAR + _mark_gap() + _mark_width(view), _title_width(view))


def bar_height(view: MetricView, *, length: float) -> float:
    """Inches from the top of the title to the lower end of a bar of some length."""
    return _LINE * len(_title(view)) + 0.1 + length


def draw_bar(
    axes: Axes, view: MetricView, colors: Scale, *, x: float, top: float, length: float
) -> float:
    """Draws the bar: title above, ticks (0 among them) at its left, marks at its right.

    Args:
      axes: a sheet in inches.
      view: scores and marks.
      colors: scale and range.
      x: left end of the title and of the tick labels.
      top: upper end of the title.
      length: length of the bar; everything in inches.

    Returns:
      Lower end of the bar.
    """
    for number, line in enumerate(_title(view)):
        gid = f"colorbar-title-{number}"
        y = top - _LINE * number
        canvas.write(axes, x, y, line, size=_SIZE, gid=gid, va="top", color=_INK)
    left = x + _bar_left(colors)
    lower = top - bar_height(view, length=length)
    upper = lower + length
    gradient = np.linspace(colors.low, colors.high, 256)[:, None]
    axes.pcolormesh(
        [left, left + _BAR],
        np.linspace(lower, upper, 257),
        gradient,
        cmap=colors.cmap,
        vmin=colors.low,
        vmax=colors.high,
        rasterized=True,
    )
    axes.add_patch(Rectangle((left, lower), _BAR, length, fill=False, lw=0.6, ec="#9a9a9a"))
    inches = length / (colors.high - colors.low)
    _draw_ticks(axes, colors, left=left, lower=lower, inches=inches)
    _draw_marks(axes, view, colors, left=left, lower=lower, inches=inches)
    return lower


def ticks(colors: Scale) -> list[tuple[float, str]]:
    """Round values of a scale with their labels; 0 is always among them."""
    values = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(colors.low, colors.high)
    slack = 1e-9 * (colors.high - colors.low)
    inside = [float(v) for v in values if colors.low - slack <= v <= colors.high + slack]
    step = float(np.min(np.diff(values)))
    decimals = decimals_of(step)
    return [(v, "0" if abs(v) < step / 1e3 else labels.fixed(v, decimals)) for v in inside]


def decimals_of(step: float) -> int:
    """Decimals that tell multiples of a round step apart, e.g. 1 for 0.2 and 2 for 0.25."""
    decimals = max(0, int(-np.floor(np.log10(step) + 1e-9)))
    return decimals if np.isclose(round(step, decimals), step, rtol=1e-6) else decimals + 1


def _draw_ticks(axes: Axes, colors: Scale, *, left: float, lower: float, inches: float) -> None:
    for number, (value, text) in enumerate(ticks(colors)):
        y = lower + inches * (value - colors.low)
        zero = text == "0"
        axes.add_collection(
            LineCollection([[(left - _TICK, y), (left, y)]], colors=_INK, linewidths=0.7)
        )
        canvas.write(
            axes,
            left - _TICK - 0.03,
            y,
            text,
            size=_SIZE,
            gid="colorbar-zero" if zero else f"colorbar-tick-{number}",
            ha="right",
            va="center_baseline",
            weight="bold" if zero else "normal",
            color=_INK,
        )


def _draw_marks(axes, view, colors, *, left, lower, inches) -> None:
    right = left + _BAR
    found = sorted(marks(view), key=lambda mark: mark[1])
    true = [lower + inches * (value - colors.low) for _, value, _ in found]
    for y, place, (gid, _, text) in zip(true, spread_out(true, gap=0.15), found, strict=True):
        path = [(left, y), (right + 0.05, y), (right + _mark_gap() - 0.04, place)]
        dashes = "solid" if gid == "colorbar-floor" else (0, (2, 1.5))
        axes.add_collection(
            LineCollection([path], colors="#c0392b", linewidths=1.0, linestyles=[dashes])
        )
        canvas.write(
            axes,
            right + _mark_gap(),
            place,
            text,
            size=_SIZE,
            gid=gid,
            va="center_baseline",
            color="#a03020",
        )


def spread_out(places: list[float], *, gap: float) -> list[float]:
    """Moves ascending places apart until neighbors are `gap` away, around their common middle."""
    if len(places) < 2 or min(np.diff(places)) >= gap:
        return list(places)
    middle = float(np.mean(places))
    return [middle + gap * (i - (len(places) - 1) / 2) for i in range(len(places))]


def _bar_left(colors: Scale) -> float:
    return canvas.widest([text for _, text in ticks(colors)], _SIZE) * 1.12 + _TICK + 0.04


def _mark_gap() -> float:
    return 0.2


def _mark_width(view: MetricView) -> float:
    return canvas.widest([text for _, _, text in marks(view)], _SIZE)


def _title(view: MetricView) -> list[str]:
    lower = "" if view.similarity else " – lower is more alike"
    return canvas.wrap(view.axis + lower, width=_TITLE_WIDTH, size=_SIZE)


def _title_width(view: MetricView) -> float:
    return canvas.widest(_title(view), _SIZE)
