"""Curves: readable by pandas, cut back exactly, a torn line forgotten."""

import pandas as pd
import pytest

from jaxalign.learning.training.curves import Curve, read_curve


def test_curves_grow_and_are_cut_back(tmp_path, rng):
    path = tmp_path / "m.jsonl"
    curve = Curve(path)
    losses = rng.normal(size=6).tolist()
    for step, loss in enumerate(losses):
        curve.add({"step": step, "split": "train", "loss": loss})
        if step == 3:
            until_3 = path.read_bytes()
    curve.add({"step": 3, "split": "test", "loss": 0.0})
    with path.open("a") as file:
        file.write('{"step": 2, "lo')  # the process died here
    assert len(read_curve(path)) == 7
    curve.keep_until(3)
    assert path.read_bytes() == until_3
    table = pd.read_json(path, lines=True, precise_float=True)
    assert table["loss"].tolist() == pytest.approx(losses[:4], abs=1e-15)
    assert read_curve(tmp_path / "none") == []


def test_other_processes_write_nothing(tmp_path):
    curve = Curve(tmp_path / "m.jsonl", enabled=False)
    curve.add({"step": 0})
    curve.keep_until(0)
    assert not [*tmp_path.iterdir()]
