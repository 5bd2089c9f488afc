"""Blocks and layer maps: cells are means and scores of the matrix; contrasts in words."""

import numpy as np
import pytest

from jaxalign.report.charts.blocks import blocks_view
from jaxalign.report.charts.layers import MOST_MAPS, layers_view
from jaxalign.report.charts.reading import CORPORA, read_report
from jaxalign.report.drawing import canvas


def test_blocks_are_means_of_calibrated_scores(rng, views):
    alignment_of, cards_of, symmetric, check_view = views
    cards = cards_of([f"m{i} <b>" for i in range(8)])
    values = symmetric(rng, 8)
    corpora = {name: "both" for name in list(cards)[:3]}
    alignment = alignment_of(cards, {"cknna": values}, ks={"cknna": 25}, **{CORPORA: corpora})
    view, missing = blocks_view(read_report({"qm9": alignment}))
    check_view(view)
    assert missing == []
    assert [chart.name for chart in view.charts] == [
        *("blocks-family", "blocks-modality", "blocks-training-data"),
    ]
    shown = view.charts[1]  # modality: four of 3d, two strings, two graphs
    z = np.array(shown.plotly["data"][0]["z"], float)
    upper = values[:4, :4][np.triu_indices(4, 1)]
    assert z[0, 0] == pytest.approx(upper.mean() - 0.05)
    assert z[0, 2] == pytest.approx(values[:4, 6:].mean() - 0.05)
    assert shown.plotly["data"][0]["text"][0][0] == f"{z[0, 0]:.2f}"
    row = next(r for r in view.tables[0].rows if r[1].text == "modality")
    same = [upper.mean() * 6, values[4, 5], values[6, 7]]
    assert row[4].sort == pytest.approx(sum(same) / 8 - 0.05)
    assert (row[5].sort, row[7].sort) == (8, 20)
    assert set(view.charts[2].data["group_a"]) == {"both", "A", "B"}
    with canvas.style():
        for chart in view.charts:
            canvas.encode(chart.draw())


def test_groups_of_one_kind_or_model_are_not_drawn(rng, views):
    alignment_of, cards_of, symmetric, _ = views
    one = alignment_of(cards_of(["a"]), {"cknna": np.ones((1, 1))}, ks={"cknna": 25})
    view, missing = blocks_view(read_report({"x": one}))
    assert view is None
    assert "two models" in missing[0]
    two = cards_of(["a", "b"], corpora=("A",))
    same = alignment_of(two, {"cknna": symmetric(rng, 2)}, ks={"cknna": 25})
    assert blocks_view(read_report({"x": same})) == (None, [])


def test_layer_maps_are_the_scores_of_layers_from_input_to_output(rng, views):
    import dataclasses

    alignment_of, cards_of, symmetric, check_view = views
    names = [f"{m}@{layer}" for m in ("deep <b>", "wide") for layer in ("out", "in", "mid")]
    cards = {
        name: dataclasses.replace(card, layers=("in", "mid", "out"))
        for name, card in cards_of([*names, "flat"]).items()
    }
    values = symmetric(rng, 7)
    alignment = alignment_of(cards, {"cknna": values}, ks={"cknna": 25}, calibrated=False)
    view, _ = layers_view(read_report({"qm9": alignment}))
    check_view(view)
    assert view.charts[0].title == "Layers of deep <b> and wide"
    z = np.array(view.charts[0].plotly["data"][0]["z"], float)
    order = [1, 2, 0]  # of the layers, input first
    np.testing.assert_allclose(z, values[np.ix_(order, [3 + i for i in order])])
    own = view.charts[1].plotly["data"][0]["z"]
    assert [own[i][i] for i in range(3)] == [None] * 3
    assert len(view.tables[0].rows) == 3  # deep and wide with each other and with flat
    with canvas.style():
        canvas.encode(view.charts[0].draw())
    plain = alignment_of(cards_of(["a", "b"]), {"cknna": symmetric(rng, 2)}, ks={"cknna": 25})
    assert layers_view(read_report({"x": plain}))[0] is None


def test_many_layer_maps_are_limited_to_the_best(rng, views):
    alignment_of, cards_of, symmetric, _ = views
    cards = cards_of([f"m{i}@{layer}" for i in range(6) for layer in "ab"])
    alignment = alignment_of(cards, {"cknna": symmetric(rng, 12)}, ks={"cknna": 25})
    view, _ = layers_view(read_report({"x": alignment}))
    assert len(view.charts) == MOST_MAPS
    assert any("of 21" in note for note in view.notes)
