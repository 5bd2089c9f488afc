"""Which models stand next to each other: average linkage, whatever order the models came in."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

# Optimal leaf ordering takes O(M³) time and more; beyond this the plain leaf order is used.
_MAX_OPTIMAL = 250
_LOOSE = 0.95  # share of the root's height above which a merge holds nothing together


@dataclasses.dataclass(frozen=True, eq=False)
class Clustering:
    """The order of the models and the tree over them.

    Attributes:
      order: `[m]` row numbers of the input, first to last on the page. Models without a single
        finite value stand last and are not in the tree.
      brackets: one per merge, `(positions, heights)`: the four corner points of the bracket that
        joins two branches; position 0 is the first model on the page.
      height: dissimilarity of the last merge; 0 without a tree.
    """

    order: Int[np.ndarray, " m"]
    brackets: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]
    height: float


def dissimilarity(
    values: Float[np.ndarray, "m m"], *, similarity: bool, best: float = 1.0
) -> Float[np.ndarray, "m m"]:
    """Symmetric dissimilarities from scores: d = best − (s + sᵀ)/2, or (s + sᵀ)/2 for distances.

    Args:
      values: scores of all pairs; NaN where not computed.
      similarity: whether larger means more alike.
      best: the score of a perfect match; ignored for distances.

    Returns:
      Symmetric matrix with zero diagonal. A pair of which one direction is finite takes that one;
      NaN where neither is.
    """
    both = np.stack([values, values.T])
    finite = np.isfinite(both)
    count = finite.sum(axis=0)
    mean = np.where(finite, both, 0.0).sum(axis=0) / np.maximum(count, 1)
    mean = np.where(count > 0, mean, np.nan)
    result = best - mean if similarity else mean
    np.fill_diagonal(result, 0.0)
    return result


def cluster(distances: Float[np.ndarray, "m m"], *, ids: Sequence[str]) -> Clustering:
    """Average linkage with optimal leaf ordering, independent of the order of the models.

    The models are sorted by id first, and of the two mirror images of the tree the one whose first
    half is more alike is taken (for equals: the one with the smaller first id); branches that join
    only near the root stand last. Pairs without a value count as the largest dissimilarity
    present, so they join last.

    Args:
      distances: symmetric dissimilarities; NaN where not computed; the diagonal is ignored.
      ids: unique model ids, one a row.

    Returns:
      The order and the brackets of the dendrogram.

    References:
      Bar-Joseph, Gifford, Jaakkola (2001), "Fast optimal leaf ordering for hierarchical
      clustering", Bioinformatics 17.
    """
    by_id = np.array(sorted(range(len(ids)), key=lambda i: ids[i]), np.int64)
    outside = distances[np.ix_(by_id, by_id)].copy()
    np.fill_diagonal(outside, np.nan)
    known = np.isfinite(outside).any(axis=1)
    rows, lost = by_id[known], by_id[~known]
    if len(rows) < 2:
        return Clustering(order=by_id, brackets=(), height=0.0)
    filled = outside[np.ix_(known, known)]
    filled = np.where(np.isfinite(filled), filled, np.nanmax(filled))
    np.fill_diagonal(filled, 0.0)
    # Debiased scores may pass the best value by a rounding error: no negative dissimilarities.
    condensed = np.maximum(squareform(filled, checks=False), 0.0)
    tree = linkage(condensed, method="average")
    if len(rows) <= _MAX_OPTIMAL:
        tree = optimal_leaf_ordering(tree, condensed)
    leaves = _loose_last(leaves_list(tree).astype(np.int64), tree, filled)
    return Clustering(
        order=np.concatenate([rows[leaves], lost]),
        brackets=_brackets(tree, leaves),
        height=float(tree[-1, 2]),
    )


def _mirrored(
    leaves: Int[np.ndarray, " some"], d: Float[np.ndarray, "m m"]
) -> Int[np.ndarray, " some"]:
    """Of an order and its mirror image, the one that starts with the more aligned models."""
    # Rounded: the sums of the two halves may differ in the last bit alone.
    total = np.round(d[np.ix_(leaves, leaves)].sum(axis=1), 9)
    half = len(leaves) // 2
    if not half:
        return leaves
    first, last = total[:half].sum(), total[len(total) - half :].sum()
    if np.isclose(first, last, rtol=1e-9, atol=1e-12):
        return leaves if leaves[0] < leaves[-1] else leaves[::-1]
    return leaves if first < last else leaves[::-1]


def _loose_last(
    leaves: Int[np.ndarray, " m"], tree: Float[np.ndarray, "merges 4"], d: Float[np.ndarray, "m m"]
) -> Int[np.ndarray, " m"]:
    """Moves branches that join only near the root to the end; no bracket crosses another.

    Controls such as noise are equally far from everything: the optimal order then leaves them at
    the one end or the other by rounding alone, and they would frame the matrix.
    """
    count = len(leaves)
    members: list[set[int]] = [{i} for i in range(count)]
    for left, right, *_ in tree:
        members.append(members[int(left)] | members[int(right)])
    core, tail = len(members) - 1, []
    while core >= count and tree[core - count, 2] >= _LOOSE * tree[-1, 2]:
        children = [int(child) for child in tree[core - count, :2]]
        core, loose = sorted(
            children,
            key=lambda c: (
                -len(members[c]),
                np.round(np.mean(d[sorted(members[c])]), 9),
                min(members[c]),
            ),
        )
        tail = [leaf for leaf in leaves if leaf in members[loose]] + tail
    kept = np.array([leaf for leaf in leaves if leaf in members[core]], np.int64)
    return np.concatenate([_mirrored(kept, d), np.array(tail, np.int64)])


def _brackets(
    tree: Float[np.ndarray, "merges 4"], leaves: Int[np.ndarray, " m"]
) -> tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]:
    count = len(leaves)
    position = np.zeros(count + len(tree))
    position[leaves] = np.arange(count)
    height = np.zeros(count + len(tree))
    brackets = []
    for merge, (left, right, level, _) in enumerate(tree):
        left, right = int(left), int(right)
        position[count + merge] = (position[left] + position[right]) / 2
        height[count + merge] = level
        corners = (position[left], position[left], position[right], position[right])
        heights = (height[left], level, level, height[right])
        brackets.append((tuple(map(float, corners)), tuple(map(float, heights))))
    return tuple(brackets)
