"""The section on rotations: verdicts in words, marks in the figure, nothing unmeasured."""

import dataclasses
import math

import pytest

from jaxalign.analysis.rotation import RotationDrift
from jaxalign.report.drawing.rotation import draw_rotations, failures, read_drifts, rotation_table
from jaxalign.report.render import render

GOOD = RotationDrift("a", "l", "mean", "invariant", 8, 4, 2, 1.0, 1e-7, 2e-6, 0.0, 0.0)
TURNS = dataclasses.replace(GOOD, model="b", rotation_max=0.2)
MIXES = dataclasses.replace(GOOD, model="c", permutation_max=1e-2)
OPEN = dataclasses.replace(TURNS, model="d", claim="none")
BLIND = RotationDrift("e", None, "none", "invariant", reason="no coordinates")
ALL = (GOOD, TURNS, MIXES, OPEN, BLIND)


def with_drifts(alignment, drifts):
    named = [
        dataclasses.replace(drift, model=name)
        for drift, name in zip(drifts, alignment.cards, strict=False)
    ]
    diagnostics = {**alignment.diagnostics, "rotations": [d.to_json() for d in named]}
    return dataclasses.replace(alignment, diagnostics=diagnostics), named


def test_verdicts_stand_in_the_table():
    rows = {row[0].text: row for row in rotation_table(ALL).rows}
    assert [row[7].text for row in rows.values()] == ["yes", "no", "yes", "–", "–"]
    assert [row[8].text for row in rows.values()] == ["yes", "yes", "no", "yes", "–"]
    assert [row[4].flagged for row in rows.values()] == [False, True, False, False, False]
    assert rows["a"][4].text == "2.0e−06"
    assert rows["a"][6].text == "0"
    assert rows["e"][9].text == "no coordinates"


def test_failures_are_told_and_nothing_else():
    words = failures(ALL)
    assert len(words) == 2
    assert "rotations for b;" in words[0]
    assert "order of atoms for c;" in words[1]
    assert failures((GOOD, OPEN, BLIND)) == []
    assert "embeddings move with rotations for b and b;" in failures((TURNS, TURNS))[0]


def test_marks_lie_on_their_side_of_the_tolerance():
    figure = draw_rotations(ALL)
    marks = {c.get_gid(): c.get_offsets()[0] for c in figure.axes[0].collections if c.get_gid()}
    limit = {t.get_gid(): t for t in figure.axes[0].texts}["tolerance"].get_position()[0]
    assert marks["rotation-0"][0] < limit < marks["rotation-1"][0]
    assert marks["order-0"][0] < limit < marks["order-2"][0]
    # Equal drifts have equal places; the model without a measurement has none.
    assert marks["rotation-1"][0] == marks["rotation-3"][0]
    assert "rotation-4" not in marks


def test_a_drift_above_one_widens_the_axis():
    wild = dataclasses.replace(TURNS, rotation_max=300.0, permutation_max=math.nan)
    ticks = {t.get_gid() for t in draw_rotations((GOOD, wild)).axes[0].texts}
    assert "x-tick-3" in ticks
    assert "x-tick-1" not in {t.get_gid() for t in draw_rotations((GOOD,)).axes[0].texts}


def test_the_page_has_the_section(fake_alignment):
    alignment, named = with_drifts(fake_alignment(5, metrics=("mutual_knn",)), ALL)
    files = render(alignment, figures=["svg"])
    page = files["index.html"].decode()
    assert "Claims of the cards, checked." in page
    assert 'href="#rotations"' in page
    assert "a drift of at most 0.0001" in page
    assert f"rotations for {named[1].model}" in page
    assert b'id="tolerance"' in files["figures/rotations.svg"]
    assert ">Rotations</th><td" not in page  # not repeated among the facts of the run


@pytest.mark.parametrize("drifts", [(), (BLIND, BLIND)], ids=["no test", "nothing measured"])
def test_there_is_no_figure_without_a_measurement(fake_alignment, drifts):
    alignment, _ = with_drifts(fake_alignment(2, metrics=("mutual_knn",)), drifts)
    files = render(alignment, figures=["svg"])
    assert "figures/rotations.svg" not in files
    assert ('id="rotations"' in files["index.html"].decode()) == bool(drifts)


def test_models_that_are_not_on_the_page_are_left_out():
    assert read_drifts({"rotations": [GOOD.to_json()]}, ["x"]) == []
    found = read_drifts({"rotations": [d.to_json() for d in ALL]}, ["c", "x", "a"])
    assert [drift.model for drift in found] == ["c", "a"]
