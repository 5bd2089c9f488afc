"""Where a model sits in the tree of models."""

from __future__ import annotations

import dataclasses

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.relations.model_labels import compared_models
from jaxalign.analysis.relations.neighbor_joining import Node
from jaxalign.analysis.relations.tree import Tree, model_tree
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
    """

    tree: Tree
    sisters: tuple[str, ...]
    nearest: str
    distance: float


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
    tree = model_tree(scores)
    if name not in tree.names or len(tree.names) < _LEAST:
        return None
    row = tree.distances[tree.names.index(name)].copy()
    row[tree.names.index(name)] = float("inf")
    nearest = int(row.argmin())
    return Placement(tree, sisters(tree.root, name), tree.names[nearest], float(row[nearest]))


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
