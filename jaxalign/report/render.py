"""Everything the report consists of, as bytes by file name."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from matplotlib.figure import Figure

from jaxalign.analysis.rotation import RotationDrift
from jaxalign.report import canvas, labels, summary, tables
from jaxalign.report.best_layers import best_layers_table
from jaxalign.report.estimates import (
    EstimateView,
    draw_estimates,
    estimate_views,
    estimates_table,
    of_single_models,
)
from jaxalign.report.explanations import condition_notes, explanations_table, what_remains
from jaxalign.report.heatmap import clustering, draw_heatmap
from jaxalign.report.relations import RELATIONS, Spread, spread
from jaxalign.report.rotation import (
    draw_rotations,
    failures,
    is_drawn,
    read_drifts,
    rotation_table,
)
from jaxalign.report.sample_size import (
    dependences,
    draw_curves,
    limit_table,
    order_table,
    read_curves,
)
from jaxalign.report.source import FIGURES, AlignmentLike, MetricView, view
from jaxalign.report.strips import draw_strips

_SIZE_WORDS = (
    "Scores of the best, the median and the worst pair of each metric against the number of "
    "structures.",
    "Subsets of one size are disjoint; the best, median and worst pair are those of all "
    "structures.",
)
_PIXELS = 115  # CSS pixels an inch: a figure of a dozen models fills the column


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure on the page: files relative to it, size in CSS pixels, and words for all readers."""

    png: str
    svg: str
    width: int
    height: int
    alt: str
    caption: str


def render(alignment: AlignmentLike, *, title: str | None = None) -> dict[str, bytes]:
    """Draws the report without touching the disk.

    Args:
      alignment: scores of all pairs.
      title: heading of the page; None for the one that the run was given, if any.

    Returns:
      File name relative to the report's folder → content.

    Raises:
      ValueError: the alignment holds no metric or no model.
    """
    views = [
        view(alignment, metric)
        for metric in alignment.metrics
        if not of_single_models(alignment, metric)
    ]
    estimates = estimate_views(alignment)
    if not (views or estimates) or not alignment.cards:
        raise ValueError(
            f"a report needs at least one metric and one model: got metrics={alignment.metrics}, "
            f"models={list(alignment.cards)}; run align with both"
        )
    n = int(alignment.diagnostics.get("n") or 0)
    files: dict[str, bytes] = {"table.csv": alignment.table.to_csv(index=False).encode()}
    pictures = {}
    with canvas.style():
        for shown, slug in zip(views, _slugs(views), strict=True):
            pictures[shown.metric] = _pictures(shown, slug=slug, n=n, files=files)
        ids = _order(alignment, views)
        if estimates:
            pictures["estimates"] = _estimates(estimates, ids, files)
        drifts = read_drifts(alignment.diagnostics, ids)
        if any(map(is_drawn, drifts)):
            pictures["rotations"] = _rotations(drifts, files)
        curves = read_curves(alignment.diagnostics)
        if curves and (figure := draw_curves(curves)):
            pictures["sizes"] = _keep(figure, "sizes", files, *_SIZE_WORDS)
    title = title or alignment.diagnostics.get("title")
    content = _content(alignment, views, ids=ids, n=n, title=title)
    content["estimates"] = estimates_table(estimates, ids) if estimates else None
    content["methods"] = estimates
    content["rotations"] = rotation_table(drifts) if drifts else None
    content["rotation_tolerance"] = f"{drifts[0].tolerance:g}" if drifts else ""
    content["findings"] += failures(drifts) if views else []
    content["sizes"] = [order_table(curves), limit_table(curves)] if curves else []
    content["size_notes"] = curves["notes"] if curves else []
    content["findings"] += dependences(curves) if curves and views else []
    explained = alignment.diagnostics.get("explanations") or {"encoders": ()}
    shown = explained["encoders"]
    content["explanations"] = explanations_table(explained, ids) if shown else None
    content["conditions"] = condition_notes(explained) if shown else []
    content["findings"] += what_remains(explained) if shown and views else []
    page = _template().render(pictures=pictures, **content)
    files["index.html"] = page.encode()
    return files


def _slugs(views: list[MetricView]) -> list[str]:
    """Parts of file names; numbered where two metric ids would give the same."""
    plain = [shown.slug for shown in views]
    return [
        slug if plain.count(slug) == 1 else f"{slug}-{number}" for number, slug in enumerate(plain)
    ]


def _pictures(
    shown: MetricView, *, slug: str, n: int, files: dict[str, bytes]
) -> dict[str, Picture]:
    """Draws the figures of one metric into `files`; none where there is nothing to draw."""
    scores = spread(np.array([pair.value for pair in shown.pairs]))
    found = {}
    if len(shown.ids) > 1:
        figure = draw_heatmap(shown, n=n)
        found["heatmap"] = _keep(figure, f"heatmap-{slug}", files, *_heatmap_words(shown, scores))
    if scores.count:
        figure = draw_strips(shown)
        found["pairs"] = _keep(figure, f"pairs-{slug}", files, *_strip_words(shown))
    return found


def _estimates(estimates: list[EstimateView], ids: list[str], files) -> Picture:
    names = labels.joined([found.title for found in estimates])
    alt = f"Estimates of {labels.count(len(ids), 'model')} by {names}."
    caption = "Independent of the other models; missing marks are explained in the table."
    return _keep(draw_estimates(estimates, ids), "estimates", files, alt, caption)


def _rotations(drifts: list[RotationDrift], files: dict[str, bytes]) -> Picture:
    count = labels.count(sum(map(is_drawn, drifts)), "model")
    alt = f"Drift of the embeddings of {count} under rotations and orders of atoms, log scale."
    caption = "Lines run from the median over structures to the largest drift, which has the mark."
    return _keep(draw_rotations(drifts), "rotations", files, alt, caption)


def _order(alignment: AlignmentLike, views: list[MetricView]) -> list[str]:
    """Models in the order of the first heatmap: related ones stand together in tables, too."""
    if not views:
        return list(alignment.cards)
    first = _first(views)
    return [first.ids[i] for i in clustering(first).order]


def _first(views: list[MetricView]) -> MetricView:
    return next((shown for shown in views if shown.metric == "mutual_knn"), views[0])


def _keep(figure: Figure, stem: str, files: dict[str, bytes], alt: str, caption: str) -> Picture:
    for kind, content in canvas.encode(figure).items():
        files[f"{FIGURES}/{stem}.{kind}"] = content
    width, height = (round(_PIXELS * inches) for inches in figure.get_size_inches())
    png, svg = (f"{FIGURES}/{stem}.{kind}" for kind in ("png", "svg"))
    return Picture(png, svg, width, height, alt, caption)


def _heatmap_words(shown: MetricView, scores: Spread) -> tuple[str, str]:
    span = f"{labels.score(scores.low)} to {labels.score(scores.high)}"
    alt = f"Clustered heatmap of {shown.title} between {len(shown.ids)} models; "
    alt += f"scores of different models run from {span}." if scores.count else "no score computed."
    itself = (
        f"{labels.fixed(shown.best, 0)} by definition" if shown.similarity else "the best value"
    )
    caption = (
        "Average linkage, optimal leaf ordering. Colors cover the scores of different models; the "
        f"diagonal (a model with itself, {itself}) is hatched."
    )
    if not shown.symmetric:
        caption += " The metric is directed: rows are read towards columns."
    return alt, caption


def _strip_words(shown: MetricView) -> tuple[str, str]:
    means = [f"{RELATIONS[name]} {labels.score(s.mean)}" for name, s in shown.spreads.items()]
    alt = f"Scores of all pairs under {shown.title} by relation; means: {', '.join(means)}."
    caption = "One point a pair of models; the bar is the mean of its group."
    return alt, caption


def _content(
    alignment: AlignmentLike, views: list[MetricView], *, ids: list[str], n: int, title: str | None
) -> dict[str, Any]:
    first = _first(views) if views else None
    tested = bool(alignment.table["p"].notna().any()) if "p" in alignment.table else False
    pairs, unlisted = tables.pairs_table(views) if views else (None, 0)
    where = summary.dataset_name(alignment.diagnostics)
    return {
        "title": title
        or f"Alignment of {labels.count(len(ids), 'model')}{f' on {where}' if where else ''}",
        "lead": summary.lead(list(alignment.cards.values()), alignment.diagnostics),
        "first": first,
        "findings": summary.findings(first, n=n, tested=tested) if first else [],
        "tested": tested,
        "views": views,
        "groups": tables.groups_table(views),
        "significance": tables.significance_table(views),
        "exchanged": alignment.diagnostics.get("exchangeable")
        or (alignment.diagnostics.get("sampled_nulls") or {}).get("exchanged"),
        "best_layers": _best_layers(alignment),
        "models": tables.models_table(alignment.cards, ids),
        "diagnostics": tables.diagnostics_table(alignment.diagnostics, ids),
        "pairs": pairs,
        "unlisted": unlisted,
        "facts": summary.run_facts(alignment, views),
        "command": alignment.diagnostics.get("command"),
        "losses": summary.losses(alignment, views),
        "version": (alignment.diagnostics.get("versions") or {}).get("jaxalign", ""),
    }


def _best_layers(alignment: AlignmentLike) -> tables.Table | None:
    found = getattr(alignment, "best_layers", None)
    return None if found is None or found.empty else best_layers_table(found)


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # names come from users
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html.jinja")
