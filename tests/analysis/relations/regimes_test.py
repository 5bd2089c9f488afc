"""Contrast of regimes, and planted groups that the regression finds in the right one."""

import numpy as np
import pytest
import scipy.stats

from jaxalign.analysis.relations.labeled_scores import labeled
from jaxalign.analysis.relations.model_labels import same_label
from jaxalign.analysis.relations.regimes import (
    SHIFT,
    card_groups,
    grouping_effects,
    regime_means,
    regime_pairs,
    regime_shift,
)
from jaxalign.models.card import ModelCard

NAMES = tuple(f"m{i}" for i in range(9))
FAMILY = dict(zip(NAMES, "AAABBBCCC", strict=True))
DATA = dict(zip(NAMES, "XYZXYZXYZ", strict=True))
MODALITY = dict(zip(NAMES, "333333ggg", strict=True))
GROUPS = {"same_family": FAMILY, "same_training_data": DATA, "same_modality": MODALITY}
REGIMES = {"qm9": "in", "rattled": "out", "strained": "out"}


def same(labels):
    return same_label([labels[name] for name in NAMES])


def runs(rng, noise=0.01):
    """Training data count .4 inside, family .3 outside."""

    def matrix(values):
        wobble = rng.normal(scale=noise, size=values.shape)
        return labeled(NAMES, values + wobble + wobble.T, "cknna")

    return {
        "qm9": matrix(0.2 + 0.4 * same(DATA)),
        "rattled": matrix(0.1 + 0.3 * same(FAMILY)),
        "strained": matrix(0.1 + 0.3 * same(FAMILY)),
    }


def test_means_of_regimes_over_shared_models(rng):
    given = runs(rng)
    given["strained"] = given["strained"].isel(model_a=slice(None, 1, -1), model_b=slice(2, None))
    found = regime_means(given, REGIMES)
    assert list(found["in"].model_a.values) == list(NAMES[2:])
    out = [given[name].sel(model_a="m3", model_b="m5") for name in ("rattled", "strained")]
    out += [given[name].sel(model_a="m5", model_b="m3") for name in ("rattled", "strained")]
    assert float(found["out"].sel(model_a="m3", model_b="m5")) == pytest.approx(np.mean(out))


def test_pairs_have_their_contrast_and_groups(rng):
    given = runs(rng)
    found = regime_pairs(given, REGIMES, GROUPS)
    assert len(found) == 36
    row = found[(found["model_a"] == "m1") & (found["model_b"] == "m4")].iloc[0]
    means = regime_means(given, REGIMES)
    at = {"model_a": "m1", "model_b": "m4"}
    assert row["inside"] == pytest.approx(float(means["in"].sel(at)))
    assert row["difference"] == pytest.approx(row["inside"] - float(means["out"].sel(at)))
    assert (row["same_family"], row["same_training_data"], row["same_modality"]) == (False, 1, 1)


@pytest.mark.parametrize("clusters", [None, FAMILY])
def test_shift_is_a_jackknife_over_models_or_clusters(rng, clusters):
    pairs = regime_pairs(runs(rng, noise=0.1), REGIMES, GROUPS)
    found = regime_shift(pairs, clusters=clusters, confidence=0.9)
    assert found.difference == pytest.approx(pairs["difference"].mean())
    assert found.inside - found.outside == pytest.approx(found.difference)
    part = clusters or {name: name for name in NAMES}
    left = []
    for cluster in dict.fromkeys(part.values()):
        keep = [
            part[a] != cluster and part[b] != cluster
            for a, b in zip(pairs["model_a"], pairs["model_b"], strict=True)
        ]
        left.append(pairs["difference"][keep].mean())
    g = len(left)
    spread = np.sqrt((g - 1) / g * np.sum((left - np.mean(left)) ** 2))
    assert found.p == pytest.approx(2 * scipy.stats.t(g - 1).sf(abs(found.difference) / spread))
    half = scipy.stats.t(g - 1).ppf(0.95) * spread
    assert (found.low, found.high) == pytest.approx(
        (found.difference - half, found.difference + half)
    )
    assert (found.models, found.pairs) == (9, 36)


def test_planted_groups_are_found_in_their_regime(rng):
    found = grouping_effects(runs(rng), REGIMES, GROUPS, permutations=499)
    table = found.set_index(["scope", "term"])
    wanted = {"in": (0, 0.4), "out": (0.3, 0), SHIFT: (-0.3, 0.4), "rattled": (0.3, 0)}
    for scope, (family, data) in wanted.items():
        assert table["coefficient"][scope, "same_family"] == pytest.approx(family, abs=0.06)
        assert table["coefficient"][scope, "same_training_data"] == pytest.approx(data, abs=0.06)
        for term, effect in (("same_family", family), ("same_training_data", data)):
            if effect:
                assert table["p"][scope, term] <= 0.05
    assert list(dict.fromkeys(found["scope"])) == ["qm9", "rattled", "strained", "in", "out", SHIFT]
    assert list(dict.fromkeys(found["term"])) == list(GROUPS)


def test_a_data_set_keeps_its_own_models_and_gaps(rng):
    given = runs(rng)
    given["rattled"][4, :] = np.nan
    found = grouping_effects(given, REGIMES, GROUPS, permutations=20, clusters=DATA)
    models = found.groupby("scope")["models"].first()
    assert dict(models) == {"qm9": 9, "rattled": 8, "strained": 9, "in": 9, "out": 8, SHIFT: 8}


def test_one_modality_is_no_term(rng):
    groups = GROUPS | {"same_modality": dict.fromkeys(NAMES, "3d")}
    found = grouping_effects(runs(rng), REGIMES, groups, permutations=20)
    found = found[found["term"] == "same_modality"]
    assert found["coefficient"].isna().all()
    assert (found["reason"] == "the predictor is the same for all pairs").all()


def test_what_has_no_shift_says_why(rng):
    given = {name: scores.isel(model_a=slice(2), model_b=slice(2)) for name, scores in
             runs(rng).items()}  # fmt: skip
    two = regime_shift(regime_pairs(given, REGIMES, GROUPS))
    assert two.reason.startswith("no interval: 2 parts")
    assert np.isfinite(two.difference)
    none = regime_shift(regime_pairs({k: v * np.nan for k, v in runs(rng).items()}, REGIMES, {}))
    assert none.reason == "no pair has scores in both regimes"
    assert np.isnan(none.difference)
    alone = {k: v.isel(model_a=slice(1), model_b=slice(1)) for k, v in given.items()}
    assert regime_pairs(alone, REGIMES, GROUPS).empty
    few = grouping_effects(given, REGIMES, GROUPS)
    assert few["p"].isna().all()


def test_equal_shifts_have_no_spread():
    ones = labeled(NAMES, np.ones((9, 9)), "cknna")
    pairs = regime_pairs({"a": ones, "b": ones * 0.7}, {"a": "in", "b": "out"}, {})
    found = regime_shift(pairs)
    assert found.difference == pytest.approx(0.3)
    assert np.isnan(found.p)
    assert found.reason == "no interval: all pairs differ by the same"


def test_groups_of_cards():
    facts = {"name": "x", "pretrained": True, "training_data": "MPtrj: much"}
    found = card_groups({"x": ModelCard(id="x", family="F", modality="3d", **facts)})
    assert found == {
        "same_family": {"x": "F"},
        "same_modality": {"x": "3d"},
        "same_training_data": {"x": "MPtrj"},
    }


def test_refusals(rng):
    given = runs(rng)
    for wrong in ({}, dict.fromkeys(given, "in"), {**REGIMES, "qm9": "train"}):
        with pytest.raises(ValueError, match="every data set needs a regime"):
            regime_means(given, wrong)
    with pytest.raises(ValueError, match=r"cannot be called \['out'\]"):
        regime_means({"out": given["qm9"], "x": given["qm9"]}, {"out": "out", "x": "in"})
    with pytest.raises(ValueError, match="have no label"):
        grouping_effects(given, REGIMES, {"same_family": {"m0": "A"}})
