"""All views of a report at once: stand-ins, one model, several data sets, what is missing."""

import json

import numpy as np

from jaxalign.report.charts.marks import Marks
from jaxalign.report.charts.model_tree import tree_view
from jaxalign.report.charts.points import SYMBOLS
from jaxalign.report.charts.reading import read_report
from jaxalign.report.drawing import canvas
from jaxalign.report.tabs.analysis_views import analysis_views


def test_no_alignment_has_no_views():
    assert analysis_views({}) == []


def test_hostile_names_and_two_data_sets(fake_alignment):
    hostile = '<img src=x onerror=y> & %{x} $a$ "\n'
    runs = {
        hostile: fake_alignment(9, prefix=hostile),
        "QM9": fake_alignment(6, metrics=("cknna", "information_imbalance")),
    }
    views = analysis_views(runs)
    names = [chart.name for view in views for chart in view.charts]
    assert len(set(names)) == len(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in names)
    for view in views:
        for chart in view.charts:
            assert "<img" not in json.dumps(chart.plotly, allow_nan=False)
            if chart.draw is not None and not chart.name.endswith("-qm9"):
                with canvas.style():
                    assert canvas.encode(chart.draw())["svg"]


def test_one_model_has_reasons_in_one_place(fake_alignment):
    views = analysis_views({"qm9": fake_alignment(1)})
    assert [view.name for view in views] == ["further"]
    assert len(views[0].notes) >= 6
    assert not any(note.startswith("qm9") for note in views[0].notes)


def test_a_reason_of_several_data_sets_is_said_once(fake_alignment):
    runs = {name: fake_alignment(8, metrics=("cknna",)) for name in ("a", "b")}
    runs["c"] = fake_alignment(8, metrics=("cknna", "information_imbalance"))
    notes = analysis_views(runs)[-1].notes
    assert any(note.startswith("a and b: the plane of information imbalance") for note in notes)
    assert any(note.startswith("Intrinsic dimensions need") for note in notes)


def test_heights_grow_with_models(fake_alignment):
    def height(count):
        view, _ = tree_view(read_report({"x": fake_alignment(count, metrics=("cknna",))}))
        return view.charts[0].plotly["layout"]["height"]

    assert height(22) - height(10) >= 6 * 15  # half of them are trained


def test_marks_tell_sixty_families_apart(fake_alignment):
    import dataclasses

    card = next(iter(fake_alignment(1).cards.values()))
    cards = [dataclasses.replace(card, family=f"F{i}") for i in range(63)]
    marks = Marks(cards)
    found = {marks.family(c) for c in cards}
    assert len(found) == 63
    assert {symbol for _, symbol in found} == set(SYMBOLS)
    assert np.all([color.startswith("#") for color, _ in found])
