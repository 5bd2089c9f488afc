"""Profiles, their distances, support of branches, Newick that other programs read."""

import itertools
import math
import re

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from jaxalign.analysis.relations.labeled_scores import labeled
from jaxalign.analysis.relations.neighbor_joining import Node
from jaxalign.analysis.relations.tree import (
    model_tree,
    newick,
    profile_distances,
    row_profiles,
    splits,
)

NAMES = ("a", "b", "c", "d", "e", "f")


def blocks(groups, noise=0.0, rng=None, *, names=NAMES):
    """Similarities: .8 within groups, .2 between, 1 with itself."""
    own = np.array([next(i for i, g in enumerate(groups) if n in g) for n in names])
    values = np.where(own[:, None] == own[None, :], 0.8, 0.2)
    if rng is not None:
        wobble = rng.normal(scale=noise, size=values.shape)
        values = values + wobble + wobble.T
    np.fill_diagonal(values, 1.0)
    return labeled(names, values, "cknna")


def parsed(text):
    """(names below, length, label) of every branch of a Newick text, by a parser of its own."""
    tokens = re.findall(r"'(?:[^']|'')*'|[(),:;]|[^(),:;']+", text)
    found, stack, last = [], [], None
    for number, token in enumerate(tokens):
        if token == "(":
            stack.append([])
        elif token == ")":
            last = [[name for part in stack.pop() for name in part], 0.0, ""]
            found.append(last)
            if stack:
                stack[-1].append(last[0])
        elif token == ":":
            last[1] = float(tokens[number + 1])
        elif token in ",;" or tokens[number - 1] == ":":
            continue
        elif tokens[number - 1] == ")":
            last[2] = token
        else:
            name = token[1:-1].replace("''", "'") if token[0] == "'" else token
            last = [[name], 0.0, ""]
            found.append(last)
            if stack:
                stack[-1].append(last[0])
    return found


def test_profiles_are_distributions(rng):
    scores = rng.uniform(size=(5, 5))
    found = row_profiles(scores, epsilon=0.01)
    for i, j in itertools.product(range(5), repeat=2):
        wanted = (scores[i, j] + 0.01) / sum(scores[i, l] + 0.01 for l in range(5))  # noqa: E741
        assert found[i, j] == pytest.approx(wanted)


def test_negative_scores_count_as_nothing():
    found = row_profiles(np.array([[1.0, -0.1], [-0.1, 1.0]]))
    np.testing.assert_allclose(found, np.eye(2), atol=1e-11)
    np.testing.assert_allclose(row_profiles(np.zeros((2, 2))), 0.5)


def test_distances_are_root_jensen_shannon_in_bits(rng):
    profiles = rng.dirichlet(np.full(7, 0.3), size=7)
    found = profile_distances(profiles)
    for i, j in itertools.product(range(7), repeat=2):
        wanted = jensenshannon(profiles[i], profiles[j], base=2)
        assert found[i, j] == pytest.approx(np.nan_to_num(wanted), abs=1e-7)
    np.testing.assert_array_equal(found, found.T)
    middle = (profiles[0] + profiles[1]) / 2

    def bits(p):
        return -sum(x * math.log2(x) for x in p if x > 0)

    divergence = bits(middle) - (bits(profiles[0]) + bits(profiles[1])) / 2
    assert found[0, 1] ** 2 == pytest.approx(divergence, rel=1e-9)


def test_distances_of_equal_and_disjoint_profiles():
    found = profile_distances(np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0]], np.float64))
    np.testing.assert_allclose(found, [[0, 1, 0], [1, 0, 1], [0, 1, 0]], atol=1e-12)
    assert profile_distances(np.ones((1, 1))).shape == (1, 1)


def test_groups_are_branches_of_the_tree(rng):
    found = model_tree(blocks(["abc", "def"], 0.01, rng))
    assert frozenset("def") in splits(found.root)
    assert found.names == NAMES
    assert math.isnan(found.root.nodes[1].support)


def test_support_is_the_share_of_replicates_with_the_branch(rng):
    scores = blocks(["abc", "def"], 0.01, rng)
    same = [blocks(["abc", "def"], 0.01, rng) for _ in range(6)]
    other = [blocks(["ad", "be", "cf"], 0.01, rng).isel(model_a=[3, 0, 1, 5, 2, 4]) for _ in "12"]
    found = model_tree(scores, replicates=[*same, *other])
    assert found.replicates == 8
    nodes = [n for n in found.root.nodes if set(n.leaves) in ({*"abc"}, {*"def"})]
    assert [n.support for n in nodes] == [0.75]
    assert all(math.isnan(n.support) for n in found.root.nodes if n.name)


def test_what_cannot_be_resolved_has_no_support():
    """All pairs equal: any tree is as good, and every replicate would choose the same one."""
    flat = blocks(list("abcdef"))
    found = model_tree(flat, replicates=[flat, flat])
    inner = [n for n in found.root.nodes[1:] if n.children]
    assert inner
    assert {n.support for n in inner} == {0.0}


def test_newick_keeps_names_lengths_and_support(rng):
    names = ("it's", "a b", "org/model@v1", "plain-1.0", "(x)", "under_score")
    scores = blocks([names[:3], names[3:]], 0.01, rng, names=names)
    found = model_tree(scores, replicates=[scores])
    branches = parsed(newick(found.root))
    assert newick(found.root).endswith(";")
    wanted = {frozenset(n.leaves): n for n in found.root.nodes}
    assert {frozenset(below) for below, *_ in branches} == set(wanted)
    for below, length, label in branches:
        node = wanted[frozenset(below)]
        assert length == pytest.approx(node.length, abs=1e-6)
        assert label == ("" if math.isnan(node.support) else f"{100 * node.support:.0f}")
    assert "100" in {label for *_, label in branches}
    assert "'it''s'" in newick(found.root)
    assert newick(Node("a_b")) == "'a_b';"


def test_models_with_missing_scores_are_left_out(rng):
    scores = blocks(["abc", "def"], 0.01, rng)
    scores[2, :] = np.nan
    scores[4, 4] = np.nan
    found = model_tree(scores)
    assert found.left_out == ("c", "e")
    assert sorted(found.root.leaves) == list("abdf")


def test_few_models():
    one = model_tree(labeled(("a",), np.ones((1, 1)), "cknna"))
    assert newick(one.root) == "a;"
    two = model_tree(labeled(("a", "b"), np.array([[1, 0.0], [0, 1]]), "cknna"))
    assert newick(two.root, digits=2) == "(a:0.50,b:0.50);"


def test_refusals(rng):
    scores = blocks(["abc", "def"])
    with pytest.raises(ValueError, match="no model has a score with itself"):
        model_tree(scores.where(scores < 1))
    with pytest.raises(ValueError, match=r"\['f'\] are missing"):
        model_tree(scores, replicates=[scores.isel(model_a=slice(5), model_b=slice(5))])
    with pytest.raises(ValueError, match="profiles need every score"):
        model_tree(scores, replicates=[scores * np.nan])
    with pytest.raises(ValueError, match="epsilon must be positive"):
        model_tree(scores, epsilon=0.0)
