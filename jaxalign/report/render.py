"""Everything the report consists of, as bytes by file name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from jaxalign.report.charts.score_charts import heatmap_chart
from jaxalign.report.figures import figure_files, require_formats
from jaxalign.report.html.html_page import render_page
from jaxalign.report.tabs import summary
from jaxalign.report.tabs.analysis_views import analysis_views
from jaxalign.report.tabs.claims import claims_view, verdict_summary
from jaxalign.report.tabs.model_views import model_views
from jaxalign.report.tabs.overview import findings, overview_view
from jaxalign.report.tabs.pair_views import pair_views
from jaxalign.report.tabs.parts import Part, read_parts
from jaxalign.report.tabs.payload import explorer_payload
from jaxalign.report.tabs.run_views import run_views
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.source import AlignmentLike
from jaxalign.report.vocabulary.views import Chart

PAGE = "index.html"


def render(
    alignment: AlignmentLike | Mapping[str, AlignmentLike],
    *,
    title: str | None = None,
    claims: pd.DataFrame | None = None,
    figures: Sequence[str] = (),
) -> dict[str, bytes]:
    """Makes the report without touching the disk.

    Args:
      alignment: scores of all pairs; or name of the data set → scores, of several data sets.
      title: heading of the page; None for the one that the run was given, if any.
      claims: claims and their verdicts (see `claims.claims_table`).
      figures: formats of the figures for papers; none are drawn without.

    Returns:
      File name relative to the report's folder → content.

    Raises:
      ValueError: an alignment holds no metric or no model, or an unknown format.
    """
    require_formats(figures)
    alignments = named_alignments(alignment)
    parts = read_parts(alignments)
    known = claims is not None and not claims.empty
    pairs = pair_views(parts)
    views = {
        "": [*([claims_view(claims)] if known else []), *pairs[:1]],
        "Analyses": [*analysis_views(alignments), *pairs[1:]],
        "Models": model_views(parts),
        "Run": run_views(parts),
    }
    page = render_page(
        title=title or _title(parts),
        lead=summary.study_lead(parts),
        findings=findings(parts),
        claims=verdict_summary(claims) if known else None,
        overview=overview_view(parts),
        explorer=explorer_payload(parts),
        views=views,
        version=_version(parts),
    )
    charts = [chart for group in views.values() for view in group for chart in view.charts]
    table = _table(parts)
    return {
        "table.csv": table.to_csv(index=False).encode(),
        "table.parquet": table.to_parquet(index=False),
        **figure_files([*_matrices(parts), *charts] if figures else (), figures),
        PAGE: page,
    }


def named_alignments(
    alignment: AlignmentLike | Mapping[str, AlignmentLike],
) -> dict[str, AlignmentLike]:
    """Name of the data set → alignment, of one alignment or of several."""
    if isinstance(alignment, Mapping):
        return dict(alignment)
    return {summary.dataset_name(alignment.diagnostics): alignment}


def _title(parts: Sequence[Part]) -> str:
    if stated := parts[0].alignment.diagnostics.get("title"):
        return stated
    models = len({name for part in parts for name in part.ids})
    names = [part.name for part in parts]
    where = labels.joined(names) if len(names) < 4 else f"{len(names)} data sets"
    return f"Alignment of {labels.count(models, 'model')}{f' on {where}' if where else ''}"


def _version(parts: Sequence[Part]) -> str:
    return (parts[0].alignment.diagnostics.get("versions") or {}).get("jaxalign", "")


def _table(parts: Sequence[Part]) -> pd.DataFrame:
    """The tidy table; of several data sets one below the other."""
    if len(parts) == 1:
        return parts[0].alignment.table
    tables = [part.alignment.table.assign(dataset=part.name) for part in parts]
    return pd.concat(tables, ignore_index=True)


def _matrices(parts: Sequence[Part]) -> list[Chart]:
    """Matrices of all metrics, which the page shows as one that can be switched."""
    return [
        heatmap_chart(view, name=name, title=view.title, n=part.n)
        for part in parts
        for view, name in zip(part.metrics, part.metric_names("heatmap"), strict=True)
        if len(view.ids) > 1
    ]
