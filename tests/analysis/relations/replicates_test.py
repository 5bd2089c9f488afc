"""Stored replicates come back as the matrices they were, and only for the scores they are of."""

import numpy as np

from jaxalign.analysis.relations.labeled_scores import labeled
from jaxalign.analysis.relations.replicates import read_replicates


def test_replicates_are_matrices_over_the_models_asked_for(rng):
    names = ("a", "b", "c")
    values = rng.uniform(size=(2, 3, 3))
    values = values + values.transpose(0, 2, 1)
    upper = np.triu_indices(3)
    stored = [matrix[upper].tolist() for matrix in values]
    stored[1][1] = None  # a – b
    facts = {"metric": "cknna", "k": 25, "models": list(names), "values": stored}
    scores = labeled(("c", "a"), np.eye(2), "cknna").assign_attrs(k=25)
    found = read_replicates(facts, scores)
    np.testing.assert_allclose(found[0].values, values[0][np.ix_([2, 0], [2, 0])])
    assert list(found[0].coords["model_a"].values) == ["c", "a"]
    whole = read_replicates(facts, labeled(names, np.eye(3), "cknna").assign_attrs(k=25))
    assert np.isnan(whole[1].values).sum() == 2


def test_replicates_of_other_scores_are_none():
    facts = {"metric": "cknna", "k": 25, "models": ["a"], "values": [[1.0]]}
    assert read_replicates(None, labeled(("a",), np.eye(1), "cknna")) == []
    for name, k, metric in (("a", 10, "cknna"), ("a", 25, "cka"), ("b", 25, "cknna")):
        scores = labeled((name,), np.eye(1), metric).assign_attrs(k=k)
        assert read_replicates(facts, scores) == []
