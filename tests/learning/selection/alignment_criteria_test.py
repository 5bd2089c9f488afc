"""Alignment of embeddings with labels, against the metrics called directly."""

import numpy as np
import pytest

from jaxalign import metrics
from jaxalign.learning.selection.alignment_criteria import alignment_criteria


def standardized(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


@pytest.fixture
def embeddings(rng):
    x = rng.normal(size=(60, 5))
    others = {"mixed": x @ rng.normal(size=(5, 5)), "noise": rng.normal(size=(60, 5))}
    return {"plain": x * np.array([1, 10, 1, 1, 1]), **others}


def test_scores_are_those_of_the_metrics(embeddings, rng):
    y = embeddings["plain"][:, 1] * 3 + 0.1 * rng.normal(size=60)
    families = {"plain": "a", "mixed": "a", "noise": "b"}
    records = alignment_criteria(
        embeddings, {"t": y, "u": rng.normal(size=60)}, families, np.arange(60), metrics=("cka",)
    )
    found = {(r["task"], r["criterion"], r["candidate"]): r for r in records}
    for name, x in embeddings.items():
        direct = metrics.cka(standardized(x), standardized(y[:, None]))
        assert found["t", "label:cka", name]["raw"] == pytest.approx(float(direct), abs=1e-5)
    assert found["t", "label:cka", "plain"]["value"] > 0.1
    assert found["t", "label:cka", "plain"]["p"] < 1e-3
    assert found["t", "label:cka", "noise"]["value"] < 0.05
    # Only the candidate of the other family counts.
    alone = metrics.cka(*(standardized(embeddings[n]) for n in ("plain", "noise")))
    other = found["t", "others:cka", "plain"]
    assert other["raw"] == pytest.approx(float(alone), abs=1e-5)
    assert other == {**found["u", "others:cka", "plain"], "task": "t"}


def test_a_candidate_cannot_be_called_like_a_label(embeddings):
    candidates = {**embeddings, "label of t": embeddings["noise"]}
    with pytest.raises(ValueError, match=r"must not be called \['label of t'\]"):
        alignment_criteria(candidates, {"t": np.arange(60.0)}, {}, np.arange(60), metrics=("cka",))


@pytest.mark.slow
def test_groups_change_places_whole_and_are_never_neighbors(embeddings, rng):
    groups = np.arange(60) // 2
    y = embeddings["plain"][:, 1] + 0.01 * rng.normal(size=60)
    families = dict.fromkeys(embeddings, "")
    records = alignment_criteria(
        embeddings, {"t": y}, families, groups, metrics=("mutual_knn", "cka")
    )
    found = {(r["criterion"], r["candidate"]): r for r in records}
    assert found["label:cka", "plain"]["p"] <= 0.01
    assert found["label:cka", "plain"]["value"] > 0.05
    assert all(np.isfinite(r["value"]) for r in records)
