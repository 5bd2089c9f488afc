"""A sweep keeps what is finished, and derives efficiency from throughput alone."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from jaxalign.profiling.machine import machine
from jaxalign.scaling import sweep
from jaxalign.scaling.measure import measure
from jaxalign.scaling.plan import Plan
from jaxalign.scaling.point import SIZES, Point

POINT = Point("pairs", n=128, d=None, models=3, k=4, devices=2, tile_size=None)


@pytest.fixture
def plan():
    return Plan(
        parts=("pairs",),
        base={"n": 128, "d": 8, "models": 3, "k": 4, "tile_size": None, "devices": 1},
        vary={"k": (3, 4)},
        mode="each",
        strong=(1, 2),
        weak=(),
        weak_n=64,
        share_of_n={},
        details={},
    )


def test_a_point_is_measured_with_its_compilations_and_floor(tmp_path):
    row = measure(POINT, repeats=2, profile=tmp_path / "t")
    assert row["seconds"] > 0
    assert row["fastest"] <= row["seconds"] <= row["slowest"]
    assert row["throughput"] == 3 * 128**2 / row["seconds"]
    assert row["fraction_of_floor"] == row["floor_seconds"] / row["seconds"]
    assert row["compilations_while_timed"] == 0
    assert row["devices"] == 2
    assert row["d"] is None
    assert list((tmp_path / "t").rglob("*.xplane.pb"))


def test_finished_points_are_kept_and_counted_in_every_series(plan, tmp_path, monkeypatch):
    measured = []

    def fake(point, *, repeats, profile):
        measured.append(point)
        sizes = {name: getattr(point, name) for name in ("part", *SIZES)}
        return sizes | {"throughput": 10.0 * point.devices, "platform": "cpu", "processes": 1}

    monkeypatch.setattr(sweep, "measure", fake)
    first = sweep.run_sweep(plan, tmp_path, repeats=1)
    assert len(measured) == len(set(measured)) == 3
    assert list(first["series"]) == ["strong", "strong", "k", "k"]
    again = sweep.run_sweep(plan, tmp_path, repeats=1)
    assert len(measured) == 3
    pd.testing.assert_frame_equal(first, again)
    next((tmp_path / "points").iterdir()).write_text("{half")
    sweep.run_sweep(plan, tmp_path, repeats=1)
    assert len(measured) == 4  # a damaged file is measured again
    sweep.run_sweep(plan, tmp_path, repeats=2)
    assert len(measured) == 7
    sweep.write_table(first, tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "table.parquet"), first)
    assert (
        len(pd.read_csv(tmp_path / "table.csv")) == len(pd.read_json(tmp_path / "table.json")) == 4
    )


def test_keys_tell_machines_apart():
    facts = machine()
    key = sweep.point_key(POINT, repeats=1, facts=facts)
    assert key == sweep.point_key(POINT, repeats=1, facts=dict(facts))
    others = [facts | {"processor": "another"}, facts | {"versions": {"jax": "9"}}]
    others = [sweep.point_key(POINT, repeats=1, facts=found) for found in others]
    others.append(sweep.point_key(dataclasses.replace(POINT, k=5), repeats=1, facts=facts))
    assert len({key, *others}) == 4


@pytest.mark.parametrize(("platform", "ideal"), [("cpu", [1, 0.5, 0.25]), ("tpu", [1, 1, 1])])
def test_efficiency_is_throughput_a_device(platform, ideal):
    sizes = dict.fromkeys(SIZES, 8)
    rows = [
        {"series": "strong", "part": "search", **sizes, "devices": p, "processes": 1}
        | {"platform": platform, "throughput": t, "versions": {"jax": "0"}}
        for p, t in ((2, 90.0), (1, 50.0), (4, 150.0))
    ]
    table = sweep.scaling_table(rows).sort_values("devices")
    np.testing.assert_allclose(table["speedup"], [1, 1.8, 3])
    np.testing.assert_allclose(table["efficiency"], [1, 0.9, 0.75])
    np.testing.assert_allclose(table["ideal_efficiency"], ideal)
