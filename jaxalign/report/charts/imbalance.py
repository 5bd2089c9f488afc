"""The information-imbalance plane: which models contain what others know."""

from __future__ import annotations

import math

import pandas as pd

from jaxalign.analysis.relations.imbalance_plane import (
    FAR,
    NEAR,
    RATIO,
    REGIONS,
    imbalance_means,
    imbalance_plane,
)
from jaxalign.report.charts import reading
from jaxalign.report.charts.marks import Marks, relation_mark
from jaxalign.report.charts.model_points import model_points
from jaxalign.report.charts.place_labels import placed_labels
from jaxalign.report.charts.points import Axis, Line, PointFigure, Points, Region
from jaxalign.report.charts.points_page import points_plotly
from jaxalign.report.charts.points_paper import draw_points
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.relations import RELATIONS, relation
from jaxalign.report.vocabulary.tables import Cell, Table, number, text
from jaxalign.report.vocabulary.views import Chart, View

METRIC = "information_imbalance"
_MANY = 600  # pairs from which on marks are small
_QUESTION = (
    "Which model knows what another one knows? The information imbalance Δ(a → b) is near 0 where "
    "the nearest neighbors of a structure in a are also near in b, and near 1 where a tells "
    "nothing of b."
)
_REGIONS = (
    f"Regions are conventions, not tests: equivalent up to {NEAR:g} both ways, independent from "
    f"{FAR:g} on both ways; a model contains another one where its imbalance is at most "
    f"1/{RATIO:g} of that the other way."
)


def imbalance_view(report: reading.Report) -> tuple[View | None, list[str]]:
    """The tab of the plane, and what is missing for it."""
    charts, findings, missing = [], [], []
    rows: list[tuple[Cell, ...]] = []
    for source in report.sources:
        if METRIC not in source.alignment.metrics:
            missing.append(
                f"{source.prefix}the plane of information imbalance needs information_imbalance "
                "among the metrics"
            )
            continue
        scores = source.alignment.matrix(METRIC)
        plane = imbalance_plane(scores)
        if plane.empty:
            missing.append(f"{source.prefix}no pair of models has an information imbalance")
            continue
        k = source.alignment.metadata(METRIC).get("k")
        charts.append(_plane(source, plane, k))
        names = [name for name in reading.compared(source) if name in scores.coords["model_a"]]
        means = imbalance_means(scores.sel(model_a=names, model_b=names))
        if len(means) > 2:
            charts.append(_means(source, report.marks, means, k))
        findings += [source.prefix + words for words in _findings(source, plane)]
        rows += _rows(source, plane)
    if not charts:
        return None, missing
    lead, notes = reading.leading(_QUESTION, findings, [_REGIONS])
    table = Table(
        "imbalance-regions",
        "Pairs of trained models in each region",
        ("Data set", *REGIONS, "Mean Δ, both directions"),
        tuple(rows),
    )
    view = View("imbalance", "Information imbalance", lead, tuple(charts), (table,), notes)
    return view, missing


def _plane(source: reading.Source, plane: pd.DataFrame, k: int | None) -> Chart:
    top = max(1.05, 1.05 * float(plane[["forward", "backward"]].to_numpy().max()))
    points = []
    kinds = [
        relation(source.cards[a], source.cards[b])
        for a, b in zip(plane["model_a"], plane["model_b"], strict=True)
    ]
    for name, words in reversed(RELATIONS.items()):
        chosen = plane[[kind == name for kind in kinds]]
        if len(chosen):
            color, symbol = relation_mark(name)
            hover = [_hover(row) for row in chosen.itertuples()]
            size = 7.0 if len(plane) <= _MANY else 4.0
            style = {"name": words, "color": color, "symbol": symbol, "size": size}
            x, y = chosen["forward"].tolist(), chosen["backward"].tolist()
            points.append(Points(x, y, hover, **style))
    of_k = "" if k is None else f", k = {k}"
    figure = PointFigure(
        Axis(f"Δ(a → b), share of independence{of_k}", limits=(0.0, top)),
        Axis(f"Δ(b → a), share of independence{of_k}", limits=(0.0, top)),
        points=tuple(points),
        lines=(Line((0.0, top), (0.0, top), dash="dot"),),
        regions=_regions(top),
        equal=True,
    )
    title = source.titled("Plane of information imbalance")
    return Chart(
        name=f"imbalance{source.slug}",
        title=title,
        alt=f"Information imbalance of {labels.count(len(plane), 'pair')} in both directions.",
        caption=(
            "One point a pair of models, a being the earlier one in the list of models. Shaded: "
            "where one contains the other, where both are equivalent, where they are independent."
        ),
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=plane,
    )


def _regions(top: float) -> tuple[Region, ...]:
    """Shaded regions of the plane up to `top`; the conventions of `imbalance_plane.region`."""
    above = ((0.0, NEAR), (NEAR / RATIO, NEAR), (top / RATIO, top), (0.0, top))
    below = tuple((y, x) for x, y in above)
    square = ((0.0, 0.0), (NEAR, 0.0), (NEAR, NEAR), (0.0, NEAR))
    far = ((FAR, FAR), (top, FAR), (top, top), (FAR, top))
    return (
        Region(above, "a contains b", (0.2 * top, 0.95 * top)),
        Region(below, "b contains a", (0.84 * top, 0.12 * top)),
        Region(square),
        Region(far, "independent", ((FAR + top) / 2, FAR - 0.035 * top)),
    )


def _means(source: reading.Source, marks: Marks, means: pd.DataFrame, k: int | None) -> Chart:
    x, y = means["tells"].tolist(), means["told"].tolist()
    names = means["model"].tolist()
    low, high = min(*x, *y), max(*x, *y)
    limits = (max(low - 0.1 * (high - low), 0.0), high + 0.1 * (high - low) + 1e-3)
    hover = [
        f"{row.model}\nit tells of others: {labels.score(row.tells)}\n"
        f"others tell of it: {labels.score(row.told)}"
        for row in means.itertuples()
    ]
    of_k = "" if k is None else f" (k = {k})"
    figure = PointFigure(
        Axis(f"mean Δ(model → others){of_k}: small where it knows the others", limits=limits),
        Axis(f"mean Δ(others → model){of_k}", limits=limits),
        points=model_points(x, y, names, hover, source.cards, marks),
        lines=(Line(limits, limits, dash="dot"),),
        labels=placed_labels(x, y, names, limits=(limits, limits)),
    )
    title = source.titled("What each model tells of the others")
    return Chart(
        name=f"imbalance-means{source.slug}",
        title=title,
        alt=f"Mean information imbalance of {labels.count(len(means), 'model')}, both directions.",
        caption=(
            "Means over all other trained models. Above the dotted line a model tells more of the "
            "others than they tell of it."
        ),
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=means,
    )


def _hover(row) -> str:
    forward, backward = labels.score(row.forward), labels.score(row.backward)
    return (
        f"a: {row.model_a}\nb: {row.model_b}\nΔ(a → b) = {forward}, Δ(b → a) = {backward}\n"
        f"{row.region}"
    )


def _trained(source: reading.Source, plane: pd.DataFrame) -> pd.DataFrame:
    known = reading.compared(source)
    return plane[plane["model_a"].isin(known) & plane["model_b"].isin(known)]


def _findings(source: reading.Source, plane: pd.DataFrame) -> list[str]:
    own = _trained(source, plane)
    if own.empty:
        return []
    regions = own["region"]
    contained = regions.str.contains("contains").sum()
    same, part, apart = (
        (regions == name).sum() for name in ("equivalent", "in part", "independent")
    )
    mean = float(own[["forward", "backward"]].to_numpy().mean())
    return [
        f"Of {labels.count(len(own), 'pair')} of trained models {same:,} are equivalent, in "
        f"{contained:,} one contains the other, {part:,} know each other in part and {apart:,} are "
        f"independent; the mean imbalance is {labels.score(mean)}."
    ]


def _rows(source: reading.Source, plane: pd.DataFrame) -> list[tuple[Cell, ...]]:
    own = _trained(source, plane)
    counts = own["region"].value_counts()
    mean = float(own[["forward", "backward"]].to_numpy().mean()) if len(own) else math.nan
    cells = [number(int(counts.get(name, 0))) for name in REGIONS]
    return [(text(source.name), *cells, number(mean, labels.score(mean)))]
