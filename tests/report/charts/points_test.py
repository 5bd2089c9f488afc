"""Figures of points: strict JSON, harmless names, both drawings at the same places."""

import json
import math

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from jaxalign.report.charts.place_labels import placed_labels
from jaxalign.report.charts.points import (
    Axis,
    Line,
    PointFigure,
    Points,
    Region,
    log_ticks,
    row_axis,
)
from jaxalign.report.charts.points_page import escaped, points_plotly, strict
from jaxalign.report.charts.points_paper import draw_points
from jaxalign.report.drawing import canvas

HOSTILE = "<a href='javascript:x'>%{y}</a> & $\\frac$\nnext"


def figure(**changes):
    points = Points(
        [0.1, math.nan, 3.0],
        [1.0, 2.0, 3.0],
        [HOSTILE] * 3,
        name=HOSTILE,
        spans=[(0.0, 0.2), (math.nan, math.nan), (2.5, math.inf)],
    )
    parts = {"x": Axis(HOSTILE, log=True, limits=(0.05, 5.0)), "y": row_axis([HOSTILE] * 4)}
    parts |= {"points": (points,), "lines": (Line([1.0, math.nan], [0.0, 1.0], name="fit"),)}
    return PointFigure(**{**parts, "rows": 4} | changes)


def test_json_is_strict_and_names_are_words():
    text = json.dumps(points_plotly(figure()), allow_nan=False)
    assert "<a" not in text
    assert "&lt;a href" in text
    trace = points_plotly(figure())["data"][-1]
    assert trace["x"] == [0.1, None, 3.0]
    assert trace["error_x"]["array"] == [pytest.approx(0.1), None, None]
    assert "hovertemplate" not in trace
    assert escaped("a\nb") == "a<br>b"
    assert strict(np.array([1, np.inf, -np.inf])) == [1.0, None, None]


def test_a_logarithmic_range_is_in_exponents_and_heights_grow_with_rows():
    layout = points_plotly(figure())["layout"]
    assert layout["xaxis"]["range"] == pytest.approx([math.log10(0.05), math.log10(5.0)])
    tall = points_plotly(figure(rows=200))["layout"]["height"]
    assert tall - layout["height"] > 196 * 15


def test_paper_has_the_points_at_their_places():
    with canvas.style():
        drawn = draw_points(figure(), HOSTILE)
        canvas.encode(drawn)
    found = [c for c in drawn.axes[0].collections if isinstance(c, PathCollection)]
    np.testing.assert_allclose(found[0].get_offsets(), [[0.1, 1.0], [3.0, 3.0]])
    region = Region(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)), "here", (0.5, 0.5))
    plane = figure(x=Axis(limits=(0.0, 4.0)), y=Axis(limits=(0.0, 4.0)), rows=0, regions=(region,))
    with canvas.style():
        canvas.encode(draw_points(plane, "plane"))
    assert points_plotly(plane)["layout"]["annotations"][0]["text"] == "here"


def test_labels_meet_neither_each_other_nor_leave_the_plane(rng):
    x, y = rng.uniform(size=(2, 60)).tolist()
    names = [f"a model of number {i}" for i in range(60)]
    found = placed_labels(x, y, names, limits=((0.0, 1.0), (0.0, 1.0)))
    assert 3 <= len(found) < 60
    boxes = []
    for label in found:
        width, height = canvas.extent(label.text, 7.5)
        a, b = label.x * 4.2, label.y * 3.6
        side = {"right": 0.07, "left": -0.07 - width}.get(label.side, -width / 2)
        up = {"above": 0.07, "below": -0.07 - height}.get(label.side, -height / 2)
        boxes.append((a + side, b + up, a + side + width, b + up + height))
    for i, p in enumerate(boxes):
        assert p[0] >= 0
        assert p[2] <= 4.2
        for q in boxes[:i]:
            assert p[0] >= q[2] or q[0] >= p[2] or p[1] >= q[3] or q[1] >= p[3]


def test_ticks_of_a_logarithmic_axis_lie_on_it():
    assert [words for _, words in log_ticks(0.004, 0.06)] == ["0.005", "0.01", "0.02", "0.05"]
    assert [value for value, _ in log_ticks(1e-5, 1e3)] == pytest.approx(10.0 ** np.arange(-5, 4))
