"""The tab of nearest models: whom each model is nearest to, and whether the lead is chance."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxalign.alignment.results import Alignment, ResultError
from jaxalign.analysis.precision.nearest_models import nearest_models
from jaxalign.analysis.relations.model_labels import compared_models
from jaxalign.metrics._definition import GraphMetric
from jaxalign.metrics.registry import metric_definition
from jaxalign.report.charts.reading import Report, Source
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.source import AlignmentLike
from jaxalign.report.vocabulary.tables import Cell, Table, number, text
from jaxalign.report.vocabulary.views import View
from jaxalign.significance.p_values import ALPHA

_PREFERRED = ("cknna", "mutual_knn")
_LEAST = 3  # models: without a runner-up there is no lead
_LEAD = (
    "Which model is each one nearest to, and is the second one really farther? Scores of the two "
    "are compared structure by structure. The lead stands with its 95 % interval; q and p (Holm) "
    "are corrected for all models of the table, for the share of false findings and for any."
)
_NOTE = (
    "“As near” means that another sample of as many structures could put the runner-up first. The "
    "test takes structures for independent draws; it says nothing about other kinds of structures."
)


def nearest_view(report: Report) -> tuple[View | None, list[str]]:
    """The tab, and what is missing for it.

    Args:
      report: all data sets.

    Returns:
      The view with one table a data set, or None, and sentences for what could not be shown.
    """
    found, missing, said = [], [], []
    for source in report.sources:
        table = _nearest(source.alignment)
        if isinstance(table, str):
            missing.append(f"{source.prefix}{table}")
            continue
        found.append(_table(table, source))
        said.append(source.prefix + _sentence(table))
    if not found:
        return None, missing
    lead = " ".join([_LEAD, *said])
    view = View("nearest-models", "Nearest models", lead, tables=tuple(found), notes=(_NOTE,))
    return view, missing


def _nearest(alignment: AlignmentLike) -> pd.DataFrame | str:
    """The tests, or why there are none."""
    metric = _metric(alignment)
    if metric is None or not isinstance(alignment, Alignment):
        return "nearest models are tested by a metric of neighbors: add cknna to the metrics"
    names = compared_models(alignment.cards)
    if len(names) < _LEAST:
        return f"nearest models need {_LEAST} trained models: there are {len(names)}"
    groups = (alignment.diagnostics.get("labels") or {}).get("groups")
    if alignment.diagnostics.get("grouped") and groups is None:
        return "the run kept groups apart and did not record them: the same command does so now"
    try:
        return nearest_models(alignment, metric, models=names, groups=groups)
    except (ResultError, ValueError) as reason:
        return f"nearest models cannot be tested: {reason}"


def _metric(alignment: AlignmentLike) -> str | None:
    """A metric whose contributions are in the stored graphs."""
    usable = [
        metric
        for metric in alignment.metrics
        for definition in (metric_definition(metric),)
        if isinstance(definition, GraphMetric) and definition.weights is not None
    ]
    return next((m for m in (*_PREFERRED, *usable) if m in usable), None)


def _table(found: pd.DataFrame, source: Source) -> Table:
    title = source.alignment.metadata(str(found["metric"].iloc[0]))["title"]
    k = found["k"].iloc[0]
    caption = f"Nearest models by {title}" + ("" if pd.isna(k) else f" (k = {k})")
    rows = tuple(_row(entry) for entry in found.itertuples())
    columns = ("Model", "Nearest", "Score", "Runner-up", "Its score", "Lead")
    columns += ("p", "q", "p (Holm)", "Verdict")
    return Table(f"nearest-models{source.slug}", source.titled(caption), columns, rows)


def _row(entry) -> tuple[Cell, ...]:
    lead = labels.score(entry.difference)
    if np.isfinite(entry.ci_low):
        lead += f" ({labels.score(entry.ci_low)} to {labels.score(entry.ci_high)})"
    known = np.isfinite(entry.p)
    verdict = ("nearer" if entry.nearer else "as near") if known else entry.reason
    return (
        text(entry.model),
        text(entry.nearest),
        number(entry.score, labels.score(entry.score)),
        text(entry.second),
        number(entry.second_score, labels.score(entry.second_score)),
        number(entry.difference, lead),
        p_cell(entry.p),
        p_cell(entry.q),
        p_cell(entry.p_holm),
        text(verdict),
    )


def p_cell(value: float | None) -> Cell:
    """A p-value, small ones as "< 0.001"."""
    if value is None or not np.isfinite(value):
        return number(None)
    return number(float(value), "< 0.001" if value < 0.001 else f"{value:.3f}")


def _sentence(found: pd.DataFrame) -> str:
    nearer, tested = int(found["nearer"].sum()), int(found["p"].notna().sum())
    return (
        f"{nearer} of {labels.count(tested, 'model')} have a nearest model that is nearer than the "
        f"runner-up (false-discovery rate {100 * ALPHA:.0f} %)."
    )
