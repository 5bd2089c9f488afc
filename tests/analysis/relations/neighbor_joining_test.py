"""Neighbor joining recovers the trees that distances were made of, whatever the order."""

import dataclasses
import itertools

import numpy as np
import pytest

from jaxalign.analysis.relations.neighbor_joining import Node, neighbor_joining


def random_tree(rng, names):
    """A binary tree of random shape and branch lengths."""
    nodes = [Node(name) for name in names]
    while len(nodes) > 3:
        picked = rng.permutation(len(nodes))[:2]
        children = tuple(grown(nodes[i], rng) for i in picked)
        nodes = [n for i, n in enumerate(nodes) if i not in picked] + [Node(children=children)]
    return Node(children=tuple(grown(n, rng) for n in nodes))


def grown(node, rng):
    return dataclasses.replace(node, length=float(rng.uniform(0.1, 1)))


def path_lengths(root, names):
    """Distances along the branches: every branch parts those below from all others."""
    d = np.zeros((len(names), len(names)))
    for node in root.nodes:
        below = np.isin(names, node.leaves)
        d += node.length * (below[:, None] != below[None, :])
    return d


@pytest.mark.parametrize("m", [2, 3, 4, 5, 9, 24])
def test_path_lengths_of_a_tree_give_the_tree(rng, m):
    names = [f"m{i}" for i in range(m)]
    wanted = random_tree(rng, names)
    d = path_lengths(wanted, names)
    found = neighbor_joining(d, names)
    assert sorted(found.leaves) == sorted(names)
    np.testing.assert_allclose(path_lengths(found, names), d, atol=1e-9)
    assert len(found.nodes) == max(2 * m - 2, 3)
    sides = [{frozenset(n.leaves) for n in tree.nodes if n.children} for tree in (found, wanted)]
    every = frozenset(names)
    assert all(side in sides[1] or every - side in sides[1] for side in sides[0])


def test_a_worked_example():
    """Five models: branches 2 and 3, then 3, then 4, then 2, then 2 and 1."""
    d = np.array(
        [[0, 5, 9, 9, 8], [5, 0, 10, 10, 9], [9, 10, 0, 8, 7], [9, 10, 8, 0, 3], [8, 9, 7, 3, 0]],
        np.float64,
    )
    found = neighbor_joining(d, list("abcde"))
    leaves = {n.name: n.length for n in found.nodes if n.name}
    assert leaves == pytest.approx({"a": 2, "b": 3, "c": 4, "d": 2, "e": 1})
    inner = sorted(n.length for n in found.nodes[1:] if n.children)
    assert inner[-1] == pytest.approx(3)
    np.testing.assert_allclose(path_lengths(found, list("abcde")), d)


def test_order_of_models_does_not_matter_even_among_equals(rng):
    names = [f"m{i}" for i in range(8)]
    for d in (np.ones((8, 8)) - np.eye(8), rng.integers(1, 3, size=(8, 8)).astype(np.float64)):
        d = np.maximum(d, d.T)
        np.fill_diagonal(d, 0)
        wanted = neighbor_joining(d, names)
        for _ in range(5):
            order = rng.permutation(8)
            found = neighbor_joining(d[np.ix_(order, order)], [names[i] for i in order])
            assert repr(found) == repr(wanted)


def test_no_branch_is_negative_and_sisters_keep_their_distance(rng):
    m = 12
    names = [f"m{i:02d}" for i in range(m)]
    for _ in range(20):
        d = rng.uniform(0.1, 1, size=(m, m))
        d = np.triu(d, 1) + np.triu(d, 1).T
        found = neighbor_joining(d, names)
        assert min(node.length for node in found.nodes) >= 0
        for node in found.nodes[1:]:
            if node.children and not any(child.children for child in node.children):
                i, j = (names.index(child.name) for child in node.children)
                assert sum(c.length for c in node.children) == pytest.approx(d[i, j])


def test_one_and_two_models():
    assert neighbor_joining(np.zeros((1, 1)), ["a"]).leaves == ("a",)
    two = neighbor_joining(np.array([[0, 1.0], [1, 0]]), ["b", "a"])
    assert [(n.name, n.length) for n in two.children] == [("a", 0.5), ("b", 0.5)]


def test_copies_stand_together():
    """Two models at distance 0 are sisters on branches of length 0."""
    d = np.array([[0, 0, 2, 3], [0, 0, 2, 3], [2, 2, 0, 3], [3, 3, 3, 0]], np.float64)
    found = neighbor_joining(d, list("abcd"))
    lengths = {n.name: n.length for n in found.nodes if n.name}
    assert lengths["a"] == lengths["b"] == 0
    np.testing.assert_allclose(path_lengths(found, list("abcd")), d)


@pytest.mark.parametrize(
    ("distances", "names"),
    [
        (np.zeros((0, 0)), []),
        (np.zeros((2, 2)), ["a", "a"]),
        (np.zeros((2, 2)), ["a"]),
        (np.array([[0, np.nan], [np.nan, 0]]), ["a", "b"]),
        (np.array([[0, 1.0], [2, 0]]), ["a", "b"]),
        (np.ones((2, 2)), ["a", "b"]),
    ],
)
def test_refusals(distances, names):
    with pytest.raises(ValueError, match=r"a tree needs|distances must be"):
        neighbor_joining(distances, names)


@pytest.mark.slow
def test_biopython_finds_the_same_tree(rng):
    from Bio.Phylo.TreeConstruction import DistanceMatrix, DistanceTreeConstructor

    for m in (5, 10, 30):
        names = [f"m{i:02d}" for i in range(m)]
        d = path_lengths(random_tree(rng, names), names)
        noise = rng.normal(scale=0.005, size=(m, m))
        d += np.triu(noise, 1) + np.triu(noise, 1).T
        lower = [[float(d[i, j]) for j in range(i + 1)] for i in range(m)]
        theirs = DistanceTreeConstructor().nj(DistanceMatrix(names, lower))
        apart = np.zeros((m, m))
        for i, j in itertools.combinations(range(m), 2):
            apart[i, j] = apart[j, i] = theirs.distance(names[i], names[j])
        ours = path_lengths(neighbor_joining(d, names), names)
        np.testing.assert_allclose(ours, apart, atol=1e-9)
