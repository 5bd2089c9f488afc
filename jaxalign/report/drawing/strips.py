"""Pairs by relation: every score as a point, grouped by how the two models are related."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxalign.report.drawing import canvas
from jaxalign.report.drawing.colorbar import decimals_of
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.relations import PRETRAINED, RELATIONS
from jaxalign.report.vocabulary.source import MetricView

_PAD, _ROW, _PLOT, _SIZE = 0.14, 0.46, 4.6, 8.0
_INK, _SOFT, _RED = "#1b1b1b", "#5c5c5c", "#a03020"


def draw_strips(view: MetricView) -> Figure:
    """Draws all scores of a metric, one row a relation, with means and the chance level.

    Args:
      view: scores of at least two models.

    Returns:
      Figure; relations without a pair are left out.
    """
    groups = [name for name, found in view.spreads.items() if found.count]
    words = [RELATIONS[name] for name in groups]
    notes = [_note(view, name) for name in groups]
    left = _PAD + canvas.widest(words, _SIZE) + 0.15
    width = left + _PLOT + 0.15 + canvas.widest(notes, _SIZE) + _PAD
    title = canvas.wrap(f"{view.title}: pairs by relation", width=width, size=10.0, weight="bold")
    head = _PAD + 0.2 * len(title) + 0.32
    height = head + _ROW * max(len(groups), 1) + 0.6
    figure, axes = canvas.sheet(width, height)
    for number, line in enumerate(title):
        y = height - _PAD - 0.2 * number
        style = {"va": "top", "weight": "bold", "color": _INK}
        canvas.write(axes, _PAD, y, line, size=10.0, gid=f"title-{number}", **style)
    low, high = _limits(view)
    inches = _PLOT / (high - low)
    top = height - head
    bottom = top - _ROW * max(len(groups), 1)
    _scale(axes, view, low=low, high=high, left=left, bottom=bottom, top=top)
    if view.null is not None:
        _chance(axes, view.null, left + inches * (view.null - low), bottom=bottom, top=top, at=left)
    for number, name in enumerate(groups):
        y = top - _ROW * (number + 0.5)
        style = {"va": "center_baseline", "color": _INK}
        canvas.write(
            axes,
            left - 0.12,
            y,
            words[number],
            size=_SIZE,
            gid=f"group-{number}",
            ha="right",
            **style,
        )
        canvas.write(
            axes, left + _PLOT + 0.15, y, notes[number], size=_SIZE, gid=f"note-{number}", **style
        )
        _points(axes, view, name, left=left - inches * low, inches=inches, y=y)
    return figure


def _note(view: MetricView, name: str) -> str:
    found = view.spreads[name]
    return f"mean {labels.score(found.mean)} ({labels.count(found.count, 'pair')})"


def _limits(view: MetricView) -> tuple[float, float]:
    values = np.array([pair.value for pair in view.pairs])
    values = [*values[np.isfinite(values)], 0.0, *([] if view.null is None else [view.null])]
    low, high = float(min(values)), float(max(values))
    reach = high - low or 1.0
    return low - 0.03 * reach, high + 0.03 * reach


def _scale(axes: Axes, view: MetricView, *, low, high, left, bottom, top) -> None:
    ticks = MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    decimals = decimals_of(float(np.min(np.diff(ticks))))
    inches = _PLOT / (high - low)
    inside = [float(t) for t in ticks if low <= t <= high]
    grid = [[(left + inches * (t - low), bottom), (left + inches * (t - low), top)] for t in inside]
    axes.add_collection(LineCollection(grid, colors="#e6e6e6", linewidths=0.6, zorder=0))
    base = [[(left, bottom), (left + _PLOT, bottom)]]
    axes.add_collection(LineCollection(base, colors=_SOFT, linewidths=0.8, zorder=1))
    style = {"size": 7.5, "va": "top", "ha": "center"}
    for number, tick in enumerate(inside):
        text = "0" if abs(tick) < 1e-12 else labels.fixed(tick, decimals)
        x = left + inches * (tick - low)
        canvas.write(axes, x, bottom - 0.06, text, gid=f"x-tick-{number}", color=_INK, **style)
    words = view.axis if view.similarity else f"{view.axis} – lower is more alike"
    canvas.write(axes, left + _PLOT / 2, bottom - 0.26, words, gid="x-axis", color=_INK, **style)


def _chance(axes: Axes, null: float, x: float, *, bottom: float, top: float, at: float) -> None:
    line = [[(x, bottom), (x, top + 0.08)]]
    axes.add_collection(
        LineCollection(line, colors=_RED, linewidths=1.0, linestyles=[(0, (3, 2))], zorder=2)
    )
    left = x < at + _PLOT / 2
    canvas.write(
        axes,
        x + (0.05 if left else -0.05),
        top + 0.03,
        f"chance {labels.score(null)}",
        size=7.5,
        gid="chance",
        ha="left" if left else "right",
        va="bottom",
        color=_RED,
    )


def _points(axes: Axes, view: MetricView, name: str, *, left, inches, y) -> None:
    values = np.array([pair.value for pair in view.pairs if pair.relation == name])
    values = np.sort(values[np.isfinite(values)])
    x = left + inches * values
    color = "#1f6fa8" if name in PRETRAINED else "#7d7d7d"
    size = 16.0 if len(values) <= 60 else 7.0
    axes.scatter(
        x,
        y + swarm(x, reach=0.36 * _ROW),
        s=size,
        color=color,
        alpha=0.6,
        lw=0,
        zorder=3,
        gid=f"points-{name}",
    )
    if len(x) == 1:
        return  # a single point is its own mean
    mean = float(x.mean())
    bar = [[(mean, y - 0.4 * _ROW), (mean, y + 0.4 * _ROW)]]
    axes.add_collection(
        LineCollection(bar, colors=_INK, linewidths=1.8, zorder=2 if len(x) <= 60 else 4)
    )


def swarm(
    x: Float[np.ndarray, " p"], *, reach: float, near: float = 0.06
) -> Float[np.ndarray, " p"]:
    """Sideways offsets that part crowded points: wide where they are dense, 0 where one is alone.

    Deterministic: a low-discrepancy sequence in the order of the values.

    Args:
      x: ascending positions in inches.
      reach: greatest offset in inches.
      near: points this close in inches are neighbors.

    Returns:
      `[p]` offsets in inches.
    """
    crowd = np.searchsorted(x, x + near, "right") - np.searchsorted(x, x - near, "left") - 1
    width = reach * np.minimum(1.0, crowd / 8.0)
    golden = (0.5 + np.arange(len(x)) * (np.sqrt(5) - 1) / 2) % 1.0
    return width * (2.0 * golden - 1.0)
