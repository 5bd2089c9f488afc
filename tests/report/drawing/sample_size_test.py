"""The section on the number of structures: curves, limits and verdicts as the run measured them."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from jaxalign.analysis.precision.sample_size_table import ScoreCurves
from jaxalign.report.drawing.sample_size import (
    dependences,
    draw_curves,
    limit_table,
    order_table,
    read_curves,
)
from jaxalign.report.render import render

_CURVES = (("mutual_knn", "fixed k", 10, 0), ("cka", "without k", None, 1))


@pytest.fixture
def summary():
    """Two metrics of six pairs: one whose order stays, one whose order turns round."""
    rows = [
        {
            "metric": metric, "model_a": "a", "model_b": f"b{pair}", "rule": rule, "k_full": k,
            "n": n, "k": k, "draws": 400 // n, "null_mean": 10 / (n - 1) if k else math.nan,
            "score": 0.1 * (pair + 1) + turn * (5 - 2 * pair) * 10 / n + (n == 200) * 1e-4 * pair,
            "sd": 0.01 * math.sqrt(400 / n) if n < 400 else math.nan,
        }
        for metric, rule, k, turn in _CURVES
        for pair in range(6)
        for n in (50, 100, 200, 400)
    ]  # fmt: skip
    table = pd.DataFrame(rows).astype({"k": "Int64", "k_full": "Int64"})
    return ScoreCurves.of(table).summary()


def test_verdicts_and_limits_stand_in_the_tables(summary):
    stays, turns = order_table(summary).rows
    assert [stays[0].text, stays[1].text] == ["Mutual kNN", "k = 10"]
    assert stays[2].text == "50 to 400"
    assert (stays[4].text, stays[4].flagged) == ("1.00", False)
    assert stays[6].text == "1 of 6"  # 0.1 is below 10/49
    assert turns[4].flagged
    assert turns[7].text == "the order of pairs depends on N"
    rows = limit_table(summary).rows
    assert [row[2].text for row in rows] == ["best", "median", "worst"] * 2
    assert rows[0][3].text == "a – b5"
    assert rows[0][4].text == "0.600 ± 0.0100"
    assert len(dependences(summary)) == 1
    assert "between N = 50 and 400" in dependences(summary)[0]


def test_curves_are_drawn_where_they_were_measured(summary):
    figure = draw_curves(summary)
    axes = {axes.get_gid(): axes for axes in figure.axes if axes.get_gid()}
    assert set(axes) == {"panel-0", "panel-1"}
    marked = [line for line in axes["panel-0"].get_lines() if line.get_marker() == "o"]
    np.testing.assert_array_equal(marked[0].get_xdata(), [50, 100, 200, 400])
    np.testing.assert_allclose(marked[0].get_ydata()[-1], 0.6)
    null = [line for line in axes["panel-0"].get_lines() if line.get_linestyle() == "--"]
    np.testing.assert_allclose(null[0].get_ydata(), 10 / (np.array([50, 100, 200, 400]) - 1))
    assert not [line for line in axes["panel-1"].get_lines() if line.get_linestyle() == "--"]
    nothing = summary | {"curves": []}
    assert draw_curves(nothing) is None


def test_the_page_has_the_section(fake_alignment, summary):
    alignment = fake_alignment(3, metrics=("mutual_knn",))
    assert read_curves(alignment.diagnostics) is None
    with_curves = {**alignment.diagnostics, "score_curves": summary}
    files = render(dataclasses.replace(alignment, diagnostics=with_curves), figures=["svg"])
    page = files["index.html"].decode()
    assert 'href="#sizes"' in page
    assert "The order of pairs depends on the number of structures: " in page
    assert b"structures N" in files["figures/sizes-1.svg"]
    assert "Score curves" not in page  # not repeated among the facts of the run
    assert 'id="sizes"' not in render(alignment)["index.html"].decode()
