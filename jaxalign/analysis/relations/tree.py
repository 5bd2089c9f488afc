"""The tree of models: neighbor joining on distances of their profiles of alignment.

The profile of model i is its row of scores as a distribution, and models are as far apart as their
profiles:

    R_i(j) = (C_ij + ε)/Σ_j (C_ij + ε),      D_ij = √JSD(R_i, R_j) in bits, from 0 to 1,

with C_ii, the score with itself, in the sum. Random baselines should be left out before (as by
`compared_models`): each has a profile of its own. The support of a branch is the share of
replicates, the same scores over subsamples of the structures, whose tree has the branch too.

References:
  Endres, Schindelin: IEEE Trans. Inf. Theory 49, 1858 (2003), √JSD is a metric; Felsenstein:
  Evolution 39, 783 (1985), support of branches.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
import xarray as xr
from jaxtyping import Float64
from scipy.spatial.distance import pdist, squareform

from jaxalign.analysis.relations.labeled_scores import complete_models, read_scores
from jaxalign.analysis.relations.neighbor_joining import Node, branches, neighbor_joining

EPSILON = 1e-12
_SHORT = 1e-9  # an inner branch below this share of the longest distance resolves nothing
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")


@dataclasses.dataclass(frozen=True, eq=False)
class Tree:
    """A neighbor-joining tree of models.

    Attributes:
      root: the tree, unrooted in meaning; `root.nodes` has all branches with length and support.
      names: models of the tree.
      distances: `[m, m]` √JSD in bits, in the order of `names`.
      replicates: how many gave the support; 0 if none.
      left_out: models with missing scores.
    """

    root: Node
    names: tuple[str, ...]
    distances: Float64[np.ndarray, "m m"]
    replicates: int = 0
    left_out: tuple[str, ...] = ()


def row_profiles(
    scores: Float64[np.ndarray, "m m"], *, epsilon: float = EPSILON
) -> Float64[np.ndarray, "m m"]:
    """Rows of scores as distributions; a negative score, less than nothing in common, counts as 0.

    Args:
      scores: finite similarities, the diagonal included.
      epsilon: added to each, so that a row of zeros is even.

    Returns:
      Rows that sum to 1.

    Raises:
      ValueError: scores that are not finite, or an epsilon that is not positive.
    """
    if not np.isfinite(scores).all():
        raise ValueError("profiles need every score, those of models with themselves included")
    if not epsilon > 0:
        raise ValueError(f"epsilon must be positive: got {epsilon}")
    raised = np.maximum(scores, 0.0) + epsilon
    return raised / raised.sum(axis=1, keepdims=True)


def profile_distances(profiles: Float64[np.ndarray, "m j"]) -> Float64[np.ndarray, "m m"]:
    """√JSD of every two distributions, in bits: 0 for the same, 1 for disjoint ones."""
    if len(profiles) < 2:
        return np.zeros((len(profiles), len(profiles)))
    nats = np.asarray(pdist(profiles, "jensenshannon"))
    # Rounding can leave a radicand of −10⁻¹⁷ between equal profiles.
    return squareform(np.nan_to_num(nats, nan=0.0) / math.sqrt(math.log(2)))


def model_tree(
    scores: xr.DataArray,
    *,
    replicates: Iterable[xr.DataArray] = (),
    epsilon: float = EPSILON,
) -> Tree:
    """The tree of a matrix of similarities, with the support of its branches.

    Args:
      scores: `[model_a, model_b]` similarities, diagonal included. Models with missing scores are
        left out.
      replicates: the same scores over subsamples of the structures, over the same models at least.
      epsilon: of the profiles.

    Returns:
      The tree; without replicates the support is NaN.

    Raises:
      ValueError: scores that are no matrix over one set of models, no model with all its scores, or
        a replicate that lacks a score.
    """
    labels, values = read_scores(scores)
    names = tuple(labels[i] for i in _whole(values))
    if not names:
        raise ValueError("no model has a score with itself: a tree needs similarities with all")
    distances = _distances(scores, names, epsilon)
    root = neighbor_joining(distances, names)
    counts: dict[frozenset[str], int] = {}
    total = 0
    for replicate in replicates:
        apart = _distances(replicate, names, epsilon)
        for split in splits(neighbor_joining(apart, names), least=_least(apart)):
            counts[split] = counts.get(split, 0) + 1
        total += 1
    if total:
        root = _supported(root, counts, total)
    left_out = tuple(name for name in labels if name not in names)
    return Tree(root, names, distances, total, left_out)


def splits(root: Node, *, least: float = 0.0) -> dict[frozenset[str], Node]:
    """The inner branches of a tree, by the models on one side: that without the first name.

    Args:
      root: the tree.
      least: inner branches must be longer; those of zero length are choices among equals.

    Returns:
      Models on one side, at least two on both, → the node below the branch.
    """
    every = frozenset(root.leaves)
    found = {side_of(below, every): node for node, below in branches(root) if node.length > least}
    return {side: node for side, node in found.items() if 2 <= len(side) <= len(every) - 2}


def side_of(below: frozenset[str], every: frozenset[str]) -> frozenset[str]:
    """The side of a branch without the first name: both sides mean the same branch."""
    return every - below if min(every) in below else below


def newick(root: Node, *, digits: int = 6) -> str:
    """The tree in Newick format: quoted names, lengths, support in percent at inner nodes.

    Names with other characters than letters, digits, `.` and `-` are quoted, quotes in them
    doubled.
    """
    return _newick(root, digits, is_root=True) + ";"


def _newick(node: Node, digits: int, *, is_root: bool = False) -> str:
    length = "" if is_root else f":{node.length:.{digits}f}"
    if not node.children:
        return _quoted(node.name) + length
    inside = ",".join(_newick(child, digits) for child in node.children)
    support = "" if math.isnan(node.support) else f"{100 * node.support:.0f}"
    return f"({inside}){support}{length}"


def _quoted(name: str) -> str:
    if name and set(name) <= _PLAIN:
        return name
    return "'" + name.replace("'", "''") + "'"


def _whole(values: Float64[np.ndarray, "m m"]):
    """Rows of the models with all scores, that with themselves included."""
    own = np.flatnonzero(np.isfinite(np.diagonal(values)))
    return own[complete_models(values[np.ix_(own, own)])]


def _distances(
    scores: xr.DataArray, names: tuple[str, ...], epsilon: float
) -> Float64[np.ndarray, "m m"]:
    labels, values = read_scores(scores)
    missing = [name for name in names if name not in labels]
    if missing:
        raise ValueError(f"a replicate must hold all models of the tree: {missing[:3]} are missing")
    rows = [labels.index(name) for name in names]
    return profile_distances(row_profiles(values[np.ix_(rows, rows)], epsilon=epsilon))


def _least(distances: Float64[np.ndarray, "m m"]) -> float:
    return _SHORT * float(distances.max())


def _supported(root: Node, counts: dict[frozenset[str], int], total: int) -> Node:
    """The tree with the share of replicates on every inner branch."""
    inner = {id(node): side for side, node in splits(root, least=-1.0).items()}

    def visit(node: Node) -> Node:
        side = inner.get(id(node))
        support = math.nan if side is None else counts.get(side, 0) / total
        children = tuple(visit(child) for child in node.children)
        return dataclasses.replace(node, children=children, support=support)

    return visit(root)
