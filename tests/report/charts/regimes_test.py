"""The contrast of regimes: pairs inside and outside, shifts and effects by independent means."""

import numpy as np
import pytest

from jaxalign.report.charts.reading import HOME, read_report
from jaxalign.report.charts.regimes import regimes_view
from jaxalign.report.drawing import canvas


def test_pairs_are_compared_where_all_models_are(rng, views):
    alignment_of, cards_of, symmetric, check_view = views
    cards = cards_of([f"m{i} <b>" for i in range(8)])
    matrices = {name: symmetric(rng, 8) for name in ("qm9", "rattled", "moses")}
    imbalance = {name: rng.uniform(0.1, 1, size=(8, 8)) for name in matrices}
    ks = {"cknna": 25, "information_imbalance": 50}
    home = list(cards)[:6]
    alignments = {
        name: alignment_of(
            cards,
            {"cknna": values, "information_imbalance": imbalance[name]},
            ks=ks,
            **({HOME: home} if name == "qm9" else {}),
        )
        for name, values in matrices.items()
    }
    view, missing = regimes_view(read_report(alignments))
    check_view(view)
    assert missing == []
    upper = np.triu_indices(6, 1)
    inside = matrices["qm9"][:6, :6][upper] - 0.05
    outside = (matrices["rattled"] + matrices["moses"])[:6, :6][upper] / 2 - 0.05
    found = view.charts[0].data
    np.testing.assert_allclose(found["inside"].to_numpy(float), inside)
    np.testing.assert_allclose(found["outside"].to_numpy(float), outside)
    rows = {row[1].text: row for row in view.tables[0].rows}
    whole = rows["CKNNA (k = 25), calibrated"]
    assert whole[6].sort == pytest.approx(inside.mean() - outside.mean())
    both = {name: ((v + v.T) / 2)[:6, :6][upper].mean() for name, v in imbalance.items()}
    assert rows["information imbalance"][4].sort == pytest.approx(both["qm9"])
    assert rows["information imbalance"][5].sort == pytest.approx(
        (both["rattled"] + both["moses"]) / 2
    )
    same = np.array([i // 2 == j // 2 for i, j in zip(*upper, strict=True)])
    assert rows["pairs of one family"][3].sort == 3
    assert rows["pairs of one family"][4].sort == pytest.approx(inside[same].mean())
    assert {row[1].text for row in view.tables[1].rows} == {
        *("qm9", "rattled", "moses"),
        *("in distribution", "out of distribution (mean)", "in − out"),
    }
    with canvas.style():
        for chart in view.charts:
            canvas.encode(chart.draw())


def test_without_models_at_home_the_fact_is_named(rng, views):
    alignment_of, cards_of, symmetric, _ = views
    alignment = alignment_of(cards_of(["a", "b"]), {"cknna": symmetric(rng, 2)}, ks={"cknna": 25})
    assert regimes_view(read_report({"qm9": alignment})) == (None, [])
    view, missing = regimes_view(read_report({"x": alignment, "y": alignment}))
    assert view is None
    assert HOME in missing[0]
