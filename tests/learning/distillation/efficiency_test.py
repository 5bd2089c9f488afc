"""Ratios and intervals against SciPy's paired t-test on logarithms; Holm against its definition."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jaxalign.learning.distillation.efficiency import compare_arms, holm


def _table(rng, *, ratio=0.8, seeds=5, noise=0.05):
    rows = []
    for labels in (100, 1000):
        for seed in range(seeds):
            alone = 0.3 / math.sqrt(labels) * math.exp(noise * rng.normal())
            taught = alone * (ratio if labels == 100 else 1) * math.exp(noise * rng.normal())
            for arm, error in (("alone", alone), ("distilled", taught)):
                rows.append(
                    {
                        "student": "dmpnn-32x2",
                        "labels": labels,
                        "arm": arm,
                        "seed": seed,
                        "test_mae_ev": error,
                    }
                )
    return pd.DataFrame(rows)


def test_ratios_are_those_of_paired_logarithms(rng):
    table = _table(rng)
    found = compare_arms(table).set_index("labels")
    for labels, own in table.groupby("labels"):
        wide = own.pivot(index="seed", columns="arm", values="test_mae_ev")
        logs = np.log(wide["distilled"] / wide["alone"])
        test = stats.ttest_1samp(logs, 0)
        ends = np.exp(test.confidence_interval(0.95))
        row = found.loc[labels]
        assert row["ratio"] == pytest.approx(stats.gmean(wide["distilled"] / wide["alone"]))
        assert (row["low"], row["high"]) == pytest.approx(tuple(ends))
        assert row["p"] == pytest.approx(test.pvalue)
        assert row["better"] == int((logs < 0).sum())
        assert row["alone_mae_ev"] == pytest.approx(stats.gmean(wide["alone"]))


@pytest.mark.parametrize(("ratio", "verdict"), [(0.5, "helps"), (2.0, "harms")])
def test_clear_effects_are_called_by_their_name(rng, ratio, verdict):
    found = compare_arms(_table(rng, ratio=ratio, noise=0.02)).set_index("labels")
    assert found.loc[100, "verdict"] == verdict
    assert found.loc[100, "p_holm"] == pytest.approx(
        min(1, found["p"].min() * 2) if found.loc[100, "p"] == found["p"].min() else np.nan
    )


def test_seeds_without_a_partner_are_left_out_and_few_seeds_have_no_interval(rng):
    table = _table(rng, seeds=4)
    table = table[~((table["arm"] == "alone") & (table["seed"] == 0))]
    table.loc[(table["seed"] == 1) & (table["arm"] == "distilled"), "test_mae_ev"] = math.nan
    found = compare_arms(table)
    assert set(found["seeds"]) == {2}
    assert found["low"].isna().all()
    assert found["reason"].str.contains("2 seeds").all()
    assert set(found["verdict"]) == {"no clear difference"}


def test_an_arm_without_common_seeds_says_so(rng):
    table = _table(rng, seeds=2)
    table = table[(table["arm"] != "alone") | (table["seed"] > 5)]
    assert set(compare_arms(table)["reason"]) == {"no common seed"}


def test_holm_is_the_step_down_procedure(rng):
    p = rng.uniform(size=6) ** 3
    p[2] = np.nan
    known = np.sort(p[np.isfinite(p)])
    wanted = np.maximum.accumulate([min(1, q * (5 - i)) for i, q in enumerate(known)])
    found = holm(p)
    np.testing.assert_allclose(np.sort(found[np.isfinite(found)]), wanted)
    assert np.isnan(found[2])
