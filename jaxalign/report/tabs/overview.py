"""The first tab: what a reader should know after a minute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxalign.report.charts.score_charts import heatmap_chart, strips_chart
from jaxalign.report.drawing.rotation import failures, read_drifts
from jaxalign.report.drawing.sample_size import dependences, read_curves
from jaxalign.report.tabs import summary
from jaxalign.report.tabs.explanations import what_remains
from jaxalign.report.tabs.parts import Part
from jaxalign.report.vocabulary import labels, tables
from jaxalign.report.vocabulary.relations import RELATIONS
from jaxalign.report.vocabulary.tables import Cell, Table, number, text
from jaxalign.report.vocabulary.views import Chart, View

_CHARTS = 4  # data sets whose matrices the overview shows


def overview_view(parts: Sequence[Part]) -> View:
    """Pictures of the first metric, and the data sets with their means by relation."""
    charts = [chart for part in parts[:_CHARTS] for chart in _pictures(part, len(parts))]
    notes = [f"No matrix for {_where(part)}: it needs two models." for part in parts
             if len(part.ids) < 2]  # fmt: skip
    notes += [
        f"{part.titled('No pair of different models has a value; see “What is missing”')}."
        for part in parts
        if len(part.ids) > 1 and part.first is not None and not _any_value(part)
    ]
    found = (_datasets(parts),) if any(part.first for part in parts) else ()
    return View("overview", "Overview", "", tuple(charts), found, tuple(notes))


def findings(parts: Sequence[Part]) -> list[str]:
    """Sentences that stand out; of several data sets those that the table of them cannot say."""
    if len(parts) == 1:
        return _scores(parts[0]) + _further(parts[0])
    return [f"{part.name}: {sentence}" for part in parts for sentence in _further(part)]


def _scores(part: Part) -> list[str]:
    if part.first is None:
        return []
    table = part.alignment.table
    tested = bool(table["p"].notna().any()) if "p" in table else False
    return summary.findings(part.first, n=part.n, tested=tested)


def _further(part: Part) -> list[str]:
    if part.first is None:
        return []
    facts = part.alignment.diagnostics
    said = failures(read_drifts(facts, part.ids))
    if curves := read_curves(facts):
        said += dependences(curves)
    explained = facts.get("explanations") or {"encoders": ()}
    return said + (what_remains(explained) if explained["encoders"] else [])


def _pictures(part: Part, count: int) -> list[Chart]:
    view = part.first
    if view is None or len(view.ids) < 2:
        return []
    name, words = part.metric_names("overview")[0], part.titled(_title(part))
    charts = [heatmap_chart(view, name=f"{name}-matrix", title=words, n=part.n)]
    if _any_value(part) and count == 1:
        charts.append(strips_chart(view, name=f"{name}-pairs", title=f"{words}, by relation"))
    # The tabs write the same figures on paper.
    return [Chart(**{**vars(chart), "draw": None}) for chart in charts]


def _title(part: Part) -> str:
    view = part.first
    return view.title + ("" if view.k is None else f", k = {view.k}")


def _any_value(part: Part) -> bool:
    return any(np.isfinite(pair.value) for pair in part.first.pairs)


def _where(part: Part) -> str:
    return part.name or "this run"


def _datasets(parts: Sequence[Part]) -> Table:
    """One row a data set: sizes, mean score of each relation, and how many pairs stand out."""
    shown = [part for part in parts if part.first is not None]
    names = [name for name in RELATIONS if any(name in part.first.spreads for part in shown)]
    rows = []
    for part in shown:
        view = part.first
        q, _ = view.tested
        row = [text(part.name or "structures"), number(part.n, f"{part.n:,}")]
        row += [number(len(view.ids)), text(_title(part))]
        row += [_mean(view, name) for name in names]
        out = int((q <= tables.DISCOVERY).sum())
        row.append(number(out, f"{out:,} of {len(q):,}") if len(q) else number(None))
        rows.append(tuple(row))
    columns = ("Data set", "Structures", "Models", "Metric")
    columns += tuple(f"Mean: {RELATIONS[name]}" for name in names)
    columns += ("Pairs that stand out (q ≤ 0.05)",)
    return Table("datasets", "Data sets", columns, tuple(rows))


def _mean(view, name: str) -> Cell:
    found = view.spreads.get(name)
    if found is None or not found.count:
        return number(None)
    return number(found.mean, labels.score(found.mean))
