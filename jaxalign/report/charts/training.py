"""Alignment of checkpoints against the error, the step and the dimension of training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from jaxalign.analysis.claims.convergence import FACT, PRETRAINED, read_trajectories
from jaxalign.analysis.convergence.slopes import run_slopes, select
from jaxalign.analysis.convergence.trajectories import OTHER_ARCHITECTURES, OTHER_SEEDS
from jaxalign.report.charts import reading
from jaxalign.report.charts.marks import Marks
from jaxalign.report.charts.points import GRAY, Axis, Line, PointFigure, Points, log_ticks
from jaxalign.report.charts.points_page import points_plotly
from jaxalign.report.charts.points_paper import draw_points
from jaxalign.report.charts.training_tables import exceptions_table, runs_table
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.views import Chart, View

_QUESTION = (
    "Do networks become more alike as they learn? Each line is one network trained once, from "
    "random parameters (largest error) to its best ones; its alignment is that to models that stay "
    "as they are."
)
_ASSUMPTIONS = (
    "Errors are those on validation molecules, whatever structures the alignment is of.",
    "Checkpoints are compared with the last networks of all other architectures, each architecture "
    "with the same weight, and never with their own run.",
)
_REFERENCES = (OTHER_ARCHITECTURES, PRETRAINED, OTHER_SEEDS)
_ERROR = "validation error (eV)"
_FIRST_STEP = 0.5  # where a logarithmic axis shows step 0


def training_view(report: reading.Report) -> tuple[View | None, list[str]]:
    """The tab of training; nothing is missing where no network was trained."""
    charts, findings, notes, tables = [], [], list(_ASSUMPTIONS), []
    for source in report.sources:
        if FACT not in source.alignment.diagnostics:
            continue
        table = read_trajectories(source.alignment)
        charts += _charts(source, report.marks, table)
        rows = select(table, reference=OTHER_ARCHITECTURES)
        findings.append(source.prefix + _words(rows))
        tables += [(source, rows)]
    if not charts:
        return None, []
    lead, notes = reading.leading(_QUESTION, findings, notes)
    shown = tuple(t for t in (runs_table(tables), exceptions_table(tables)) if t.rows)
    return View("training", "Training", lead, tuple(charts), shown, notes), []


def _words(rows: pd.DataFrame) -> str:
    slopes = run_slopes(rows)["slope"].dropna()
    if slopes.empty:
        return "No run has enough checkpoints for a slope."
    rising = int((slopes < 0).sum())
    return (
        f"In {rising} of {labels.count(len(slopes), 'run')} alignment to other architectures rises "
        f"as the error falls (median {labels.fixed(-float(slopes.median()), 3)} per tenfold)."
    )


def _charts(source: reading.Source, marks: Marks, table: pd.DataFrame) -> Iterator[Chart]:
    style = _Style(source, marks)
    for reference in _REFERENCES:
        rows = select(table, reference=reference)
        if len(rows):
            yield _against_error(source, style, rows, reference)
    rows = select(table, reference=OTHER_ARCHITECTURES)
    if len(rows):
        yield _against_step(source, style, rows)
    dimensions = table[(table["reference"] == "") & np.isfinite(table["value"])]
    for metric, own in dimensions.groupby("metric", sort=False):
        yield _dimension(source, style, own, str(metric))


class _Style:
    """Color and symbol of an architecture: those of its networks in all other views."""

    def __init__(self, source: reading.Source, marks: Marks):
        self._cards, self._marks = source.cards, marks

    def of(self, rows: pd.DataFrame) -> tuple[str, str]:
        """Of the architecture of some rows."""
        known = [self._cards[m] for m in rows["model"] if m in self._cards]
        return self._marks.family(known[0]) if known else (GRAY, "circle")


def _against_error(
    source: reading.Source, style: _Style, rows: pd.DataFrame, reference: str
) -> Chart:
    slug = reference.replace(" ", "-")
    figure = _figure(rows, style, x="error_ev", y="calibrated", title=_ERROR)
    title = source.titled(f"Alignment to {reference}, and error")
    return _chart(
        figure,
        name=f"training-{slug}{source.slug}",
        title=title,
        alt=f"Calibrated alignment of checkpoints to {reference} against their error.",
        caption=(
            "Training runs from right to left. Large marks: parameters that training ended with, "
            "with the 95 % interval for the choice of structures; larger marks are larger networks."
        ),
        data=rows,
    )


def _against_step(source: reading.Source, style: _Style, rows: pd.DataFrame) -> Chart:
    shown = rows.assign(place=np.maximum(rows["step"].astype(float), _FIRST_STEP))
    figure = _figure(shown, style, x="place", y="calibrated", title="updates (0 at the left edge)")
    return _chart(
        figure,
        name=f"training-steps{source.slug}",
        title=source.titled("Alignment over training"),
        alt="Calibrated alignment of checkpoints to other architectures against the step.",
        caption="Logarithmic in the step; untrained networks stand at the left edge.",
    )


def _dimension(source: reading.Source, style: _Style, rows: pd.DataFrame, metric: str) -> Chart:
    facts = source.alignment.metadata(metric) if metric in source.alignment.metrics else {}
    words = str(facts.get("title") or metric)
    figure = _figure(rows, style, x="error_ev", y="value", title=_ERROR, axis=words)
    return _chart(
        figure,
        name=f"training-{metric.replace(':', '-')}{source.slug}",
        title=source.titled(f"Error and {words}"),
        alt=f"{words} of the embeddings of checkpoints against their error.",
        caption="Training runs from right to left.",
    )


def _figure(
    rows: pd.DataFrame,
    style: _Style,
    *,
    x: str,
    y: str,
    title: str,
    axis: str = "alignment: CKNNA, calibrated",
) -> PointFigure:
    lines, points = [], []
    for architecture, own in rows.groupby("architecture", sort=False):
        mark = style.of(own)
        lines += _paths(own, x, y, mark[0])
        points += _checkpoints(own, str(architecture), x, y, mark)
    places = rows[x][rows[x] > 0].to_numpy(float)
    limits = (float(places.min()) / 1.25, float(places.max()) * 1.25)
    heights = rows[y].to_numpy(float)
    pad = 0.06 * float(np.ptp(heights)) + 0.01
    return PointFigure(
        Axis(title, log=True, limits=limits, ticks=log_ticks(*limits)),
        Axis(axis, limits=(float(heights.min()) - pad, float(heights.max()) + pad)),
        points=tuple(p for p in points if len(p.x)),
        lines=tuple(lines),
    )


def _paths(own: pd.DataFrame, x: str, y: str, color: str) -> Iterator[Line]:
    """One line a run, along its training."""
    for _, run in own.groupby("run", sort=False):
        run = run.sort_values("step")
        yield Line(run[x].tolist(), run[y].tolist(), color=color, width=1.0)


def _checkpoints(
    own: pd.DataFrame, architecture: str, x: str, y: str, mark: tuple[str, str]
) -> Iterator[Points]:
    """Small marks of checkpoints on the way, and last ones that grow with the network."""
    yield _points(own[~own["last"]], x, y, mark, size=4.0)
    sizes = own[own["last"]].groupby(["width", "depth"], sort=True)
    for rank, (_, last) in enumerate(sizes):
        name = architecture if rank == sizes.ngroups - 1 else ""
        yield _points(last, x, y, mark, size=7.0 + 2.0 * rank, name=name, spans=True)


def _points(
    rows: pd.DataFrame,
    x: str,
    y: str,
    mark: tuple[str, str],
    *,
    size: float,
    name: str = "",
    spans: bool = False,
) -> Points:
    hover = [_hover(row, y) for row in rows.to_dict("records")]
    ends = list(zip(rows["low"], rows["high"], strict=True)) if spans and y == "calibrated" else ()
    known = all(math.isfinite(end) for pair in ends for end in pair)
    look = {"name": name, "color": mark[0], "symbol": mark[1], "size": size}
    around = {"spans": ends if known else (), "along": "y"}
    return Points(rows[x].tolist(), rows[y].tolist(), hover, **look, **around)


def _hover(row: Mapping, y: str) -> str:
    return (
        f"{row['model']}\nerror {row['error_ev']:.3g} eV after {int(row['step']):,} updates\n"
        f"{'alignment' if y == 'calibrated' else row['metric']} {labels.score(row[y])}"
    )


def _chart(figure: PointFigure, *, name: str, title: str, alt: str, caption: str, data=None):
    return Chart(
        name=name,
        title=title,
        alt=alt,
        caption=caption,
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=data,
    )
