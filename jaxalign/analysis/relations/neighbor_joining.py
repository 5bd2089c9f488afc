"""Neighbor joining: the unrooted tree whose path lengths come near given distances.

While more than three nodes are left, the pair with the least

    Q_ij = (r − 2) d_ij − Σ_k d_ik − Σ_k d_jk

is joined to a new node u with branches δ_iu = d_ij/2 + (Σ_k d_ik − Σ_k d_jk)/(2(r − 2)) and
δ_ju = d_ij − δ_iu, at distances d_uk = (d_ik + d_jk − d_ij)/2 from the others. Distances that are
path lengths of a tree give back that tree.

A negative branch, which noise can make, is set to zero and its sister to d_ij, so that the path
between both keeps its length. Among equal Q the pair with the first labels in alphabetical order is
joined, whatever order the models came in.

References:
  Saitou, Nei: Mol. Biol. Evol. 4, 406 (1987); Studier, Keppler: Mol. Biol. Evol. 5, 729 (1988);
  Kuhner, Felsenstein: Mol. Biol. Evol. 11, 459 (1994), negative branches.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

_SAME = 1e-10  # values of Q closer than this, relative to the largest distance, are equal


@dataclasses.dataclass(frozen=True)
class Node:
    """A leaf, or a node with its branches.

    Attributes:
      name: of the model; "" of inner nodes.
      length: of the branch towards the root; 0 of the root itself.
      children: nodes below, in alphabetical order of their first leaves.
      support: share of the replicates that have this branch; NaN where unknown or of a leaf.
    """

    name: str = ""
    length: float = 0.0
    children: tuple[Node, ...] = ()
    support: float = math.nan

    @property
    def leaves(self) -> tuple[str, ...]:
        """Names of the models below, or of this one."""
        if not self.children:
            return (self.name,)
        return tuple(name for child in self.children for name in child.leaves)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """This node and all below, parents first."""
        return (self, *(node for child in self.children for node in child.nodes))


def branches(root: Node) -> list[tuple[Node, frozenset[str]]]:
    """Every node and the models below it, parents last."""
    found: list[tuple[Node, frozenset[str]]] = []

    def visit(node: Node) -> frozenset[str]:
        below = frozenset([node.name]) if not node.children else frozenset()
        below = below.union(*(visit(child) for child in node.children))
        found.append((node, below))
        return below

    visit(root)
    return found


def neighbor_joining(distances: Float64[np.ndarray, "m m"], names: Sequence[str]) -> Node:
    """The neighbor-joining tree, rooted for display alone at its last join.

    Args:
      distances: symmetric, finite, zero diagonal.
      names: different labels, one a row.

    Returns:
      The root: of three children, or of as many as there are models if these are fewer.

    Raises:
      ValueError: no model, labels that are not different, or distances that are none.
    """
    _check(distances, names)
    order = sorted(range(len(names)), key=lambda i: names[i])
    nodes = [Node(names[i]) for i in order]
    d = distances[np.ix_(order, order)].astype(np.float64)
    slack = _SAME * max(float(d.max()), np.finfo(np.float64).tiny)
    while len(nodes) > 3:
        r, sums = len(nodes), d.sum(axis=1)
        q = (r - 2) * d - sums[:, None] - sums[None, :]
        q[np.tril_indices(r)] = np.inf  # nodes stay in the order of their first leaves
        i, j = np.argwhere(q <= q.min() + r * slack)[0]
        apart = max(d[i, j], 0.0)  # of inner nodes it can be negative
        length = d[i, j] / 2 + (sums[i] - sums[j]) / (2 * (r - 2))
        length = min(max(length, 0.0), apart)
        joined = Node(children=(_placed(nodes[i], length), _placed(nodes[j], apart - length)))
        distant = (d[i] + d[j] - d[i, j]) / 2
        d[i], d[:, i], d[i, i] = distant, distant, 0.0
        d = np.delete(np.delete(d, j, axis=0), j, axis=1)
        nodes[i] = joined
        del nodes[j]
    return _last(nodes, d)


def _last(nodes: list[Node], d: Float64[np.ndarray, "r r"]) -> Node:
    """The root over the last one, two or three nodes."""
    if len(nodes) == 1:
        return nodes[0]
    if len(nodes) == 2:
        lengths = [d[0, 1] / 2] * 2
    else:
        half = (d[0, 1] + d[0, 2] + d[1, 2]) / 2
        lengths = [half - d[1, 2], half - d[0, 2], half - d[0, 1]]
    children = [_placed(n, max(length, 0.0)) for n, length in zip(nodes, lengths, strict=True)]
    return Node(children=tuple(children))


def _placed(node: Node, length: float) -> Node:
    return dataclasses.replace(node, length=float(length))


def _check(distances: np.ndarray, names: Sequence[str]) -> None:
    if len(names) < 1 or len(set(names)) < len(names) or len(names) != len(distances):
        raise ValueError(
            f"a tree needs one different name a row: got {list(names)[:5]} for "
            f"{len(distances)} rows"
        )
    whole = np.isfinite(distances).all() and not np.diagonal(distances).any()
    if not whole or not np.allclose(distances, distances.T, rtol=1e-9, atol=1e-12):
        raise ValueError(
            "distances must be finite and symmetric with a zero diagonal; leave out models with "
            "missing scores"
        )
