"""Block means against loops over pairs; the contrast against all relabelings."""

import itertools

import numpy as np
import pytest

from jaxalign.analysis.relations.blocks import block_contrast, block_matrix
from jaxalign.analysis.relations.labeled_scores import labeled

NAMES = ("m1", "m2", "m3", "m4", "m5", "m6")
LABELS = dict(zip(NAMES, ["A", "B", "A", "B", "A", "C"], strict=True))


def matrix(rng, *, directed=False, names=NAMES):
    values = rng.normal(size=(len(names),) * 2)
    return labeled(names, values if directed else values + values.T, "dcor")


@pytest.mark.parametrize("directed", [False, True])
def test_means_are_those_over_pairs_of_different_models(rng, directed):
    scores = matrix(rng, directed=directed)
    found = block_matrix(scores, LABELS)
    assert list(found.block_a.values) == list(found.block_b.values) == ["A", "B", "C"]
    for g, h in itertools.product("ABC", repeat=2):
        block = [
            float(scores.sel(model_a=a, model_b=b))
            for a, b in itertools.permutations(NAMES, 2)
            if LABELS[a] == g and LABELS[b] == h
        ]
        cell = found.sel(block_a=g, block_b=h)
        if not block:
            assert np.isnan(cell["mean"])
            assert int(cell["pairs"]) == 0
            continue
        assert float(cell["mean"]) == pytest.approx(np.mean(block))
        assert float(cell["low"]) == min(block)
        assert float(cell["high"]) == max(block)
        once = len(block) // 2 if g == h and not directed else len(block)
        assert int(cell["pairs"]) == once


def test_missing_scores_and_unknown_labels_are_left_out(rng):
    scores = matrix(rng)
    scores[0, 2] = scores[2, 0] = np.nan
    found = block_matrix(scores, {**LABELS, "m6": "", "m2": ""})
    assert list(found.block_a.values) == ["A", "B"]
    values = [float(scores.sel(model_a=a, model_b="m5")) for a in ("m1", "m3")]
    assert float(found["mean"].sel(block_a="A", block_b="A")) == pytest.approx(np.mean(values))
    assert int(found["pairs"].sel(block_a="B", block_b="B")) == 0


def test_blocks_of_one_model():
    found = block_matrix(labeled(("m1",), np.ones((1, 1)), "dcor"), LABELS)
    assert np.isnan(float(found["mean"][0, 0]))


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
def test_contrast_is_tested_by_all_relabelings(rng, alternative):
    scores = matrix(rng, directed=True)
    values = np.asarray(scores)
    values = (values + values.T) / 2

    def difference(own):
        inside, across = [], []
        for i, j in itertools.combinations(range(6), 2):
            (inside if own[i] == own[j] else across).append(values[i, j])
        return np.mean(inside) - np.mean(across)

    own = [LABELS[name] for name in NAMES]
    null = np.array([difference(order) for order in itertools.permutations(own)])
    null = {"two-sided": np.abs(null), "greater": null, "less": -null}[alternative]
    found = block_contrast(scores, LABELS, alternative=alternative, permutations=800)
    assert found.difference == pytest.approx(difference(own))
    assert found.within - found.between == pytest.approx(difference(own))
    assert found.p == pytest.approx(np.mean(null >= null[0] - 1e-9))
    assert (found.permutations, found.models, found.groups) == (719, 6, 2)
    assert (found.pairs_within, found.pairs_between) == (4, 11)
    assert found.low < found.difference < found.high


def test_a_planted_contrast(rng):
    names = tuple(f"m{i}" for i in range(12))
    labels = {name: "ABC"[i % 3] for i, name in enumerate(names)}
    same = np.array([[labels[a] == labels[b] for b in names] for a in names])
    scores = labeled(names, 0.4 * same + 0.01 * matrix(rng, names=names).values, "dcor")
    found = block_contrast(scores, labels, clusters=labels, alternative="greater")
    assert found.difference == pytest.approx(0.4, abs=0.05)
    assert found.p < 0.001


def test_models_with_missing_scores_are_named(rng):
    scores = matrix(rng)
    scores[1, :] = np.nan
    found = block_contrast(scores, LABELS)
    assert found.left_out == ("m2",)
    assert found.models == 5
    assert np.isfinite(found.p)


def test_what_has_no_contrast_says_why(rng):
    lonely = block_contrast(matrix(rng), dict(zip(NAMES, "ABCDEF", strict=True)))
    assert np.isnan(lonely.difference)
    assert np.isnan(lonely.p)
    assert lonely.reason == "no two models share a group"
    alike = block_contrast(matrix(rng), dict.fromkeys(NAMES, "A"))
    assert np.isnan(alike.between)
    assert alike.reason == "all models are of one group"
    flat = block_contrast(labeled(NAMES, np.full((6, 6), 0.3), "dcor"), LABELS)
    assert flat.difference == pytest.approx(0)
    assert flat.reason == "all scores are equal"
    one = block_contrast(labeled(("m1",), np.ones((1, 1)), "dcor"), LABELS)
    assert one.reason == "1 models: a test needs at least 4"
    with pytest.raises(ValueError, match="have no label"):
        block_contrast(matrix(rng), {"m1": "A"})
