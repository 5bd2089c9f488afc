"""Charts of a selection: candidates of one task, and how well each criterion ranks them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from jaxalign.learning.selection.criteria import PROBE
from jaxalign.learning.selection.quality import ALL
from jaxalign.learning.selection.selection import Selection
from jaxalign.report.charts.points import GRAY, SYMBOLS, Axis, Line, PointFigure, Points, row_axis
from jaxalign.report.charts.points_page import points_plotly
from jaxalign.report.charts.points_paper import draw_points
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.views import Chart

TRUTHS = ("ridge", "knn")
"""Probes whose held-out errors say what should have been chosen, in the order of preference."""

# Okabe & Ito's colors, as everywhere on the page.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7b5ea7")
_ERROR = "mean absolute error / mean absolute deviation of the label"


def candidates_chart(selection: Selection, task: str) -> Chart | None:
    """Errors of the candidates of one task, those it would be chosen by beside those held out.

    Args:
      selection: the selection.
      task: name of one of its tasks.

    Returns:
      One row a candidate, in the order of the ranking; None if it ranks by a score that is no
      error, and nothing was held out.
    """
    ranked = selection.ranking[selection.ranking["task"] == task]
    rows = list(map(float, range(len(ranked))))
    kinds = {criterion.id: criterion.kind for criterion in selection.criteria}
    by = str(selection.settings["rank_by"])
    points = [
        _held_out(ranked, rows, truth, color)
        for truth, color in zip(TRUTHS, _COLORS, strict=False)
        if truth in ranked
    ]
    # The evidence of a linear model is a probe whose value is no error.
    if kinds[by] == PROBE and by.partition(":")[2] in (*TRUTHS, "linear"):
        points.insert(0, _seen(selection, ranked, rows, task, by))
    if not points:
        return None
    figure = PointFigure(
        Axis(_ERROR),
        row_axis(labels.short_names(list(ranked["candidate"]))),
        tuple(points),
        rows=len(ranked),
    )
    first = ranked.iloc[0]
    title = f"Candidates for {task}"
    return Chart(
        name=f"candidates-{labels.slug(task)}",
        title=title,
        alt=f"{_ERROR} of {labels.count(len(ranked), 'candidate')} for {task}, in the order of "
        f"{by}; the first is {first['candidate']}.",
        caption=f"From above in the order of {by} on the labels seen. Filled: errors of probes "
        "that were trained on many labels and tested on others, with their intervals over test "
        "structures; 1 is as bad as guessing the mean.",
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=ranked,
    )


def _held_out(ranked: pd.DataFrame, rows: Sequence[float], truth: str, color: str) -> Points:
    low, high = (ranked[f"{truth}_{end}"].fillna(ranked[truth]) for end in ("low", "high"))
    return Points(
        x=list(ranked[truth]),
        y=list(rows),
        hover=[
            f"{row['candidate']}\nheld out, {truth}: {labels.score(row[truth])}, "
            f"rank {row[f'{truth}_rank']:.0f}"
            for row in ranked.to_dict("records")
        ],
        name=f"held out, {truth} probe",
        color=color,
        spans=list(zip(low, high, strict=True)),
    )


def _seen(
    selection: Selection, ranked: pd.DataFrame, rows: Sequence[float], task: str, by: str
) -> Points:
    target = next(facts["target"] for facts in selection.tasks if facts["name"] == task)
    return Points(
        x=list(ranked["value"]),
        y=list(rows),
        hover=[
            f"{row['candidate']}\n{by} within {target:,} labels: {labels.score(row['value'])}"
            for row in ranked.to_dict("records")
        ],
        name=f"by the {target:,} labels seen, {by.partition(':')[2]} probe",
        color=GRAY,
        hollow=True,
    )


def criteria_chart(selection: Selection, truth: str) -> Chart | None:
    """Rank correlation of every criterion with the held-out errors of one probe.

    Args:
      selection: the selection.
      truth: one of `TRUTHS`.

    Returns:
      One row a criterion, best mean first; one mark a task. None if nothing was held out.
    """
    found = selection.quality
    if not len(found):
        return None
    found = found[found["truth"].eq(truth) & found["among"].eq(ALL) & found["spearman"].notna()]
    if not len(found):
        return None
    means = found.groupby("criterion")["spearman"].mean().sort_values(ascending=False)
    place = {name: row for row, name in enumerate(means.index)}
    tasks = list(dict.fromkeys(found["task"]))
    share = 0.7 / len(tasks)  # marks of one row stand a little below each other
    points = [
        _of_task(
            found[found["task"] == task],
            place,
            task,
            (number - (len(tasks) - 1) / 2) * share,
            (_COLORS[number % len(_COLORS)], SYMBOLS[number % len(SYMBOLS)]),
        )
        for number, task in enumerate(tasks)
    ]
    ends = (-0.6, len(place) - 0.4)
    lines = (Line((0.0, 0.0), ends, name="no relation", dash="dot", width=1.6),)
    quantity = f"rank correlation with held-out errors of the {truth} probe"
    figure = PointFigure(
        Axis(quantity, limits=(-1.05, 1.05)),
        row_axis(list(place)),
        tuple(points),
        lines,
        rows=len(place) * max(len(tasks) // 2, 1),  # room for the marks of one row
    )
    title = f"How well each criterion ranks ({truth} probe)"
    return Chart(
        name=f"criteria-{truth}",
        title=title,
        alt=f"{quantity} of {labels.count(len(place), 'criterion', 'criteria')}; the best on "
        f"average is {means.index[0]} with {means.iloc[0]:+.2f}.",
        caption="1: the criterion orders the candidates as the held-out errors do; its direction "
        "was fixed before. Bars: jackknife over families of candidates. Best mean on top.",
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=found,
    )


def _of_task(
    rows: pd.DataFrame, place: dict[str, int], task: str, shift: float, look: tuple[str, str]
) -> Points:
    low, high = (rows[end].fillna(rows["spearman"]).clip(-1, 1) for end in ("low", "high"))
    return Points(
        x=list(rows["spearman"]),
        y=[place[name] + shift for name in rows["criterion"]],
        hover=[
            f"{row['criterion']}\n{task}: {row['spearman']:+.2f} over {row['candidates']} "
            f"candidates; the choice is {_percent(row['regret'])} worse than the best"
            for row in rows.to_dict("records")
        ],
        name=task,
        color=look[0],
        symbol=look[1],
        size=8.0,
        spans=list(zip(low, high, strict=True)),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if np.isfinite(share) else "not known how much"
