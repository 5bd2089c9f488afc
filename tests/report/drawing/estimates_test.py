"""Estimates of single models: own section, never a heatmap of pairs."""

import dataclasses
import math

import numpy as np
import pytest

from jaxalign.report.drawing.estimates import draw_estimates, estimate_views, estimates_table
from jaxalign.report.render import render


@pytest.fixture
def alignment(fake_alignment):
    made = fake_alignment(6, metrics=("mutual_knn", "id:twonn"))
    ids = list(made.cards)
    values = np.full((6, 6), np.nan)
    np.fill_diagonal(values, [5.2, 7.9, 10.0, np.nan, 64.5, 3.0])
    facts = {
        "title": "TwoNN intrinsic dimension",
        "definition": "(N − 1) / Σ ln μ.",
        "of_single_models": True,
        "k": 2,
        "reasons": {f"{ids[3]} – {ids[3]}": "all neighbor distances are equal"},
    }
    errors = {name: {"error": 0.1 if i != 4 else None} for i, name in enumerate(ids)}
    return dataclasses.replace(
        made,
        scores={**made.scores, "id:twonn": values},
        facts={**made.facts, "id:twonn": facts},
        diagnostics={**made.diagnostics, "estimates": {"id:twonn": errors}},
    )


def test_table_states_estimates_errors_and_reasons(alignment):
    ids = list(alignment.cards)
    views = estimate_views(alignment)
    assert [view.metric for view in views] == ["id:twonn"]
    assert math.isnan(views[0].errors[ids[4]])
    cells = {row[0].text: row[1].text for row in estimates_table(views, ids).rows}
    assert cells[ids[0]] == "5.20 ± 0.10"
    assert cells[ids[4]] == "64.50"
    assert cells[ids[3]] == "all neighbor distances are equal"


def test_figure_has_a_mark_for_every_estimate_and_a_labelled_axis(alignment):
    figure = draw_estimates(estimate_views(alignment), list(alignment.cards))
    gids = [artist.get_gid() for artist in figure.axes[0].get_children() if artist.get_gid()]
    assert sum(gid.startswith("id:twonn-") for gid in gids) == 5
    words = {t.get_gid(): t.get_text() for t in figure.axes[0].texts}
    assert words["x-axis"].startswith("intrinsic dimension (number of coordinates)")
    assert words["legend-text-0"] == "TwoNN intrinsic dimension, k = 2"


def test_page_has_its_own_section_and_no_heatmap_of_single_models(alignment):
    files = render(alignment, figures=["png"])
    page = files["index.html"].decode()
    assert 'id="estimates"' in page
    assert "5.20 ± 0.10" in page
    assert "figures/estimates.png" in files
    assert not any("heatmap-id" in name for name in files)
    only = dataclasses.replace(alignment, metrics=("id:twonn",))
    assert b'id="estimates"' in render(only)["index.html"]
