"""The tab of training: one line a run, nothing without trained networks, strict JSON."""

import json

import numpy as np
import pytest

import jaxalign as ja
from jaxalign.analysis.claims.convergence import FACT, trajectory_facts
from jaxalign.analysis.convergence.trajectories import last_models, trajectories
from jaxalign.report.charts.reading import read_report
from jaxalign.report.charts.training import training_view
from jaxalign.report.drawing import canvas
from tests.analysis.convergence.planted import checkpoints, embeddings


@pytest.fixture
def tracked(rng):
    records = checkpoints(rng)
    models = embeddings(rng, records)
    models["ani"] = rng.normal(size=(80, 5)).astype(np.float32)
    found = ja.align(models, metrics=("cknna", "id:twonn"), k=10)
    table = trajectories(found, records, {"pretrained": {"ANI": ["ani"]}})
    last = last_models(records)
    shown = ja.align({name: models[name] for name in (*last, "ani")}, metrics=("cknna",), k=10)
    return records, table, shown.with_facts(**{FACT: trajectory_facts(table)})


def test_every_run_is_a_line_and_a_row(tracked):
    records, _, alignment = tracked
    view, missing = training_view(read_report({"test": alignment}))
    runs = {record.run for record in records}
    assert missing == []
    names = [chart.name for chart in view.charts]
    assert "training-other-architectures" in names
    assert "training-id-twonn" in names
    for chart in view.charts:
        json.dumps(chart.plotly, allow_nan=False)
        lines = [trace for trace in chart.plotly["data"] if trace["mode"] == "lines"]
        assert len(lines) == len(runs)
        with canvas.style():
            assert chart.draw().axes
    assert view.tables[0].name == "training-runs"
    assert {row[1].text for row in view.tables[0].rows} == runs
    assert "of 12 runs" in view.lead


def test_alignments_without_training_have_no_such_tab(rng):
    plain = ja.align({c: rng.normal(size=(40, 3)) for c in "ab"}, metrics=("cknna",), k=5)
    assert training_view(read_report({"d": plain})) == (None, [])
