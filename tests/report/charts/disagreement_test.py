"""Disputed structures on the page: drawings are images on light panels, ids are words."""

import base64
import re

import numpy as np
import pytest
from matplotlib.patches import PathPatch

from jaxalign.analysis.disagreement_facts import compact
from jaxalign.analysis.drawings import draw_molecules
from jaxalign.report.charts.disagreement import (
    FACT,
    disagreement_view,
    draw_disputed_structures,
)
from jaxalign.report.charts.reading import read_report
from jaxalign.report.drawing import canvas
from jaxalign.report.drawing.line_art import draw_line_art


def record(names, svg):
    neighbors = {"neighbors_a": ["x", "y"], "neighbors_b": ["y", "z"], "shared": ["y"]}
    own = {"contribution": 0.5, "equal": 7, **neighbors}
    structures = [{"id": f"s{i} <b>", "svg": svg if i < 2 else "", **own} for i in range(3)]
    facts = {"metric": "mutual_knn", "title": "mutual kNN", "k": 2, "score": 0.75, "n": 70}
    return {**facts, "model_a": names[0], "model_b": names[1], "structures": structures}


def test_drawings_stand_below_each_other_on_light_panels(rng, views):
    alignment_of, cards_of, symmetric, check_view = views
    cards = cards_of(["a <b>", "b"])
    svg = draw_molecules(["CCO"], legends=["s"])
    scores = {"mutual_knn": symmetric(rng, 2)}
    facts = {FACT: [record(list(cards), svg)]}
    alignment = alignment_of(cards, scores, ks={"mutual_knn": 2}, **facts)
    view, missing = disagreement_view(read_report({"qm9": alignment}))
    check_view(view)
    assert missing == []
    layout = view.charts[0].plotly["layout"]
    kind, _, content = layout["images"][0]["source"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(content).decode() == svg
    assert [panel["fillcolor"] for panel in layout["shapes"]] == ["#ffffff"] * 2
    edges = [(panel["y0"], panel["y1"]) for panel in layout["shapes"]]
    assert edges[0][1] < 1
    assert edges[1][0] == pytest.approx(0)
    assert edges[1][1] < edges[0][0]
    assert [len(row) for row in view.tables[0].rows] == [10] * 3  # also those without a drawing
    assert "7 of 70 structures (10.0 %)" in view.lead


def test_drawings_are_lines_on_paper_too():
    svg = draw_molecules(
        ["CC(=O)O", "C[C@H](F)Cl", "[CH2]C", ""], legends=["a", "b", "c", ""], columns=2
    )
    paths = re.findall(r" d='([^']*)'", svg)
    for kept in (svg, compact(svg)):
        each = {"id": "s1", "svg": kept, "shared": ["x"]}
        facts = {"model_a": "a", "model_b": "b", "k": 3}
        with canvas.style():
            figure = draw_disputed_structures([each, each], "Disputed $x$", facts)
            files = canvas.encode(figure, ("png", "svg", "pdf"))
        (axes,) = figure.axes
        patches = [p for p in axes.patches if isinstance(p, PathPatch)]
        assert len(patches) == 2 * len(paths)
        colors = {p.get_edgecolor() for p in patches}
        assert {(1.0, 0.0, 0.0, 1.0)} <= colors  # bonds to oxygen
        # All of it is on the sheet, the second drawing below the first.
        boxes = [p.get_path().get_extents(p.get_transform() - axes.transData) for p in patches]
        assert min(b.x0 for b in boxes) >= 0.15
        assert max(b.x1 for b in boxes) <= 6.65
        first, second = boxes[: len(paths)], boxes[len(paths) :]
        assert max(b.y1 for b in second) < min(b.y0 for b in first)
        assert min(b.y0 for b in second) >= 0
        assert files["svg"].count(b"<path") > len(paths)
    facts |= {"model_a": "a" * 90, "model_b": "b" * 90}
    with canvas.style():
        figure = draw_disputed_structures([each], "Disputed between " + "c" * 120, facts)
        figure.canvas.draw()
    for text in figure.axes[0].texts:
        assert text.get_window_extent().x1 <= figure.bbox.x1


def test_other_paths_than_those_of_drawings_are_named():
    _, axes = canvas.sheet(1, 1)
    odd = "<svg viewBox='0 0 10 10'><path d='M 0,0 A 1 1'/></svg>"
    with pytest.raises(ValueError, match="command 'A'"):
        draw_line_art(axes, odd, left=0, top=1, width=1)
    with pytest.raises(ValueError, match="viewBox"):
        draw_line_art(axes, "<svg/>", left=0, top=1, width=1)


def test_without_the_fact_the_reason_is_said(views):
    alignment_of, cards_of, _, _ = views
    alignment = alignment_of(cards_of(["a"]), {"cknna": np.ones((1, 1))}, ks={"cknna": 25})
    view, missing = disagreement_view(read_report({"qm9": alignment}))
    assert view is None
    assert "mutual_knn" in missing[0]
