"""Errors of students against the number of labels, with and without a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxalign.report.charts import reading
from jaxalign.report.charts.points import GRAY, SYMBOLS, Axis, Line, PointFigure, Points, log_ticks
from jaxalign.report.charts.points_page import points_plotly
from jaxalign.report.charts.points_paper import draw_points
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Table, number, text
from jaxalign.report.vocabulary.views import Chart, View

FACT = "distillation"
_COLORS = (GRAY, "#0072b2", "#d55e00", "#009e73", "#cc79a7")
_QUESTION = (
    "Does a teacher's geometry help a student that has few labels? Each point is the test error of "
    "students of several seeds; all arms have the same number of updates and, seed by seed, the "
    "same first parameters."
)
_NOTES = (
    "Validation molecules with labels choose the best step in every arm, whatever the number of "
    "training labels.",
    "p-values and verdicts (at .05) are corrected over all comparisons (Holm); intervals are not.",
)


def distillation_view(report: reading.Report) -> tuple[View | None, list[str]]:
    """The tab of distillation; nothing is missing where no student was taught."""
    charts, rows, findings = [], [], []
    for source in report.sources:
        fact = source.alignment.diagnostics.get(FACT)
        if not fact:
            continue
        runs, compared = (pd.DataFrame(dict(fact[name])) for name in ("runs", "comparisons"))
        charts += [_chart(source, own, str(s)) for s, own in runs.groupby("student", sort=False)]
        rows += compared.to_dict("records")
        findings.append(_words(compared))
    if not charts:
        return None, []
    lead, notes = reading.leading(_QUESTION, findings, _NOTES)
    return View("distillation", "Distillation", lead, tuple(charts), (_table(rows),), notes), []


def _words(compared: pd.DataFrame) -> str:
    counts = compared["verdict"].value_counts()
    parts = [f"{count} {verdict}" for verdict, count in counts.items()]
    return f"Of {labels.count(len(compared), 'comparison')} with the student alone: " + (
        ", ".join(parts) + "."
    )


def _chart(source: reading.Source, runs: pd.DataFrame, student: str) -> Chart:
    points, lines = [], []
    for place, (arm, own) in enumerate(runs.groupby("arm", sort=False)):
        color, symbol = _COLORS[place % len(_COLORS)], SYMBOLS[place % len(SYMBOLS)]
        means = own.groupby("labels")["test_mae_ev"].agg(lambda e: float(np.exp(np.log(e).mean())))
        lines.append(Line(means.index.tolist(), means.tolist(), color=color, width=1.6))
        hover = [
            f"{arm}, seed {row.seed}\n{row.labels:,} labels\ntest error {row.test_mae_ev:.4f} eV"
            for row in own.itertuples()
        ]
        style = {"name": str(arm), "color": color, "symbol": symbol, "size": 7.0}
        x, y = own["labels"].astype(float).tolist(), own["test_mae_ev"].tolist()
        points.append(Points(x, y, hover, **style))
    figure = PointFigure(
        _axis("labels", runs["labels"]),
        _axis("test error (eV)", runs["test_mae_ev"]),
        points=tuple(points),
        lines=tuple(lines),
    )
    title = f"Errors of {student} with and without a teacher"
    return Chart(
        name=f"distillation-{labels.slug(student)}{source.slug}",
        title=title,
        alt=f"Test error of {student} against the number of labels, one line an arm.",
        caption="Points are seeds, lines their geometric means; both axes are logarithmic.",
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=runs,
    )


def _axis(title: str, values: pd.Series) -> Axis:
    low, high = float(values.min()) / 1.2, float(values.max()) * 1.2
    if title == "labels":
        ticks = tuple((float(v), f"{int(v):,}") for v in sorted(set(values)))
    else:
        ticks = log_ticks(low, high)
    return Axis(title, log=True, limits=(low, high), ticks=ticks)


def _table(rows: list[Mapping[str, Any]]) -> Table:
    cells = []
    for row in rows:
        interval = None if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
        cells.append(
            (
                text(row["student"]),
                number(int(row["labels"])),
                text(row["arm"]),
                number(int(row["seeds"])),
                number(row["alone_mae_ev"], f"{row['alone_mae_ev']:.4f}"),
                number(row["mae_ev"], f"{row['mae_ev']:.4f}"),
                number(row["ratio"], f"{row['ratio']:.3f}"),
                number(row["low"], interval),
                number(row["p_holm"], None if row["p_holm"] is None else f"{row['p_holm']:.2g}"),
                text(row["verdict"]),
                text(row["reason"]),
            )
        )
    columns = ("Student", "Labels", "Arm", "Seeds", "Alone (eV)", "With teacher (eV)", "Ratio")
    columns += ("95 % interval", "p (Holm)", "Verdict", "Remark")
    return Table("distillation-arms", "Test errors beside the student alone", columns, tuple(cells))
