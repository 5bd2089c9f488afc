"""Weighted means against plain loops, intervals against their definition, missing models."""

import dataclasses
import math

import numpy as np
import pytest
import xarray as xr
from scipy.stats import t as student

import jaxalign as ja
from jaxalign.analysis.convergence.trajectories import (
    COLUMNS,
    OTHER_ARCHITECTURES,
    OTHER_SEEDS,
    Halves,
    last_models,
    trajectories,
)
from tests.analysis.convergence.planted import checkpoints, embeddings


@pytest.fixture
def aligned(rng):
    records = checkpoints(rng)
    models = embeddings(rng, records)
    models |= {name: rng.normal(size=(80, 5)).astype(np.float32) for name in ("p1", "p2", "p3")}
    found = ja.align(models, metrics=("cknna", "cka", "id:twonn"), k=10)
    return records, found


def _expected(matrix, record, records, families=None):
    """The definition, pair by pair."""
    if families is None:
        families = {}
        for other in records:
            if other.last and other.architecture != record.architecture:
                families.setdefault(other.architecture, []).append(other.model)
    means = [
        np.mean([float(matrix.sel(model_a=record.model, model_b=m)) for m in members])
        for members in families.values()
    ]
    return np.mean(means)


def test_means_are_over_families_and_never_over_the_own_run(aligned):
    records, found = aligned
    pretrained = {"one": ["p1"], "two": ["p2", "p3"]}
    table = trajectories(found, records, {"pretrained": pretrained}, metrics=("cknna", "cka"))
    assert tuple(table.columns) == COLUMNS
    for metric in ("cknna", "cka"):
        for column, source in (("value", "value"), ("calibrated", "calibrated")):
            matrix = found.matrix(metric, column=source)
            own = table[table["metric"] == metric].set_index(["model", "reference"])[column]
            for record in records:
                wanted = _expected(matrix, record, records)
                assert own[record.model, OTHER_ARCHITECTURES] == pytest.approx(wanted)
                wanted = _expected(matrix, record, records, pretrained)
                assert own[record.model, "pretrained"] == pytest.approx(wanted)
                sibling = record.run[:-1] + ("1" if record.seed == 0 else "0") + "@100"
                score = float(matrix.sel(model_a=record.model, model_b=sibling))
                assert own[record.model, OTHER_SEEDS] == pytest.approx(score)


def test_dimensions_are_rows_without_a_reference(aligned):
    records, found = aligned
    table = trajectories(found, records, {})
    rows = table[table["metric"] == "id:twonn"].set_index("model")
    assert set(rows["reference"]) == {""}
    values = found.matrix("id:twonn")
    for record in records:
        score = float(values.sel(model_a=record.model, model_b=record.model))
        assert rows.loc[record.model, "value"] == pytest.approx(score)


def test_intervals_are_those_of_disjoint_halves(aligned, rng):
    records, found = aligned
    matrix = found.matrix("cknna")
    moved = [matrix + 0.01 * rng.normal(size=matrix.shape) for _ in range(6)]
    moved = [(m + m.transpose("model_b", "model_a").values) / 2 for m in moved]
    halves = Halves([xr.DataArray(m.values, coords=matrix.coords) for m in moved], taken=40)
    table = trajectories(found, records, {}, halves=halves)
    rows = table[(table["reference"] == OTHER_ARCHITECTURES)].set_index("model")
    record = records[int(rng.integers(len(records)))]
    means = [_expected(m, record, records) for m in moved]
    spread = np.mean([((a - b) / 2) ** 2 for a, b in zip(means[::2], means[1::2], strict=True)])
    half = student.ppf(0.975, 3) * math.sqrt(2 * 40 / 80 * spread)
    row = rows.loc[record.model]
    half *= (1 - row["calibrated"]) / (1 - row["value"])
    assert row["high"] - row["calibrated"] == pytest.approx(half)
    assert row["calibrated"] - row["low"] == pytest.approx(half)


def test_scores_that_are_missing_are_left_out_of_means(rng):
    records = checkpoints(rng, seeds=1, sizes=((8, 1),))
    models = embeddings(rng, records)
    constant = last_models(records)[0]
    models[constant] = np.ones((80, 3), np.float32)  # no score with anything
    found = ja.align(models, metrics=("cka",))
    table = trajectories(found, records, {}, metrics=("cka",)).set_index(["model", "reference"])
    other = next(r for r in records if r.architecture != records[0].architecture and not r.last)
    matrix = found.matrix("cka")
    left = [m for m in last_models(records) if m != constant and not m.startswith(other.run)]
    wanted = np.mean([float(matrix.sel(model_a=other.model, model_b=m)) for m in left])
    assert table.loc[(other.model, OTHER_ARCHITECTURES), "value"] == pytest.approx(wanted)
    assert math.isnan(table.loc[(constant, OTHER_ARCHITECTURES), "value"])
    assert math.isnan(table.loc[(other.model, OTHER_SEEDS), "value"])  # there is one seed


def test_models_that_are_not_aligned_are_named(aligned):
    records, found = aligned
    stranger = dataclasses.replace(records[0], model="stranger@1")
    with pytest.raises(ValueError, match="stranger@1"):
        trajectories(found, [*records, stranger], {})
    with pytest.raises(ValueError, match="nobody"):
        trajectories(found, records, {"pretrained": {"": ["nobody"]}})
