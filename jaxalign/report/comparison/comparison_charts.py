"""Charts of one model against a run: its scores with all others, and its place in the tree."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from jaxalign.analysis.comparison.compare import Comparison
from jaxalign.analysis.relations.tree import Tree
from jaxalign.report.charts.marks import Marks, modality_words
from jaxalign.report.charts.model_tree import tree_figure
from jaxalign.report.charts.points import GRAY, Axis, Line, PointFigure, Points, row_axis
from jaxalign.report.charts.points_page import points_plotly
from jaxalign.report.charts.points_paper import draw_points
from jaxalign.report.charts.reading import p_words, read_report
from jaxalign.report.charts.tree_places import centered, tree_places
from jaxalign.report.comparison.comparison_words import interval_words, metric_words
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.relations import kind
from jaxalign.report.vocabulary.views import Chart

_NEW = "#c2185b"  # far from the color of any modality
_LEVELS = (
    ("noise", "noise control", "dot"),
    ("untrained", "best untrained network", "dash"),
    ("descriptor", "best descriptor", "dash"),
)


def score_chart(found: Comparison) -> Chart:
    """The new model's score with every other one, best on top, with intervals.

    Args:
      found: the comparison; it has at least one score.

    Returns:
      Calibrated scores where the run has them, else raw ones beside their mean under chance.
    """
    row = found.rows[found.metric]
    calibrated = bool(np.isfinite(row["calibrated"]).any())
    columns = ("calibrated", "calibrated_low", "calibrated_high")
    columns = columns if calibrated else ("value", "ci_low", "ci_high")
    row = row.sort_values([columns[0], "value"], ascending=_ascending(found, calibrated))
    names = labels.short_names(list(row["other"]))
    quantity = f"{metric_words(found)} with {found.name}" + (", calibrated" if calibrated else "")
    figure = PointFigure(
        Axis(quantity),
        row_axis(names),
        tuple(_marks(found, row, columns)),
        tuple(_levels(found, row, columns[0], calibrated=calibrated)),
        rows=len(names),
    )
    title = f"How close every model is to {found.name}"
    first = row.iloc[0]
    return Chart(
        name="scores",
        title=title,
        alt=f"{quantity}: {labels.count(len(row), 'model')}; the first one is {first['other']} "
        f"at {labels.score(first[columns[0]])}.",
        caption=f"Bars: {interval_words(found)} over structures. Hollow marks are descriptors, "
        "untrained networks and noise; vertical lines show what the best of these reach.",
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=row,
    )


def tree_chart(found: Comparison) -> Chart | None:
    """The tree of models with the new one marked; None where there is no tree."""
    if found.placement is None:
        return None
    report = read_report({"": found.alignment})
    tree = found.placement.tree
    places = tree_places(centered(tree.root))
    figure = tree_figure(places, report.sources[0], report.marks)
    at = [(end, row) for row, (name, end) in enumerate(places.leaves) if name == found.name]
    ring = Points(
        [x for x, _ in at],
        [float(y) for _, y in at],
        hover=[found.name] * len(at),
        name=found.name,
        color=_NEW,
        hollow=True,
        size=19.0,
    )
    figure = dataclasses.replace(figure, points=(*figure.points, ring))
    title = f"{found.name} in the tree of models"
    data = pd.DataFrame(tree.distances, index=list(tree.names), columns=list(tree.names))
    return Chart(
        name="tree",
        title=title,
        alt=f"Tree of {labels.count(len(tree.names), 'model')}; {found.name} branches off beside "
        f"{labels.joined(found.placement.sisters[:4])}.",
        caption=f"Neighbor-joining tree of rows of {metric_words(found)}. The ring marks "
        f"{found.name}. Distances are read along the horizontal lines. {_support(tree)}",
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=data.reset_index(names="model"),
    )


def _support(tree: Tree) -> str:
    if tree.replicates:
        return (
            f"Numbers at branches: percent of {tree.replicates} trees over halves of the "
            "structures that have the branch too."
        )
    return "How well branches are supported was not asked (halves=20 does)."


def _ascending(found: Comparison, calibrated: bool) -> bool:
    return not (calibrated or found.alignment.metadata(found.metric)["similarity"])


def _marks(found: Comparison, row: pd.DataFrame, columns: Sequence[str]) -> list[Points]:
    """One kind of points a modality, filled or, for controls and untrained networks, hollow."""
    cards = found.alignment.cards
    marks = Marks(cards.values())
    places: dict[tuple[str, bool], list[int]] = {}
    for number, name in enumerate(row["other"]):
        card = cards[name]
        places.setdefault((card.modality, kind(card) != "model"), []).append(number)
    points = []
    for (modality, hollow), rows in sorted(places.items(), key=lambda item: item[0][1]):
        part = row.iloc[rows]
        low, high = (part[c].where(part[c].notna(), part[columns[0]]) for c in columns[1:])
        words = modality_words(modality) + (
            ", untrained" if hollow and modality != "control" else ""
        )
        points.append(
            Points(
                x=list(part[columns[0]]),
                y=list(map(float, rows)),
                hover=[_hover(entry) for entry in part.itertuples()],
                name=words,
                color=marks.modality(cards[part["other"].iloc[0]]),
                hollow=hollow,
                size=10.0,
                spans=list(zip(low, high, strict=True)),
            )
        )
    return points


def _hover(entry) -> str:
    lines = [entry.other, f"score {labels.score(entry.value)}"]
    if math.isfinite(entry.ci_low):
        lines[-1] += f" ({labels.score(entry.ci_low)} to {labels.score(entry.ci_high)})"
    if math.isfinite(entry.calibrated):
        lines.append(f"calibrated {labels.score(entry.calibrated)}")
    if math.isfinite(entry.p):
        lines.append(f"behind the nearest: {p_words(entry.p_holm)} (Holm)")
    return "\n".join(lines)


def _levels(found: Comparison, row: pd.DataFrame, column: str, *, calibrated: bool) -> list[Line]:
    """Vertical lines: chance, and what noise, untrained networks and descriptors reach."""
    ends = (-0.6, len(row) - 0.4)
    cards = found.alignment.cards
    chance = 0.0 if calibrated else float(row["null_mean"].mean())
    lines = []
    if math.isfinite(chance):
        words = "chance (95 % of relabelings)" if calibrated else "chance (mean)"
        lines.append(Line((chance, chance), ends, name=words, color=GRAY, width=1.6))
    for group, words, dash in _LEVELS:
        values = [
            v
            for name, v in zip(row["other"], row[column], strict=True)
            if kind(cards[name]) == group
        ]
        if values and math.isfinite(values[0]):  # rows come best first
            lines.append(Line((values[0],) * 2, ends, name=words, color=_COLORS[group], dash=dash))
    return lines


_COLORS = {"noise": GRAY, "untrained": "#b07aa1", "descriptor": "#9c755f"}
