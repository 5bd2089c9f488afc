"""Disputed structures on the page: drawings are images on light panels, ids are words."""

import base64

import numpy as np
import pytest

from jaxalign.analysis.drawings import draw_molecules
from jaxalign.report.charts.disagreement import FACT, disagreement_view
from jaxalign.report.charts.reading import read_report


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


def test_without_the_fact_the_reason_is_said(views):
    alignment_of, cards_of, _, _ = views
    alignment = alignment_of(cards_of(["a"]), {"cknna": np.ones((1, 1))}, ks={"cknna": 25})
    view, missing = disagreement_view(read_report({"qm9": alignment}))
    assert view is None
    assert "mutual_knn" in missing[0]
