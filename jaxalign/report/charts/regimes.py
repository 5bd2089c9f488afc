"""The same models inside and outside their training distribution."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from jaxalign.analysis.claims.study_runs import StudyRuns, blocks
from jaxalign.analysis.relations.regimes import SHIFT, RegimeShift, regime_shift
from jaxalign.report.charts import reading
from jaxalign.report.charts.marks import relation_mark
from jaxalign.report.charts.points import Axis, Line, PointFigure, Points, row_axis
from jaxalign.report.charts.points_page import points_plotly
from jaxalign.report.charts.points_paper import draw_points
from jaxalign.report.charts.regime_contrasts import (
    RegimeContrast,
    regime_contrasts,
    regime_effects,
    regime_shifts,
)
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.relations import RELATIONS, relation
from jaxalign.report.vocabulary.tables import Cell, Table, number, text
from jaxalign.report.vocabulary.views import Chart, View

_QUESTION = (
    "Do models agree less on structures unlike those that they were trained on, and what groups "
    "them there? The same pairs of models are compared on data that they are at home in and on "
    "others."
)
_ASSUMPTIONS = (
    "An effect is the rise of the score for pairs that share a family, training data or modality, "
    "at equal others; p by shuffling models, intervals by leaving out one model at a time.",
    "The interval of a change leaves out one family at a time, or one model where there are fewer "
    "than three families.",
)
_TERMS = {
    "family": ("#0072b2", "circle"),
    "training data": ("#d55e00", "square"),
    "modality": ("#009e73", "diamond"),
}


def regimes_view(report: reading.Report) -> tuple[View | None, list[str]]:
    """The tab of regimes, and what is missing for it."""
    if len(report.sources) < 2:
        return None, []
    study, found = regime_contrasts(report)
    if not found:
        return None, [
            "the contrast of regimes needs four trained models and more that are at home in one "
            f"data set (fact {reading.HOME!r}) and not in another one of the report"
        ]
    charts, findings, rows, effects = [], [], [], []
    for contrast in found:
        shift = regime_shift(contrast.pairs, clusters=blocks(contrast.cohort.models, study.cards))
        table = regime_effects(contrast, study)
        charts.append(_pairs_chart(contrast, study))
        if np.isfinite(table["coefficient"].to_numpy(float)).any():
            charts.append(_effects_chart(contrast, table))
        findings.append(shift_words(shift, contrast.scores.axis, contrast.words))
        rows += [
            _row(words, contrast.words, s) for words, s in regime_shifts(report, contrast, study)
        ]
        effects += [_effect_row(contrast, row) for row in table.to_dict("records")]
    lead, notes = reading.leading(_QUESTION, findings, _ASSUMPTIONS)
    tables = (_shift_table(rows), _effects_table(effects))
    return View("regimes", "In and out of distribution", lead, tuple(charts), tables, notes), []


def shift_words(shift: RegimeShift, quantity: str, data: str) -> str:
    """One sentence: the mean score inside and outside, with the interval of the change."""
    if math.isnan(shift.difference):
        return f"{data}: {shift.reason}."
    told = reading.span(shift.low, shift.high) or shift.reason
    told = reading.in_brackets(told, reading.p_words(shift.p))
    inside, outside, change = (
        labels.score(value) for value in (shift.inside, shift.outside, shift.difference)
    )
    return (
        f"{data}: over {labels.count(shift.pairs, 'pair')} of {shift.models} models the mean score "
        f"({quantity}) is {inside} in distribution and {outside} out of it, a difference of "
        f"{change}{told}."
    )


def _pairs_chart(contrast: RegimeContrast, study: StudyRuns) -> Chart:
    pairs = contrast.pairs[np.isfinite(contrast.pairs["difference"])]
    kinds = [
        relation(study.cards[a], study.cards[b])
        for a, b in zip(pairs["model_a"], pairs["model_b"], strict=True)
    ]
    points = []
    for name, words in reversed(RELATIONS.items()):
        own = pairs[[kind == name for kind in kinds]]
        if len(own):
            color, symbol = relation_mark(name)
            hover = [
                f"{row.model_a} – {row.model_b}\nin distribution {labels.score(row.inside)}\n"
                f"out of distribution {labels.score(row.outside)}"
                for row in own.itertuples()
            ]
            style = {"name": words, "color": color, "symbol": symbol, "size": 8.0}
            points.append(Points(own["outside"].tolist(), own["inside"].tolist(), hover, **style))
    both = pairs[["inside", "outside"]].to_numpy(float)
    pad = 0.06 * float(np.ptp(both)) + 0.01 if both.size else 1.0
    limits = (float(both.min(initial=1.0)) - pad, float(both.max(initial=0.0)) + pad)
    quantity, outside = contrast.scores.axis, labels.joined(contrast.cohort.outside)
    figure = PointFigure(
        Axis(f"out of distribution, {outside}", limits=limits),
        Axis(f"in distribution, {contrast.cohort.inside}", limits=limits),
        points=tuple(points),
        lines=(Line(limits, limits, dash="dot"),),
        equal=True,
    )
    title = f"Pairs in and out of distribution: {contrast.words}"
    return Chart(
        name=f"regimes-{contrast.slug}",
        title=title,
        alt=f"{labels.count(len(pairs), 'pair')} of models in and out of distribution.",
        caption=(
            f"{quantity}; one point a pair, the mean over data sets where there are several. Above "
            "the dotted line a pair agrees more in distribution."
        ),
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=pairs,
    )


def _effects_chart(contrast: RegimeContrast, table: pd.DataFrame) -> Chart:
    rows = list(dict.fromkeys(table["scope"]))
    names = [_scope(contrast, scope) for scope in rows]
    terms = [term for term in _TERMS if (table["term"] == term).any()]
    points = []
    for place, term in enumerate(terms):
        own = table[(table["term"] == term) & np.isfinite(table["coefficient"])]
        color, symbol = _TERMS[term]
        shift = 0.24 * (place - (len(terms) - 1) / 2)
        hover = [
            f"{_scope(contrast, row.scope)}\nshared {term}: {labels.score(row.coefficient)}\n"
            f"{reading.span(row.low, row.high)} {reading.p_words(row.p)}"
            for row in own.itertuples()
        ]
        y = [rows.index(scope) + shift for scope in own["scope"]]
        spans = list(zip(own["low"], own["high"], strict=True))
        style = {"name": f"shared {term}", "color": color, "symbol": symbol, "spans": spans}
        points.append(Points(own["coefficient"].tolist(), y, hover, **style))
    ends = (-0.6, len(rows) - 0.4)
    figure = PointFigure(
        Axis(f"effect on {contrast.scores.axis}"),
        row_axis(labels.short_names(names, limit=40)),
        points=tuple(points),
        lines=(Line((0.0, 0.0), ends, width=1.4),),
        rows=2 * len(rows),
    )
    title = f"What groups models: {contrast.words}"
    return Chart(
        name=f"regime-effects-{contrast.slug}",
        title=title,
        alt=f"Effects of shared {labels.joined(terms)} in {labels.count(len(rows), 'scope')}.",
        caption=(
            "How much higher pairs score that share a label, at equal other labels, with 95 % "
            f"intervals. “{SHIFT}” is the effect on the difference of both regimes."
        ),
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=table,
    )


def _scope(contrast: RegimeContrast, scope: str) -> str:
    return {"in": "in distribution", "out": "out of distribution (mean)"}.get(scope, scope)


def _row(words: str, data: str, s: RegimeShift) -> tuple[Cell, ...]:
    ends = f"{labels.score(s.low)} to {labels.score(s.high)}"
    return (
        text(data),
        text(words),
        number(s.models),
        number(s.pairs),
        number(s.inside, labels.score(s.inside)),
        number(s.outside, labels.score(s.outside)),
        number(s.difference, labels.score(s.difference)),
        number(s.low, ends),
        number(s.p, reading.p_shown(s.p)),
        text(s.reason),
    )


def _shift_table(rows: list[tuple[Cell, ...]]) -> Table:
    columns = ("In against out", "Mean of", "Models", "Pairs", "In distribution")
    columns += ("Out of distribution", "Difference", "95 % interval", "p", "Remarks")
    return Table("regime-shifts", "The same pairs in both regimes", columns, tuple(rows))


def _effect_row(contrast: RegimeContrast, row: Mapping) -> tuple[Cell, ...]:
    ends = f"{labels.score(row['low'])} to {labels.score(row['high'])}"
    return (
        text(contrast.words),
        text(_scope(contrast, row["scope"])),
        text(row["term"]),
        number(row["coefficient"], labels.score(row["coefficient"])),
        number(row["low"], ends),
        number(row["p"], reading.p_shown(row["p"])),
        text(row["reason"]),
    )


def _effects_table(rows: list[tuple[Cell, ...]]) -> Table:
    columns = ("In against out", "Scores of", "Shared", "Effect", "95 % interval", "p", "Remarks")
    return Table("regime-effects", "What groups models", columns, tuple(rows))
