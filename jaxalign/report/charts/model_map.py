"""The map of models: points whose distances come near 1 − score."""

from __future__ import annotations

import math

import numpy as np

from jaxalign.analysis.relations.model_map import ModelMap, classical_map, score_distances
from jaxalign.report.charts import reading
from jaxalign.report.charts.marks import Marks, modality_words
from jaxalign.report.charts.model_points import model_points
from jaxalign.report.charts.place_labels import placed_labels
from jaxalign.report.charts.points import Axis, PointFigure
from jaxalign.report.charts.points_page import points_plotly
from jaxalign.report.charts.points_paper import draw_points
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.views import Chart, View

LEAST_MODELS = 3
_QUESTION = (
    "Where do models stand among each other? On the map models that agree are close: distances "
    "come near 1 minus their score, as near as a plane allows; directions have no meaning."
)


def map_view(report: reading.Report) -> tuple[View | None, list[str]]:
    """The tab of maps, and what is missing for it."""
    charts, findings, notes, missing = [], [], [], []
    for source in report.sources:
        scores = reading.similarity(source)
        names = reading.compared(source)
        if scores is None or len(names) < LEAST_MODELS:
            why = f"a similarity of pairs and {LEAST_MODELS} trained models"
            missing.append(f"{source.prefix}a map of models needs {why}")
            continue
        found = classical_map(score_distances(reading.chosen_scores(scores, names)))
        charts.append(_chart(source, report.marks, found, scores))
        findings.append(source.prefix + quality(found))
        if found.left_out:
            left = labels.joined(found.left_out)
            notes.append(f"{source.prefix}Left out for want of scores: {left}.")
    if not charts:
        return None, missing
    lead, notes = reading.leading(_QUESTION, findings, notes)
    return View("map", "Map of models", lead, tuple(charts), (), notes), missing


def quality(found: ModelMap) -> str:
    """One sentence: how far distances on the map can be trusted."""
    if math.isnan(found.stress):
        return "All models are at one place: their distances are zero."
    trust = "distances on the map are good to about a tenth"
    if found.stress > 0.1:
        trust = "single distances on the map are to be read with care"
    return (
        f"The two axes hold {100 * found.explained:.0f} % of what any map could show, with a "
        f"stress of {labels.fixed(found.stress, 2)} (0: every distance as it is): {trust}."
    )


def _chart(source: reading.Source, marks: Marks, found: ModelMap, scores: reading.Scores) -> Chart:
    names = [str(name) for name in found.points.coords["model"].values]
    x, y = (np.asarray(found.points.values[:, axis], float) for axis in (0, 1))
    reach = [1.25 * max(float(np.abs(v).max()), 1e-3) for v in (x, y)]
    hover = [_hover(name, source) for name in names]
    across, up = reach[0], max(reach[1], 0.45 * reach[0])
    limits, inches = ((-across, across), (-up, up)), (3.6, 3.6 * up / across)
    figure = PointFigure(
        Axis("first axis of the map (1 − score)", limits=limits[0]),
        Axis("second axis (1 − score)", limits=limits[1]),
        points=model_points(x.tolist(), y.tolist(), names, hover, source.cards, marks),
        labels=placed_labels(x.tolist(), y.tolist(), names, limits=limits, inches=inches),
        equal=True,
    )
    title = source.titled("Map of models")
    table = found.points.to_pandas().set_axis(["x", "y"], axis=1)
    return Chart(
        name=f"map{source.slug}",
        title=title,
        alt=f"Map of {labels.count(len(names), 'trained model')} by modality.",
        caption=(
            f"Classical scaling of 1 − score: {scores.axis}. Names that have no room are shown "
            "when a point is touched."
        ),
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=table.reset_index(names="model"),
    )


def _hover(name: str, source: reading.Source) -> str:
    card = source.cards[name]
    parts = (name, card.family, modality_words(card.modality), card.training_data)
    return "\n".join(part for part in parts if part)
