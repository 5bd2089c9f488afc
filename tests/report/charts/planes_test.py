"""Imbalance, dimensions, map and errors: points are the numbers, sentences have their errors."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
from scipy.spatial.distance import pdist

from jaxalign.report.charts.dimensions import dimension_view
from jaxalign.report.charts.imbalance import imbalance_view
from jaxalign.report.charts.model_map import map_view
from jaxalign.report.charts.performance import performance_view, read_errors
from jaxalign.report.charts.reading import read_report
from jaxalign.report.drawing import canvas


def marks(chart):
    """x → y of all marks of a chart."""
    traces = [t for t in chart.plotly["data"] if t.get("mode") == "markers"]
    return {(x, y) for t in traces for x, y in zip(t["x"], t["y"], strict=True)}


def drawn(view):
    with canvas.style():
        for chart in view.charts:
            canvas.encode(chart.draw())


def test_the_plane_has_both_directions_of_every_pair(rng, views):
    alignment_of, cards_of, _, check_view = views
    cards = cards_of([f"m{i} <b>" for i in range(5)])
    cards["m4 <b>"] = dataclasses.replace(cards["m4 <b>"], modality="control", pretrained=False)
    values = rng.uniform(0.05, 1.1, size=(5, 5))
    scores = {"information_imbalance": values}
    alignment = alignment_of(cards, scores, ks={"information_imbalance": 1})
    view, _ = imbalance_view(read_report({"qm9": alignment}))
    check_view(view)
    wanted = {(values[i, j], values[j, i]) for i in range(5) for j in range(i + 1, 5)}
    assert marks(view.charts[0]) == wanted
    means = view.charts[1].data.set_index("model")  # the control is no other model
    assert list(means.index) == list(cards)[:4]
    assert means["tells"].iloc[0] == pytest.approx(values[0, 1:4].mean())
    trained = values[:4, :4][~np.eye(4, dtype=bool)]
    assert view.tables[0].rows[0][-1].sort == pytest.approx(trained.mean())
    assert sum(cell.sort for cell in view.tables[0].rows[0][1:6]) == 6
    drawn(view)


def test_the_map_keeps_distances_of_a_plane(rng, views):
    alignment_of, cards_of, _, check_view = views
    cards = cards_of([f"m{i}" for i in range(6)])
    points = rng.normal(scale=0.1, size=(6, 2))
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    scores = {"mutual_knn": 1 - apart}
    alignment = alignment_of(cards, scores, ks={"mutual_knn": 10}, calibrated=False)
    view, _ = map_view(read_report({"qm9": alignment}))
    check_view(view)
    found = view.charts[0].data[["x", "y"]].to_numpy(float)
    np.testing.assert_allclose(pdist(found), pdist(points), atol=1e-9)
    assert "100 % of what any map could show, with a stress of 0.00" in view.lead
    drawn(view)


def test_the_ladder_is_sorted_and_its_bars_are_intervals(rng, views):
    alignment_of, cards_of, _, check_view = views
    cards = cards_of([f"m{i}" for i in range(5)])
    values = {m: np.diag(rng.uniform(2, 20, size=5)) for m in ("id:twonn", "id:mle")}
    values["id:twonn"][2, 2] = np.nan
    estimates = {"id:twonn": {name: {"error": 0.5} for name in cards}}
    ks = {"id:twonn": 2, "id:mle": 50}
    alignment = alignment_of(cards, values, ks=ks, estimates=estimates)
    view, missing = dimension_view(read_report({"qm9": alignment}))
    check_view(view)
    axis = view.charts[0].plotly["layout"]["yaxis"]
    order = np.argsort(-np.diag(values["id:mle"]))  # it has most values
    assert axis["ticktext"] == [f"m{i}" for i in order]
    twonn = next(t for t in view.charts[0].plotly["data"] if t["name"].startswith("TwoNN"))
    assert len(twonn["x"]) == 4
    assert twonn["error_x"]["array"] == pytest.approx([1.96 * 0.5] * 4, abs=1e-4)
    rest = np.delete(np.diag(values["id:twonn"]), 2)
    assert f"{np.median(rest):.1f} coordinates in the median" in view.lead
    assert "id:gride" in missing[0]
    drawn(view)


def test_scale_curves_are_drawn_where_there_are_scales(rng, views):
    alignment_of, cards_of, _, check_view = views
    cards = cards_of(["a", "b"])
    curve = [
        {"n1": n, "n2": 2 * n, "value": 5.0 + n, "error": 0.1, "reason": ""} for n in (1, 2, 4)
    ]
    estimates = {"id:gride": {name: {"error": 0.1, "curve": curve} for name in cards}}
    alignment = alignment_of(cards, {"id:gride": np.diag([6.0, 6.0])}, estimates=estimates)
    view, missing = dimension_view(read_report({"x": alignment}))
    check_view(view)
    assert missing == []
    lines = [t for t in view.charts[1].plotly["data"] if t["mode"] == "lines"]
    assert [line["x"] for line in lines] == [[2.0, 4.0, 8.0]] * 2
    assert lines[0]["y"] == [6.0, 7.0, 9.0]
    drawn(view)


def test_errors_and_alignment_leave_the_reference_out(rng, views):
    alignment_of, cards_of, symmetric, check_view = views
    cards = cards_of([f"m{i} <b>" for i in range(8)])
    values = symmetric(rng, 8)
    errors = rng.uniform(0.01, 0.2, size=8)
    errors[3] = 0.005
    records = [
        {"model": name, "mae_ev_per_atom": float(e), "reason": ""}
        for name, e in zip(cards, errors, strict=True)
    ]
    records[7] = {"model": "m7 <b>", "mae_ev_per_atom": None, "reason": "too few structures"}
    alignment = alignment_of(cards, {"cknna": values}, ks={"cknna": 25}, energy_errors=records)
    view, _ = performance_view(read_report({"qm9": alignment}))
    check_view(view)
    others = [0, 1, 2, 4, 5, 6]
    wanted = {(float(errors[i]), float(values[i, 3] - 0.05)) for i in others}
    np.testing.assert_allclose(sorted(marks(view.charts[0])), sorted(wanted))
    fit = scipy.stats.linregress(np.log10(errors[others]), values[others, 3] - 0.05)
    assert view.tables[0].rows[0][5].sort == pytest.approx(fit.slope)
    line = next(t for t in view.charts[0].plotly["data"] if t["name"] == "fit")
    ends = fit.intercept + fit.slope * np.log10(np.array(line["x"]))
    np.testing.assert_allclose(line["y"], ends)
    assert "m3 <b>" in view.charts[0].caption
    assert any("too few structures" in note for note in view.notes)
    drawn(view)


def test_without_errors_the_option_is_named(rng, views):
    alignment_of, cards_of, symmetric, _ = views
    alignment = alignment_of(cards_of(["a", "b"]), {"cknna": symmetric(rng, 2)}, ks={"cknna": 25})
    view, missing = performance_view(read_report({"qm9": alignment}))
    assert view is None
    assert "--config.energies=True" in missing[0]
    bad = [{"model": "a", "mae_ev_per_atom": value} for value in (None, np.nan, 0.0)]
    assert read_errors(bad) == {}
