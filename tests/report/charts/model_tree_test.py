"""Trees: paths on the drawing are distances of the tree; recovery, support and Newick in words."""

import itertools

import numpy as np
import pytest

from jaxalign.analysis.relations.labeled_scores import labeled
from jaxalign.analysis.relations.neighbor_joining import Node, neighbor_joining
from jaxalign.analysis.relations.tree import model_tree, newick
from jaxalign.report.charts.model_tree import spaced, tree_view
from jaxalign.report.charts.reading import read_report
from jaxalign.report.charts.tree_places import centered, tree_places
from jaxalign.report.drawing import canvas


def random_tree(rng, m):
    points = rng.normal(size=(m, 3))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    return neighbor_joining(distances, [f"m{i:02d}" for i in range(m)])


def path_lengths(root):
    """Distance between every two leaves, and the largest of a leaf from the root."""
    ways = {}

    def visit(node, way):
        way = [*way, (id(node), node.length)]
        if not node.children:
            ways[node.name] = dict(way)
        for child in node.children:
            visit(child, way)

    visit(root, [])
    return {
        frozenset((a, b)): sum(
            length
            for key, length in {**ways[a], **ways[b]}.items()
            if (key in ways[a]) != (key in ways[b])
        )
        for a, b in itertools.combinations(ways, 2)
    }


@pytest.mark.parametrize("m", [3, 4, 9])
def test_a_tree_begun_in_the_middle_has_the_same_paths(rng, m):
    root = random_tree(rng, m)
    moved = centered(root)
    before, after = path_lengths(root), path_lengths(moved)
    assert set(before) == set(after)
    for pair, length in before.items():
        assert after[pair] == pytest.approx(length, abs=1e-12)
    places = tree_places(moved)
    assert places.reach == pytest.approx(max(before.values()) / 2)
    assert sorted(name for name, _ in places.leaves) == sorted(root.leaves)


def test_supports_stay_on_their_branches():
    pair = Node(length=2.0, children=(Node("a", 1.0), Node("b", 1.0)), support=0.8)
    root = Node(children=(pair, Node("c", 1.0), Node("d", 9.0)))
    found = [s for _, _, s in tree_places(centered(root)).supports]
    assert found == [0.8]


def test_drawn_branches_are_as_long_as_those_of_the_tree(rng):
    root = random_tree(rng, 8)
    strokes = np.array(tree_places(root).strokes).reshape(-1, 3, 2)
    level = strokes[:, 0, 1] == strokes[:, 1, 1]
    drawn = np.sort(strokes[level, 1, 0] - strokes[level, 0, 0])
    wanted = np.sort([node.length for node in root.nodes if node.length > 0])
    np.testing.assert_allclose(drawn, wanted, atol=1e-12)


def test_blanks_in_newick_stand_between_branches_only():
    root = Node(children=(Node("it's, a <b>", 1.0), Node("b", 2.0), Node("c", 0.5)))
    plain = newick(root)
    assert spaced(plain).count(", ") == 3  # two between branches, one in a name
    assert spaced(plain).replace(":1.000000, ", ":1.000000,") != plain
    assert spaced("(a:1,b:2,'c,d':3);") == "(a:1, b:2, 'c,d':3);"


def test_the_view_shows_the_tree_of_the_scores(rng, views):
    alignment_of, cards_of, symmetric, check_view = views
    cards = cards_of([f"model {i} <b>" for i in range(8)])
    values = symmetric(rng, 8)
    alignment = alignment_of(cards, {"cknna": values}, ks={"cknna": 25})
    view, missing = tree_view(read_report({"qm9": alignment}))
    check_view(view)
    assert missing == []
    tree = model_tree(labeled(tuple(cards), values, "cknna"))
    data = view.charts[0].data.set_index("model")
    np.testing.assert_allclose(data.to_numpy(), tree.distances, atol=1e-12)
    table = next(t for t in view.tables if t.name == "newick")
    assert [cell.text for cell in table.rows[0][:2]] == ["qm9", "8"]
    assert table.rows[0][2].text.replace(", ", ",") == newick(tree.root)
    assert any("support" in note and "halves = 20" in note for note in view.notes)
    leaves = [t for t in view.charts[0].plotly["data"] if t.get("mode") == "markers"]
    assert sum(len(t["x"]) for t in leaves) == 8
    with canvas.style():
        canvas.encode(view.charts[0].draw())


def test_support_is_the_share_of_stored_replicates(rng, views):
    alignment_of, cards_of, symmetric, check_view = views
    cards = cards_of([f"m{i}" for i in range(6)])
    values = symmetric(rng, 6)
    upper = values[np.triu_indices(6)]
    facts = {"metric": "cknna", "k": 25, "models": list(cards), "taken": 50}
    facts["values"] = [upper.tolist(), upper.tolist(), [None, *upper[1:].tolist()]]
    alignment = alignment_of(cards, {"cknna": values}, ks={"cknna": 25}, replicates=facts)
    view, _ = tree_view(read_report({"qm9": alignment}))
    check_view(view)
    texts = [t["text"] for t in view.charts[0].plotly["data"] if t.get("mode") == "text"]
    assert texts
    assert set(texts[0]) == {"100"}  # the same scores; a replicate with a gap is not one
    assert any("percent of 2 subsamples" in note for note in view.notes)
    other = alignment_of(cards, {"cknna": values}, ks={"cknna": 10}, replicates=facts)
    view, _ = tree_view(read_report({"qm9": other}))
    assert any("not known" in note for note in view.notes)  # replicates of another k


def test_too_few_models_or_no_similarity_is_said(rng, views):
    alignment_of, cards_of, symmetric, _ = views
    cards = cards_of(["a", "b", "c"])
    few = alignment_of(cards, {"cknna": symmetric(rng, 3)}, ks={"cknna": 25})
    none = alignment_of(cards, {"id:twonn": np.eye(3)}, ks={"id:twonn": 2})
    view, missing = tree_view(read_report({"x": few, "y": none}))
    assert view is None
    assert missing[0].startswith("x: a tree needs at least 4 trained models: there is 3")
    assert missing[1].startswith("y: a tree of models needs a similarity")
