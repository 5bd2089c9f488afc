"""Alignment to the best potential against the errors of energies."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from jaxalign.analysis.relations.model_labels import model_labels
from jaxalign.analysis.relations.performance import alignment_to_best, error_slopes
from jaxalign.report.charts import reading
from jaxalign.report.charts.marks import Marks
from jaxalign.report.charts.place_labels import placed_labels
from jaxalign.report.charts.points import Axis, Label, Line, PointFigure, Points, log_ticks
from jaxalign.report.charts.points_page import points_plotly
from jaxalign.report.charts.points_paper import draw_points
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Cell, Table, number, text
from jaxalign.report.vocabulary.views import Chart, View

ERROR = "mae_ev_per_atom"
FACT = "energy_errors"
_QUESTION = (
    "Are better potentials more like the best one? Each point is a potential: its error of "
    "energies beyond what counting atoms explains, and its alignment to the potential with the "
    "least error, which is left out itself."
)
_ASSUMPTIONS = (
    "Each potential and the labels are first freed of their own least-squares fit to the numbers "
    "of atoms of each element.",
    "Potentials of one family are near copies: the interval and p leave out whole families at a "
    "time.",
)
_ERROR_AXIS = "energy error beyond composition (eV per atom)"
_PERMUTATIONS = 999


def performance_view(report: reading.Report) -> tuple[View | None, list[str]]:
    """The tab of errors and alignment, and what is missing for it."""
    charts, findings, notes, missing = [], [], list(_ASSUMPTIONS), []
    rows: list[tuple[Cell, ...]] = []
    for source in report.sources:
        points = _points(source)
        if isinstance(points, str):
            missing.append(f"{source.prefix}{points}")
            continue
        table, scores = points
        slopes = error_slopes(table, permutations=_PERMUTATIONS)
        charts.append(_chart(source, report.marks, table, slopes, scores))
        findings.append(source.prefix + slope_words(slopes.iloc[0]))
        notes += _unjudged(source)
        rows += [_row(source, row) for row in slopes.to_dict("records")]
    if not charts:
        return None, missing
    lead, notes = reading.leading(_QUESTION, findings, notes)
    view = View("performance", "Errors and alignment", lead, tuple(charts), (_table(rows),), notes)
    return view, missing


def _points(source: reading.Source) -> tuple[pd.DataFrame, reading.Scores] | str:
    """The points of a data set, or why there are none."""
    records = source.alignment.diagnostics.get(FACT)
    scores = reading.similarity(source)
    if not records:
        return (
            "errors of energies need predicted energies (--config.energies=True) and a data set "
            "with labels of energies"
        )
    if scores is None:
        return "alignment to the best potential needs a similarity of pairs: add cknna"
    errors = read_errors(records)
    names = [name for name in reading.compared(source) if name in errors]
    if len(names) < 2:
        return f"{labels.count(len(names), 'trained potential')} with errors: two are needed"
    families = model_labels(source.cards, "family")
    matrix = reading.chosen_scores(scores, names)
    return alignment_to_best(matrix, errors, families), scores


def read_errors(records: list[Mapping]) -> dict[str, float]:
    """Model → positive error in eV per atom; models without one are left out."""
    found = {}
    for record in records:
        value = record.get(ERROR)
        if value is not None and math.isfinite(value) and value > 0:
            found[str(record["model"])] = float(value)
    return found


def slope_words(row: pd.Series) -> str:
    """One sentence: the slope with its interval, or why there is none."""
    models = labels.count(int(row["models"]), "potential")
    if not math.isfinite(row["slope"]):
        return f"No slope: {row['reason']} (the reference is {row['reference']})."
    told = reading.span(row["low"], row["high"]) or str(row["reason"])
    told = reading.in_brackets(told, reading.p_words(row["p_blocked"]))
    change = labels.fixed(row["slope"], 3)
    return (
        f"When the error grows tenfold, the alignment to {row['reference']} changes by "
        f"{change}{told}, over {models} of "
        f"{labels.count(int(row['families']), 'family', 'families')}."
    )


def _chart(
    source: reading.Source,
    marks: Marks,
    table: pd.DataFrame,
    slopes: pd.DataFrame,
    scores: reading.Scores,
) -> Chart:
    others = table[~table["reference"]]
    best = str(table.loc[table["reference"], "model"].iloc[0])
    groups = []
    for family in sorted(set(others["family"])):
        own = others[others["family"] == family]
        color, symbol = marks.family(source.cards[own["model"].iloc[0]])
        hover = [
            f"{row.model}\nerror {1000 * row.error:.3g} meV per atom\n"
            f"alignment {labels.score(row.alignment)}"
            for row in own.itertuples()
        ]
        x, y = own["error"].tolist(), own["alignment"].tolist()
        style = {"name": family or "family not stated", "color": color, "symbol": symbol}
        groups.append(Points(x, y, hover, size=10.0, **style))
    x, y = others["error"].to_numpy(float), others["alignment"].to_numpy(float)
    limits = _limits(np.append(x, table.loc[table["reference"], "error"]), y)
    named = _named(others, limits)
    figure = PointFigure(
        Axis(
            "energy error beyond composition (eV per atom)",
            log=True,
            limits=limits[0],
            ticks=log_ticks(*limits[0]),
        ),
        Axis(f"alignment to {best}: {scores.axis}", limits=limits[1]),
        points=tuple(groups),
        lines=_fit(x, y, float(slopes["slope"].iloc[0])),
        labels=named,
    )
    title = source.titled("Error and alignment to the best potential")
    return Chart(
        name=f"performance{source.slug}",
        title=title,
        alt=f"Alignment to {best} against energy error of {labels.count(len(x), 'potential')}.",
        caption=(
            f"Mean absolute error of energies per atom, without composition, on a logarithmic "
            f"axis; the line is the least-squares fit. The reference, {best}, is left out."
        ),
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=table,
    )


def _limits(x: np.ndarray, y: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    low, high = float(x.min()) / 1.5, float(x.max()) * 1.8
    if not len(y):
        return (low, high), (0.0, 1.0)
    pad = 0.12 * float(np.ptp(y)) + 0.02
    return (low, high), (float(y.min()) - pad, float(y.max()) + pad)


def _named(others: pd.DataFrame, limits) -> tuple[Label, ...]:
    logs = np.log10(others["error"].to_numpy(float))
    low, high = (math.log10(end) for end in limits[0])
    names, heights = others["model"].tolist(), others["alignment"].tolist()
    found = placed_labels(logs.tolist(), heights, names, limits=((low, high), limits[1]))
    return tuple(dataclasses.replace(label, x=10.0**label.x) for label in found)


def _fit(x: np.ndarray, y: np.ndarray, slope: float) -> tuple[Line, ...]:
    if not math.isfinite(slope):
        return ()
    logs = np.log10(x)
    ends = np.array([logs.min(), logs.max()])
    heights = y.mean() + slope * (ends - logs.mean())
    return (Line((10.0**ends).tolist(), heights.tolist(), name="fit", dash="dash", width=1.6),)


def _unjudged(source: reading.Source) -> list[str]:
    """Potentials without an error, and why."""
    return [
        f"{source.prefix}{record['model']} has no error: {record['reason']}."
        for record in source.alignment.diagnostics[FACT]
        if record.get("reason")
    ]


def _row(source: reading.Source, row: Mapping) -> tuple[Cell, ...]:
    ends = f"{labels.score(row['low'])} to {labels.score(row['high'])}"
    return (
        text(source.name),
        text(row["compared"]),
        text(row["reference"]),
        number(int(row["models"])),
        number(int(row["families"])),
        number(row["slope"], labels.score(row["slope"])),
        number(row["low"], ends),
        number(row["p_blocked"], reading.p_shown(row["p_blocked"])),
        number(row["p"], reading.p_shown(row["p"])),
        number(row["p_within"], reading.p_shown(row["p_within"])),
        number(row["spearman"], labels.score(row["spearman"])),
        text(row["reason"]),
    )


def _table(rows: list[tuple[Cell, ...]]) -> Table:
    columns = ("Data set", "Compared", "Reference", "Potentials", "Families")
    columns += ("Slope per tenfold error", "95 % interval, by family", "p, by family")
    columns += ("p, errors shuffled", "p, shuffled within families", "Rank correlation", "Remarks")
    caption = "Alignment to the best potential against the error"
    return Table("slopes", caption, columns, tuple(rows))
