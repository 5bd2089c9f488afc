"""Slopes against numpy.polyfit, exceptions against a search by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from jaxalign.analysis.convergence.slopes import (
    exceptions,
    run_slopes,
    select,
    slope,
    slopes_by_architecture,
)


def _table(rng, *, slopes=(-0.3, -0.1, 0.2), noise=0.0):
    rows = []
    for architecture, b in zip("abc", slopes, strict=True):
        for width in (8, 16):
            for seed in range(2):
                for number in range(4):
                    error = 0.5 * 10 ** (-0.3 * number) / width
                    value = 0.5 + b * math.log10(error) + noise * rng.normal()
                    rows.append(
                        {
                            "model": f"{architecture}{width}{seed}@{number}",
                            "run": f"{architecture}{width}{seed}",
                            "architecture": architecture,
                            "width": width,
                            "depth": 1,
                            "seed": seed,
                            "step": 10**number,
                            "last": number == 3,
                            "error_ev": error,
                            "reference": "r",
                            "metric": "cknna",
                            "calibrated": value,
                            "low": value - 0.01,
                            "high": value + 0.01,
                        }
                    )
    return pd.DataFrame(rows)


def test_slope_is_that_of_least_squares(rng):
    errors, values = rng.lognormal(size=7), rng.normal(size=7)
    wanted = np.polyfit(np.log10(errors), values, 1)[0]
    assert slope(errors, values) == pytest.approx(wanted)
    assert math.isnan(slope(errors[:2], values[:2]))
    assert math.isnan(slope([0.1] * 5, values[:5]))


def test_planted_slopes_are_found_over_training_and_over_sizes(rng):
    rows = select(_table(rng), reference="r")
    each = run_slopes(rows)
    assert len(each) == 12
    assert set(each["checkpoints"]) == {4}
    for architecture, b in zip("abc", (-0.3, -0.1, 0.2), strict=True):
        own = each[each["architecture"] == architecture]
        np.testing.assert_allclose(own["slope"], b)
        np.testing.assert_allclose(own["spearman"], np.sign(b))
    for over in ("training", "sizes"):
        found = slopes_by_architecture(rows, over=over)
        np.testing.assert_allclose(found[["a", "b", "c"]], (-0.3, -0.1, 0.2))
    with pytest.raises(ValueError, match="training"):
        slopes_by_architecture(rows, over="time")


def test_selection_leaves_out_what_has_no_number(rng):
    table = _table(rng)
    table.loc[0, "error_ev"] = math.nan
    table.loc[1, "calibrated"] = math.nan
    table.loc[2, "error_ev"] = 0.0
    assert len(select(table, reference="r")) == len(table) - 3
    assert len(select(table, reference="other")) == 0
    assert len(select(table, reference="r", last=True)) == 12


def test_sizes_need_two_sizes(rng):
    rows = _table(rng)
    rows = rows[(rows["architecture"] != "b") | (rows["width"] == 8)]
    assert set(slopes_by_architecture(rows, over="sizes").index) == {"a", "c"}


def test_exceptions_are_the_greatest_losses_while_the_error_falls(rng):
    rows = _table(rng, noise=0.2)
    found = exceptions(rows).set_index("run")
    for run, own in rows.groupby("run"):
        own = own.sort_values("step")
        values, errors = own["calibrated"].to_numpy(), own["error_ev"].to_numpy()
        losses = [
            (values[i] - values[j], i, j)
            for i in range(4)
            for j in range(i + 1, 4)
            if errors[j] < errors[i]
        ]
        worst = max(losses)
        if worst[0] <= 0:
            assert run not in found.index
            continue
        assert found.loc[run, "loss"] == pytest.approx(worst[0])
        assert found.loc[run, "from_step"] == 10 ** worst[1]
        assert found.loc[run, "clear"] == (worst[0] > 0.02)
    assert found["loss"].is_monotonic_decreasing


def test_no_exceptions_where_alignment_rises_all_the_way(rng):
    assert exceptions(_table(rng, slopes=(-0.3, -0.1, -0.2))).empty
