"""Does a tree of models keep groups together?

The fewest changes of label along the branches that put the labels on the leaves (parsimony) is
groups − 1 where every group hangs on a branch of its own, and more where groups are mixed. Its null
is the same tree with the labels permuted over the leaves.

References:
  Hartigan: Biometrics 29, 53 (1973), parsimony on trees with any number of children; Maddison,
  Slatkin: Evolution 45, 1184 (1991), the permutation test.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from jaxalign.analysis.relations.model_labels import labels_of
from jaxalign.analysis.relations.neighbor_joining import Node
from jaxalign.analysis.relations.permutations import model_permutations, permutation_p
from jaxalign.analysis.relations.tree import side_of, splits

_PERMUTATIONS = 999


@dataclasses.dataclass(frozen=True)
class GroupRecovery:
    """How well a tree keeps groups together; NaN where it cannot be had.

    Attributes:
      changes: fewest changes of label along the tree.
      least: changes of a tree that keeps all groups together: their number − 1.
      null_mean: mean number of changes over permuted labels.
      p: share of permuted labels with as few changes.
      permutations: draws beside the observed labels.
      models: leaves with a label.
      reason: why there is no test; "" if there is.
    """

    changes: int
    least: int
    null_mean: float
    p: float
    permutations: int
    models: int
    reason: str = ""


def group_recovery(
    root: Node, labels: Mapping[str, str], *, permutations: int = _PERMUTATIONS, seed: int = 0
) -> GroupRecovery:
    """Fewest changes of label along the tree, against permuted labels.

    Args:
      root: the tree; its root has no meaning.
      labels: model → group; an empty one counts as whatever is best.
      permutations: of the labels among the leaves that have one.
      seed: of the permutations.

    Returns:
      The count and its test.

    Raises:
      ValueError: a leaf without a label.
    """
    names = [name for name in root.leaves if labels_of([name], labels)[0]]
    own = [labels[name] for name in names]
    least = max(len(set(own)) - 1, 0)
    observed = parsimony(root, dict(zip(names, own, strict=True)))
    if least == 0 or least == len(own) - 1:
        reason = "no group of two beside another one: every tree keeps these labels together"
        return GroupRecovery(observed, least, math.nan, math.nan, 0, len(own), reason)
    draws = model_permutations(len(own), permutations, seed=seed)
    found = np.array(
        [parsimony(root, dict(zip(names, [own[i] for i in d], strict=True))) for d in draws],
        np.float64,
    )
    p = permutation_p(found, alternative="less")
    return GroupRecovery(observed, least, float(found.mean()), p, len(draws) - 1, len(own))


def parsimony(root: Node, labels: Mapping[str, str]) -> int:
    """Fewest changes of label along the branches; leaves that are not in `labels` are free."""
    return _parsimony(root, labels)[1]


def _parsimony(node: Node, labels: Mapping[str, str]) -> tuple[frozenset[str], int]:
    """Labels of this node at the least number of changes below, and that number.

    An empty set stands for any label.
    """
    if not node.children:
        label = labels.get(node.name)
        return frozenset() if label is None else frozenset([label]), 0
    below = [_parsimony(child, labels) for child in node.children]
    told = [found for found, _ in below if found]
    changes = sum(count for _, count in below)
    if not told:
        return frozenset(), changes
    votes = {label: sum(label in found for found in told) for found in told for label in found}
    most = max(votes.values())
    best = frozenset(label for label, count in votes.items() if count == most)
    return best, changes + len(told) - most


def group_branches(root: Node, labels: Mapping[str, str]) -> pd.DataFrame:
    """Which groups hang on a branch of their own, and how well it is supported.

    Args:
      root: the tree.
      labels: model → group; models with an empty one are of no group.

    Returns:
      One row a group of two models or more: `group`, `models`, `together` (a branch parts them from
      all others; true of a group that is the whole tree, or all but one model), `support` of this
      branch (NaN where there is none, or no replicates).
    """
    leaves = root.leaves
    own = labels_of(leaves, labels)
    known, rows = splits(root), []
    for group in dict.fromkeys(label for label in own if label):
        members = [name for name, label in zip(leaves, own, strict=True) if label == group]
        if len(members) > 1:
            branch = known.get(side_of(frozenset(members), frozenset(leaves)))
            together = branch is not None or len(members) >= len(leaves) - 1
            support = math.nan if branch is None else branch.support
            rows.append((group, len(members), together, support))
    return pd.DataFrame(rows, columns=["group", "models", "together", "support"])
