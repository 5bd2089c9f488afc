"""The tab of nearest models: of a small run, and what it says where there is none."""

import dataclasses

import numpy as np
import pytest

import jaxalign as ja
from jaxalign.report.charts.reading import read_report
from jaxalign.report.tabs.nearest import nearest_view


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(np.random.SeedSequence().entropy)
    latent = rng.normal(size=(40, 5))
    models = {
        name: (latent + noise * rng.normal(size=latent.shape)).astype(np.float32)
        for name, noise in (("a", 0.05), ("b", 0.05), ("c", 5.0))
    }
    return ja.align(models, metrics=("mutual_knn",), k=5)


def test_leads_are_tested_and_told(result):
    view, missing = nearest_view(read_report({"": result}))
    assert missing == []
    assert "have a nearest model that is nearer than the runner-up" in view.lead
    (table,) = view.tables
    rows = {row[0].text: [cell.text for cell in row] for row in table.rows}
    assert rows["a"][1] == "b"
    assert rows["b"][1] == "a"
    assert rows["a"][3] == "c"
    assert rows["a"][-1] == "nearer"
    assert table.caption == "Nearest models by mutual kNN (k = 5)"
    assert float(rows["a"][2]) == pytest.approx(float(result.matrix("mutual_knn")[0, 1]), abs=1e-3)


def test_several_data_sets_have_a_table_each(result):
    view, _ = nearest_view(read_report({"qm9": result, "crystals": result}))
    assert len({table.name for table in view.tables}) == 2
    assert "crystals" in view.tables[1].caption


def test_what_is_missing_is_told(result):
    two = dict(list(result.cards.items())[:2])
    view, missing = nearest_view(read_report({"": dataclasses.replace(result, cards=two)}))
    assert view is None
    assert "need 3 trained models: there are 2" in missing[0]
    grouped = dataclasses.replace(result, diagnostics={**result.diagnostics, "grouped": True})
    assert "did not record them" in nearest_view(read_report({"": grouped}))[1][0]
    known = {**result.diagnostics, "graph_keys": {}}
    lost = dataclasses.replace(result, diagnostics=known)
    assert "no stored neighbor graph" in nearest_view(read_report({"": lost}))[1][0]
