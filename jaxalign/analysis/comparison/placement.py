"""Where a model sits in the tree of models."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.claims.replicates import FACT
from jaxalign.analysis.relations.model_labels import compared_models
from jaxalign.analysis.relations.neighbor_joining import Node
from jaxalign.analysis.relations.replicates import read_replicates
from jaxalign.analysis.relations.tree import Tree, model_tree, side_of, splits
from jaxalign.metrics.registry import metric_definition

_LEAST = 4  # models, below which there is only one tree


@dataclasses.dataclass(frozen=True, eq=False)
class Placement:
    """The tree with a model in it.

    Attributes:
      tree: neighbor-joining tree of the pretrained models and this one.
      sisters: models on the other side of the branch beside it: the smaller side.
      distance: √JSD in bits to the model whose profile of scores is most alike.
      nearest: that model.
      support: share of trees over halves of the structures in which this model and its sisters are
        a branch of their own; NaN where scores over halves are not known.
    """

    tree: Tree
    sisters: tuple[str, ...]
    nearest: str
    distance: float
    support: float = math.nan


def placement(alignment: Alignment, metric: str, name: str) -> Placement | None:
    """The tree of the pretrained models and a new one, and what the new one is beside.

    Args:
      alignment: scores of all pairs.
      metric: a symmetric similarity.
      name: the model; it is in the tree whatever its card says.

    Returns:
      The place; None for directed metrics and distances, fewer than 4 models, or a model without
      all its scores.
    """
    definition = metric_definition(metric)
    if not (definition.is_similarity and definition.symmetric):
        return None
    wanted = set(compared_models(alignment.cards)) | {name}
    names = [m for m in alignment.models if m in wanted]
    if len(names) < _LEAST:
        return None
    scores = alignment.matrix(metric).sel(model_a=names, model_b=names)
    halves = read_replicates(alignment.diagnostics.get(FACT), scores)
    tree = model_tree(scores, replicates=halves)
    if name not in tree.names or len(tree.names) < _LEAST:
        return None
    row = tree.distances[tree.names.index(name)].copy()
    row[tree.names.index(name)] = float("inf")
    nearest = int(row.argmin())
    beside = sisters(tree.root, name)
    support = branch_support(tree.root, (name, *beside))
    return Placement(tree, beside, tree.names[nearest], float(row[nearest]), support)


def branch_support(root: Node, names: Sequence[str]) -> float:
    """Support of the branch that parts some leaves from all others; NaN if there is none such."""
    every = frozenset(root.leaves)
    node = splits(root, least=-1.0).get(side_of(frozenset(names), every))
    return math.nan if node is None else node.support


def sisters(root: Node, name: str) -> tuple[str, ...]:
    """The leaves beside a leaf: of the branches that meet its own, those of the smallest one.

    The tree has no root in meaning, so the rest of the tree is one of these branches.

    Args:
      root: the tree.
      name: of a leaf.

    Returns:
      Names, in the order of the tree; () for a tree of this leaf alone.
    """
    for node in root.nodes:
        if name in [child.name for child in node.children]:
            sides = [child.leaves for child in node.children if child.name != name]
            if node is not root:
                inside = set(node.leaves)
                sides.append(tuple(leaf for leaf in root.leaves if leaf not in inside))
            return min((side for side in sides if side), key=len, default=())
    return ()
