"""Scores of pairs as charts: the matrix as a picture, and pairs by relation."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxalign.report.drawing.heatmap import clustering, color_scale, draw_heatmap
from jaxalign.report.drawing.strips import draw_strips, swarm
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.relations import PRETRAINED, RELATIONS, spread
from jaxalign.report.vocabulary.source import MetricView
from jaxalign.report.vocabulary.views import Chart

_SHOWN_NAMES = 40  # models up to which the picture names them
_POINTS = 3000  # pairs up to which every one is a point; beyond, boxes
_BLUE, _GRAY = "#2f86c1", "#8c8c8c"


def heatmap_chart(view: MetricView, *, name: str, title: str, n: int) -> Chart:
    """The clustered matrix of one metric as a picture.

    Args:
      view: scores of at least two models.
      name: see `Chart`.
      title: see `Chart`.
      n: number of structures.
    """
    order, colors = clustering(view).order, color_scale(view)
    values = np.where(np.eye(len(order), dtype=bool), np.nan, view.values)[np.ix_(order, order)]
    short = labels.short_names(view.ids, limit=24)
    names = [labels.markup(short[i]) for i in order]
    axis = {"type": "category", "showgrid": False, "zeroline": False, "ticks": ""}
    axis |= {"showticklabels": len(order) <= _SHOWN_NAMES, "tickfont": {"size": 10}}
    trace = {
        "type": "heatmap",
        "x": names,
        "y": names,
        "z": np.round(values, 4),
        "zmin": colors.low,
        "zmax": colors.high,
        "meta": {"scale": "page", "reversed": not view.similarity},
        "hovertemplate": "%{y} – %{x}<br>%{z:.3f}<extra></extra>",
        "colorbar": {"thickness": 10, "len": 0.7, "outlinewidth": 0},
    }
    layout = {
        "height": 470,
        "xaxis": axis | {"tickangle": -90},
        "yaxis": axis | {"autorange": "reversed"},
        "margin": {"l": 10, "r": 10, "t": 28, "b": 10},
    }
    plotly = {"data": [trace], "layout": layout}
    alt, caption = _heatmap_words(view)
    draw = lambda: draw_heatmap(view, n=n)  # noqa: E731
    return Chart(name, title, alt, caption, plotly, draw=draw)


def strips_chart(view: MetricView, *, name: str, title: str) -> Chart:
    """Scores of all pairs by how the two models are related, with the chance level.

    Args:
      view: scores with at least one finite pair.
      name: see `Chart`.
      title: see `Chart`.
    """
    groups = [group for group, found in view.spreads.items() if found.count]
    few = sum(view.spreads[group].count for group in groups) <= _POINTS
    traces = [_strip(view, group, row, few=few) for row, group in enumerate(groups)]
    if few:
        traces += [_mean(view, group, row) for row, group in enumerate(groups)]
    words = [_group_words(view, group) for group in groups]
    lower = "" if view.similarity else " – lower is more alike"
    layout = {
        "height": 90 + 52 * len(groups),
        "showlegend": False,
        "hovermode": "closest",
        "margin": {"l": 10, "r": 20, "t": 24, "b": 50},
        "xaxis": {"title": {"text": labels.markup(view.axis + lower)}, "rangemode": "tozero"},
        "yaxis": {
            **{"tickmode": "array", "tickvals": list(range(len(groups))), "ticktext": words},
            **{"range": [len(groups) - 0.5, -0.5], "showgrid": False, "zeroline": False},
        },
    }
    if view.null is not None:
        high = max(pair.value for pair in view.pairs if np.isfinite(pair.value))
        layout |= _chance(view.null, right=view.null > high / 2)
    alt, caption = _strip_words(view, few=few)
    return Chart(
        name,
        title,
        alt,
        caption,
        {"data": traces, "layout": layout},
        draw=lambda: draw_strips(view),
    )


def _group_words(view: MetricView, group: str) -> str:
    return f"{RELATIONS[group]}<br>({labels.count(view.spreads[group].count, 'pair')})"


def _strip(view: MetricView, group: str, row: int, *, few: bool) -> dict[str, Any]:
    pairs = [p for p in view.pairs if p.relation == group and np.isfinite(p.value)]
    pairs.sort(key=lambda pair: pair.value)
    values = np.array([pair.value for pair in pairs])
    color = _BLUE if group in PRETRAINED else _GRAY
    if not few:
        low, q1, middle, q3, high = (float(q) for q in np.quantile(values, [0, 0.25, 0.5, 0.75, 1]))
        box = {"lowerfence": low, "q1": q1, "median": middle, "q3": q3, "upperfence": high}
        box = {key: [round(value, 5)] for key, value in box.items()}
        box["mean"] = [round(float(values.mean()), 5)]
        look = {"orientation": "h", "marker": {"color": color}, "width": 0.6}
        return {"type": "box", "y": [row], "name": RELATIONS[group], **box, **look}
    reach = float(np.ptp([p.value for p in view.pairs if np.isfinite(p.value)])) or 1.0
    # Inches of a plot five inches wide, as on paper.
    offsets = swarm(5.0 * values / reach, reach=0.32)
    arrow = "–" if view.symmetric else "→"
    return {
        "type": "scatter",
        "mode": "markers",
        "x": np.round(values, 5),
        "y": np.round(row + offsets, 3),
        "text": [labels.markup(f"{view.ids[pair.a]} {arrow} {view.ids[pair.b]}") for pair in pairs],
        "hovertemplate": "%{text}<br>%{x:.3f}<extra></extra>",
        "marker": {"color": color, "size": 7 if len(values) <= 60 else 5, "opacity": 0.6},
    }


def _mean(view: MetricView, group: str, row: int) -> dict[str, Any]:
    mean = view.spreads[group].mean
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [mean, mean],
        "y": [row - 0.38, row + 0.38],
        "line": {"color": "#d55e00", "width": 2.5},
        "hovertemplate": f"mean {labels.score(mean)}<extra></extra>",
    }


def _chance(null: float, *, right: bool) -> dict[str, Any]:
    line = {"type": "line", "x0": null, "x1": null, "y0": 0, "y1": 1, "yref": "paper"}
    words = {"x": null, "y": 1.0, "yref": "paper", "yanchor": "bottom"}
    words |= {"xanchor": "right" if right else "left"}
    words |= {"text": f"chance {labels.score(null)}", "showarrow": False, "font": {"size": 11}}
    return {
        "shapes": [line | {"line": {"dash": "dash", "width": 1.2, "color": "#d55e00"}}],
        "annotations": [words],
    }


def _heatmap_words(shown: MetricView) -> tuple[str, str]:
    scores = spread(np.array([pair.value for pair in shown.pairs]))
    span = f"{labels.score(scores.low)} to {labels.score(scores.high)}"
    alt = f"Clustered heatmap of {shown.title} between {len(shown.ids)} models; "
    alt += f"scores of different models run from {span}." if scores.count else "no score computed."
    itself = (
        f"{labels.fixed(shown.best, 0)} by definition" if shown.similarity else "the best value"
    )
    caption = (
        "Average linkage, optimal leaf ordering. Colors cover the scores of different models; a "
        f"model with itself ({itself}) has none."
    )
    if not shown.symmetric:
        caption += " The metric is directed: rows are read towards columns."
    return alt, caption


def _strip_words(shown: MetricView, *, few: bool) -> tuple[str, str]:
    means = [f"{RELATIONS[name]} {labels.score(s.mean)}" for name, s in shown.spreads.items()]
    alt = f"Scores of all pairs under {shown.title} by relation; means: {', '.join(means)}."
    if few:
        return alt, "One point a pair of models; the bar is the mean of its group."
    return alt, "Boxes: quartiles and median; whiskers: smallest and largest score of the group."
