"""Calibrated intervals against their definition."""

import math

import numpy as np
import pytest

from jaxalign.analysis.comparison.placement import sisters
from jaxalign.analysis.comparison.score_rows import calibrated_ends
from jaxalign.analysis.relations.neighbor_joining import Node
from jaxalign.significance.p_values import calibrated_score


@pytest.mark.parametrize("perfect", [1.0, 0.0])
def test_ends_are_calibrated_like_scores(rng, perfect):
    for _ in range(50):
        threshold, value = rng.uniform(0.1, 0.9, 2)
        low, high = value - rng.uniform(0, 0.1), value + rng.uniform(0, 0.1)
        score = calibrated_score(value, threshold=threshold, perfect=perfect)
        found = calibrated_ends(value, score, low, high, perfect)
        wanted = sorted(
            calibrated_score(e, threshold=threshold, perfect=perfect) for e in (low, high)
        )
        if score > 0:
            np.testing.assert_allclose(found, wanted, atol=1e-9)
        else:  # the threshold is unknown: the upper end may only be too large
            assert found[0] == 0
            assert found[1] >= wanted[1] - 1e-12


def test_no_interval_without_numbers():
    assert all(map(math.isnan, calibrated_ends(0.5, math.nan, 0.4, 0.6, 1.0)))
    assert all(map(math.isnan, calibrated_ends(1.0, 1.0, 1.0, 1.0, 1.0)))
    assert all(map(math.isnan, calibrated_ends(0.5, 0.2, math.nan, 0.6, 1.0)))


def test_sisters_are_the_smallest_branch_beside_a_leaf():
    ab = Node(children=(Node("a"), Node("b")))
    root = Node(children=(Node(children=(ab, Node("c"))), Node("d"), Node("e")))
    assert sisters(root, "a") == ("b",)
    assert set(sisters(root, "c")) in ({"a", "b"}, {"d", "e"})
    assert sisters(root, "d") == ("e",)
    assert sisters(Node("a"), "a") == ()
