"""Parsimony against all labels of the inner nodes; recovery against all orders of the labels."""

import itertools
import math

import numpy as np
import pytest

from jaxalign.analysis.relations.neighbor_joining import Node
from jaxalign.analysis.relations.tree_groups import group_branches, group_recovery, parsimony

TREE = Node(
    children=(
        Node(length=1.0, support=0.9, children=(Node("a"), Node("b"))),
        Node(length=1.0, support=0.8, children=(Node("c"), Node("d"))),
        Node(length=1.0, support=0.7, children=(Node("e"), Node("f"))),
    )
)


def fewest(root, labels):
    """Over all labels of the inner nodes."""
    nodes = root.nodes
    inner = [i for i, n in enumerate(nodes) if n.children]
    edges = [
        (i, next(j for j, other in enumerate(nodes) if other is child))
        for i, n in enumerate(nodes)
        for child in n.children
    ]
    counts = []
    for choice in itertools.product(sorted(set(labels.values())), repeat=len(inner)):
        own = dict(zip(inner, choice, strict=True))
        own |= {i: labels.get(n.name) for i, n in enumerate(nodes) if n.name}
        counts.append(sum(own[i] != own[j] for i, j in edges if own[j] is not None))
    return min(counts)


def test_parsimony_is_the_minimum_over_inner_labels(rng):
    for _ in range(20):
        labels = {name: "XYZ"[rng.integers(3)] for name in "abcdef"}
        assert parsimony(TREE, labels) == fewest(TREE, labels)
    assert parsimony(TREE, {"a": "X", "f": "Y"}) == fewest(TREE, {"a": "X", "f": "Y"}) == 1


def test_recovery_is_tested_by_all_orders():
    labels = dict(zip("abcdef", "XXYYZZ", strict=True))
    found = group_recovery(TREE, labels, permutations=1000)
    orders = list(itertools.permutations("XXYYZZ"))
    null = [parsimony(TREE, dict(zip("abcdef", order, strict=True))) for order in orders]
    assert (found.changes, found.least, found.models) == (2, 2, 6)
    assert found.p == pytest.approx(np.mean(np.array(null) <= 2))
    assert found.null_mean == pytest.approx(np.mean(null))
    assert found.permutations == 719


def test_unknown_labels_are_free():
    labels = dict(zip("abcdef", ["X", "X", "", "Y", "Y", "Y"], strict=True))
    found = group_recovery(TREE, labels)
    assert (found.changes, found.models) == (1, 5)


def test_branches_of_groups():
    labels = dict(zip("abcdef", ["X", "X", "Y", "Z", "Z", "Z"], strict=True))
    found = group_branches(TREE, labels).set_index("group")
    assert list(found.index) == ["X", "Z"]
    assert bool(found["together"]["X"])
    assert found["support"]["X"] == 0.9
    assert not found["together"]["Z"]
    assert math.isnan(found["support"]["Z"])
    whole = group_branches(TREE, dict.fromkeys("abcdef", "X"))
    assert bool(whole["together"][0])


def test_a_group_beside_its_complement_is_the_same_branch():
    """The branch that parts a, b from the others parts the others from a, b."""
    labels = dict(zip("abcdef", "XXYYYY", strict=True))
    found = group_branches(TREE, labels).set_index("group")
    assert found["together"].all()
    assert set(found["support"]) == {0.9}


@pytest.mark.parametrize("labels", ["XXXXXX", "UVWXYZ", ["", "", "", "", "", ""]])
def test_labels_that_every_tree_keeps_together(labels):
    found = group_recovery(TREE, dict(zip("abcdef", labels, strict=True)))
    assert math.isnan(found.p)
    assert "every tree" in found.reason


def test_one_model():
    found = group_recovery(Node("a"), {"a": "X"})
    assert (found.changes, found.models) == (0, 1)
    assert group_branches(Node("a"), {"a": "X"}).empty
    with pytest.raises(ValueError, match="have no label"):
        group_recovery(TREE, {"a": "X"})
