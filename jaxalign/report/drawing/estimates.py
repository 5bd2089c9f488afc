"""Estimates of single models (intrinsic dimension): one row a model, one mark a method."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxalign.report.drawing import canvas
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.source import AlignmentLike
from jaxalign.report.vocabulary.tables import Cell, Table, number, text

_PAD, _ROW, _PLOT, _SIZE = 0.14, 0.24, 4.6, 8.0
_INK, _SOFT = "#1b1b1b", "#5c5c5c"
_MARKS = (("o", "#1f6fa8"), ("s", "#a03020"), ("^", "#5b7d1f"), ("D", "#7a4fa0"))


@dataclasses.dataclass(frozen=True)
class EstimateView:
    """One method's estimates, by model id.

    Attributes:
      metric: metric id.
      title: name for people.
      definition: formula in words.
      k: neighbors that were read.
      values: estimate of each model; NaN where there is none.
      errors: standard errors; NaN where the method has none.
      reasons: why a model has no estimate.
    """

    metric: str
    title: str
    definition: str
    k: int | None
    values: dict[str, float]
    errors: dict[str, float]
    reasons: dict[str, str]


def of_single_models(alignment: AlignmentLike, metric: str) -> bool:
    """Whether a metric has values of models and none of pairs."""
    return bool(alignment.metadata(metric).get("of_single_models"))


def estimate_views(alignment: AlignmentLike) -> list[EstimateView]:
    """All metrics of single models, in the order of the run."""
    stored = alignment.diagnostics.get("estimates") or {}
    views = []
    for metric in alignment.metrics:
        if not of_single_models(alignment, metric):
            continue
        facts, diagonal = alignment.metadata(metric), np.diag(alignment.matrix(metric).values)
        errors = {name: found.get("error") for name, found in stored.get(metric, {}).items()}
        views.append(
            EstimateView(
                metric=metric,
                title=str(facts["title"]),
                definition=str(facts["definition"]),
                k=facts.get("k"),
                values=dict(zip(alignment.cards, map(float, diagonal), strict=True)),
                errors={name: math.nan if e is None else e for name, e in errors.items()},
                reasons={
                    where.split(" – ")[0]: why for where, why in (facts["reasons"] or {}).items()
                },
            )
        )
    return views


def estimates_table(views: Sequence[EstimateView], ids: Sequence[str]) -> Table:
    """One row a model, one column a method: estimate ± standard error."""
    rows = []
    for name in ids:
        cells = [text(name)]
        for view in views:
            value, error = view.values[name], view.errors.get(name, math.nan)
            shown = labels.fixed(value, 2) if math.isfinite(value) else view.reasons.get(name, "–")
            if math.isfinite(value) and math.isfinite(error):
                shown += f" ± {labels.fixed(error, 2)}"
            cells.append(number(value, shown) if math.isfinite(value) else Cell(shown))
        rows.append(tuple(cells))
    columns = ("Model", *(_heading(view) for view in views))
    return Table("estimates", "Estimates of each model (± standard error)", columns, tuple(rows))


def draw_estimates(views: Sequence[EstimateView], ids: Sequence[str]) -> Figure:
    """Draws the estimates of all methods, one row a model, with standard errors as bars.

    Args:
      views: at least one method.
      ids: models from top to bottom.

    Returns:
      The figure.
    """
    names = labels.short_names(list(ids))
    left = _PAD + canvas.widest(names, _SIZE) + 0.15
    headings = [_heading(view) for view in views]
    legend = canvas.widest(headings, _SIZE) + 0.35
    width = left + _PLOT + 0.2 + legend + _PAD
    top_margin, bottom_margin = _PAD + 0.4, 0.6
    height = top_margin + _ROW * max(len(ids), len(views) + 1) + bottom_margin
    figure, axes = canvas.sheet(width, height)
    style = {"va": "top", "weight": "bold", "color": _INK}
    title = "Intrinsic dimension of each model"
    canvas.write(axes, _PAD, height - _PAD, title, size=10.0, gid="title-0", **style)
    top = height - top_margin
    bottom = top - _ROW * len(ids)
    reach = _reach(views)
    _axis(axes, reach, left=left, bottom=bottom, top=top)
    for row, name in enumerate(names):
        y = top - _ROW * (row + 0.5)
        style = {"ha": "right", "va": "center_baseline", "color": _INK}
        canvas.write(axes, left - 0.12, y, name, size=_SIZE, gid=f"row-label-{row}", **style)
    for place, view in enumerate(views):
        mark, color = _MARKS[place % len(_MARKS)]
        y = top - _ROW * (place + 0.5)
        x = left + _PLOT + 0.3
        axes.scatter([x], [y], s=22, marker=mark, color=color, gid=f"legend-{place}")
        style = {"va": "center_baseline", "color": _INK}
        words = headings[place]
        canvas.write(axes, x + 0.12, y, words, size=_SIZE, gid=f"legend-text-{place}", **style)
        _marks(axes, view, ids, left=left, inches=_PLOT / reach, top=top, mark=mark, color=color)
    return figure


def _heading(view: EstimateView) -> str:
    return view.title + ("" if view.k is None else f", k = {view.k}")


def _reach(views: Sequence[EstimateView]) -> float:
    ends = [
        value + (error if math.isfinite(error := view.errors.get(name, 0.0)) else 0.0)
        for view in views
        for name, value in view.values.items()
        if math.isfinite(value)
    ]
    return 1.05 * max(ends, default=1.0)


def _axis(axes: Axes, reach: float, *, left: float, bottom: float, top: float) -> None:
    ticks = MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]).tick_values(0.0, reach)
    inside = [float(tick) for tick in ticks if 0 <= tick <= reach]
    inches = _PLOT / reach
    grid = [[(left + inches * t, bottom), (left + inches * t, top)] for t in inside]
    axes.add_collection(LineCollection(grid, colors="#e6e6e6", linewidths=0.6, zorder=0))
    base = [[(left, bottom), (left + _PLOT, bottom)]]
    axes.add_collection(LineCollection(base, colors=_SOFT, linewidths=0.8, zorder=1))
    style = {"size": 7.5, "va": "top", "ha": "center", "color": _INK}
    for place, tick in enumerate(inside):
        x = left + inches * tick
        canvas.write(axes, x, bottom - 0.06, f"{tick:g}", gid=f"x-tick-{place}", **style)
    words = "intrinsic dimension (number of coordinates); bars: ± 1 standard error"
    canvas.write(axes, left + _PLOT / 2, bottom - 0.26, words, gid="x-axis", **style)


def _marks(axes: Axes, view: EstimateView, ids, *, left, inches, top, mark, color) -> None:
    for row, name in enumerate(ids):
        value, error = view.values[name], view.errors.get(name, math.nan)
        if not math.isfinite(value):
            continue
        x, y = left + inches * value, top - _ROW * (row + 0.5)
        if math.isfinite(error):
            bar = [[(x - inches * error, y), (x + inches * error, y)]]
            axes.add_collection(LineCollection(bar, colors=color, linewidths=1.2, zorder=2))
        style = {"s": 20, "marker": mark, "color": color, "alpha": 0.85, "lw": 0, "zorder": 3}
        axes.scatter([x], [y], gid=f"{view.metric}-{row}", **style)
