"""Where the branches and leaves of a tree of models are drawn."""

from __future__ import annotations

import dataclasses
import itertools
import math

from jaxalign.analysis.relations.neighbor_joining import Node


@dataclasses.dataclass(frozen=True)
class TreePlaces:
    """A tree laid out from left to right.

    Attributes:
      leaves: (name, distance from the root) from top to bottom; leaf i is at height i.
      strokes: (x, y) of the branches and the joints; NaN lifts the pen.
      supports: (x, y, support) in the middle of the inner branches whose support is known.
      reach: largest distance from the root.
    """

    leaves: tuple[tuple[str, float], ...]
    strokes: tuple[tuple[float, float], ...]
    supports: tuple[tuple[float, float, float], ...]
    reach: float


def tree_places(root: Node) -> TreePlaces:
    """Lays a tree out: x is the distance from the root, leaves are evenly spaced.

    Args:
      root: the tree; where it begins has no meaning.
    """
    leaves: list[tuple[str, float]] = []
    strokes: list[tuple[float, float]] = []
    supports: list[tuple[float, float, float]] = []
    gap = (math.nan, math.nan)

    def visit(node: Node, start: float) -> float:
        end = start + node.length
        if node.children:
            heights = [visit(child, end) for child in node.children]
            height = (heights[0] + heights[-1]) / 2
            strokes.extend([(end, heights[0]), (end, heights[-1]), gap])
        else:
            height = float(len(leaves))
            leaves.append((node.name, end))
        if node.length > 0:
            strokes.extend([(start, height), (end, height), gap])
        if not math.isnan(node.support):
            supports.append(((start + end) / 2, height, node.support))
        return height

    visit(root, 0.0)
    reach = max(end for _, end in leaves)
    return TreePlaces(tuple(leaves), tuple(strokes), tuple(supports), reach)


def centered(root: Node) -> Node:
    """The same tree, begun in the middle of its longest path, so that related leaves stand close.

    Args:
      root: the tree; its branches keep their lengths and supports, but for the one that is begun
        from: it has two parts, and its support is on one of them.
    """
    links = _links(root)
    first = _farthest(root, links)[-1]
    path = _farthest(first, links)
    total = _length(path, links)
    if len(root.leaves) < 3 or total <= 0:
        return root
    gone = 0.0
    for near, far in itertools.pairwise(path):
        length, support = links[id(near)][id(far)][1:]
        if gone + length >= total / 2:
            before = total / 2 - gone
            one = _hung(near, far, before, math.nan, links)
            other = _hung(far, near, length - before, support, links)
            return Node(children=_ordered([one, other]))
        gone += length
    return root


def _links(root: Node) -> dict[int, dict[int, tuple[Node, float, float]]]:
    """Node → neighboring node → (it, length, support) of the branch; nodes by identity."""
    links: dict[int, dict[int, tuple[Node, float, float]]] = {id(root): {}}
    for node in root.nodes:
        for child in node.children:
            links[id(node)][id(child)] = (child, child.length, child.support)
            links.setdefault(id(child), {})[id(node)] = (node, child.length, child.support)
    return links


def _farthest(start: Node, links) -> list[Node]:
    """Path from a node to the leaf that is farthest from it."""
    best: tuple[float, list[Node]] = (-1.0, [start])
    stack = [(start, 0.0, [start])]
    while stack:
        node, gone, path = stack.pop()
        if not node.children and (gone, [path[-1].name]) > (best[0], [best[1][-1].name]):
            best = (gone, path)
        seen = path[-2] if len(path) > 1 else None
        for other, length, _ in links[id(node)].values():
            if other is not seen:
                stack.append((other, gone + length, [*path, other]))
    return best[1]


def _length(path: list[Node], links) -> float:
    return sum(links[id(a)][id(b)][1] for a, b in itertools.pairwise(path))


def _hung(node: Node, parent: Node, length: float, support: float, links) -> Node:
    """The part of the tree behind a node, seen from its neighbor."""
    below = [
        _hung(other, node, far, kept, links)
        for other, far, kept in links[id(node)].values()
        if other is not parent
    ]
    if len(below) == 1:  # the old root, if it had two branches
        return dataclasses.replace(below[0], length=below[0].length + length)
    own = support if below else math.nan
    return Node(node.name, length, _ordered(below), own)


def _ordered(nodes: list[Node]) -> tuple[Node, ...]:
    """Larger parts first, of equals by their first leaf: stairs that the eye follows."""
    return tuple(sorted(nodes, key=lambda node: (-len(node.leaves), min(node.leaves))))
