"""The page of one model against a run: who is nearest, how surely, where in the tree, and why."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from jaxalign.analysis.comparison.compare import Comparison
from jaxalign.analysis.relations.model_labels import compared_models
from jaxalign.archives.atomic import atomic_write, require_writable
from jaxalign.report.comparison.comparison_charts import score_chart, tree_chart
from jaxalign.report.comparison.comparison_words import findings, interval_words, metric_words
from jaxalign.report.html.html_page import render_page
from jaxalign.report.tabs.nearest import p_cell
from jaxalign.report.tabs.summary import dataset_name
from jaxalign.report.vocabulary import labels, tables
from jaxalign.report.vocabulary.tables import Cell, Table, number, text
from jaxalign.report.vocabulary.views import View

_ROW_LEAD = (
    "Scores with every model of the run, best first. The interval covers the score of as many "
    "other structures with the stated probability; p asks whether the nearest model is nearer "
    "than this one."
)
_READING = (
    "A score says how far two models agree about which structures resemble each other; it says "
    "nothing about which of them is better.",
    "Calibrated: 0 is what 95 of 100 random relabelings of the structures stay below, 1 a perfect "
    "match. It takes out what width and number of structures do to raw scores.",
    "Intervals and p-values are over structures: another sample of structures of the same kind "
    "would move the scores about so much. They say nothing about other kinds of structures.",
    "The p-value of the nearest model against another one is of a paired test over the same "
    "structures; p (Holm) is corrected for all models in the table.",
    "Descriptors (composition, fingerprints) and untrained networks are no models of anything: an "
    "agreement that is not clearly above theirs needs no training to be explained.",
)


def write_comparison(found: Comparison, folder: str | Path) -> Path:
    """Writes `index.html` and `table.csv` of a comparison.

    Args:
      found: the comparison.
      folder: where to.

    Returns:
      Path of `index.html`.

    Raises:
      StorageError: the folder cannot be written.
    """
    folder = Path(folder)
    require_writable(folder)
    where = dataset_name(found.alignment.diagnostics)
    page = render_page(
        title=f"{found.name} among {labels.count(len(found.alignment.models) - 1, 'model')}",
        lead=_lead(found, where),
        views={"": comparison_views(found)},
        findings=findings(found),
        overview=_overview(found),
        version=found.alignment.diagnostics["versions"]["jaxalign"],
    )
    with atomic_write(folder / "table.csv", mode="w") as file:
        found.scores.to_csv(file, index=False)
    with atomic_write(folder / "index.html") as file:
        file.write(page)
    return folder / "index.html"


def comparison_views(found: Comparison) -> list[View]:
    """The tabs behind the first one."""
    views = [
        View(
            "metrics",
            "All metrics",
            "Scores with every model under every metric of the run, and which model is nearest. "
            "Directed metrics read from the new model to the other one.",
            tables=(_metrics_table(found), _nearest_table(found)),
        )
    ]
    if chart := tree_chart(found):
        views.append(
            View(
                "tree",
                "Tree",
                "Models that score alike with all others stand together. Lengths along branches "
                "are distances between profiles of scores; the tree has no root.",
                charts=(chart,),
            )
        )
    if found.beyond is not None and not found.beyond.table.empty:
        views.append(_beyond_view(found))
    diagnostics = tables.diagnostics_table(found.alignment.diagnostics, [found.name])
    views.append(
        View(
            "embeddings",
            "The embeddings",
            "What in the new embeddings would make scores hard to trust: structures that share an "
            "embedding, ties, hubs, rows without signal.",
            tables=(diagnostics,),
        )
    )
    views.append(View("reading", "How to read this", "", notes=_READING))
    return views


def _overview(found: Comparison) -> View:
    charts = () if found.rows[found.metric].empty else (score_chart(found),)
    return View(
        "row",
        "",
        _ROW_LEAD,
        charts=charts,
        tables=(_row_table(found),),
        notes=found.notes,
    )


def _lead(found: Comparison, where: str) -> str:
    n, others = found.matching["n"], len(found.alignment.models) - 1
    of = f" of {where}" if where else ""
    said = (
        f"{found.name} and {labels.count(others, 'model')} of a run embedded {n:,} structures{of}."
    )
    if found.matching.get("by_position"):
        said += " The new rows came without ids and were taken in the run's order."
    return said


def _row_table(found: Comparison) -> Table:
    cards = found.alignment.cards
    rows = [
        (
            text(entry.other),
            text(cards[entry.other].modality),
            _score(entry.value),
            _interval(entry.ci_low, entry.ci_high),
            _score(entry.calibrated),
            p_cell(entry.null_q),
            _score(entry.difference),
            _interval(entry.difference_low, entry.difference_high),
            p_cell(entry.p),
            p_cell(entry.p_holm),
        )
        for entry in found.rows[found.metric].itertuples()
    ]
    columns = ("Model", "Input", metric_words(found), interval_words(found), "Calibrated")
    columns += (
        "q against chance",
        "Behind the nearest by",
        "Interval of that",
        "p",
        "p (Holm)",
    )
    return Table("row", f"{found.name} and every model", columns, tuple(rows))


def _metrics_table(found: Comparison) -> Table:
    rows = found.rows
    order = list(rows[found.metric]["other"]) or [
        m for m in found.alignment.models if m != found.name
    ]
    known = {metric: row.set_index("other") for metric, row in rows.items()}
    cells = tuple(
        (text(other), *(_both(known[metric], other) for metric in rows)) for other in order
    )
    columns = ("Model", *(metric_words(found, metric) for metric in rows))
    return Table("metrics", "Score, and calibrated score in brackets", columns, cells)


def _nearest_table(found: Comparison) -> Table:
    cells, encoders = [], set(compared_models(found.alignment.cards))
    for metric, row in found.rows.items():
        if row.empty:
            continue
        best = row[row["nearest"].astype(bool)].iloc[0]
        rest = row[~row["nearest"].astype(bool) & row["other"].isin(encoders)]
        second = rest.iloc[0] if len(rest) else None
        cells.append(
            (
                text(metric_words(found, metric)),
                text(best["other"]),
                _score(best["value"]),
                text(None if second is None else second["other"]),
                _score(None if second is None else second["value"]),
                p_cell(None if second is None else second["p"]),
                text(best["reason"]),
            )
        )
    columns = ("Metric", "Nearest", "Score", "Runner-up", "Its score", "p of the lead", "Remark")
    return Table("nearest", "The nearest pretrained model by every metric", columns, tuple(cells))


def _beyond_view(found: Comparison) -> View:
    beyond = found.beyond
    rows = tuple(
        (
            text(r.other),
            _score(r.raw),
            _score(r.raw_calibrated),
            _score(r.conditional),
            _score(r.calibrated),
            p_cell(r.p),
            text(r.reason),
        )
        for r in beyond.table.itertuples()
    )
    columns = ("Model", "Score", "Calibrated", "What remains", "Calibrated", "p", "Remark")
    note = f"{100 * beyond.left:.0f} % of the variance of {found.name} is left without that."
    return View(
        "beyond",
        "Beyond composition",
        f"What {beyond.given} can tell linearly was taken out of the embeddings of the new model "
        "and of its nearest ones. A calibrated score of 0 means that nothing remains.",
        tables=(Table("beyond", f"Alignment given {beyond.given}", columns, rows),),
        notes=(note,) if math.isfinite(beyond.left) else (),
    )


def _score(value: float | None) -> Cell:
    return number(value, labels.score(value))


def _both(row: pd.DataFrame, other: str) -> Cell:
    if other not in row.index:
        return number(None)
    entry = row.loc[other]
    shown = labels.score(entry["value"])
    if math.isfinite(entry["calibrated"]):
        shown += f" ({labels.score(entry['calibrated'])})"
    return number(float(entry["value"]), shown, flagged=bool(entry["nearest"]))


def _interval(low: float, high: float) -> Cell:
    if not (math.isfinite(low) and math.isfinite(high)):
        return number(None)
    return number(high - low, f"{labels.score(low)} to {labels.score(high)}")
