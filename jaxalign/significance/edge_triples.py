"""The ways in which three directed edges can share ends.

Six ends, two of an edge never the same, can be identified in 87 patterns, which are of 24 kinds:
the order of the edges and the names of the ends do not matter.
"""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

ENDS = 6
"""Of three edges."""

Pattern = tuple[int, ...]


class Kinds(NamedTuple):
    """All kinds, in one order.

    Attributes:
      counts: patterns of each kind.
      ends: different ends of each.
      apart: matrix from sums over ends that may coincide to sums over different ends.
    """

    counts: Float64[np.ndarray, " kinds"]
    ends: Int[np.ndarray, " kinds"]
    apart: Float64[np.ndarray, "kinds kinds"]


@functools.cache
def kinds_of_triples() -> Kinds:
    """All kinds of three edges."""
    patterns = _patterns()
    places = _places()
    kinds = np.array([places[_canonical(pattern)] for pattern in patterns])
    count = len(places)
    together = np.zeros((count, count))
    for kind, number in {kind: i for i, kind in enumerate(kinds.tolist())}.items():
        for other, coarser in zip(kinds, patterns, strict=True):
            together[kind, other] += _refines(patterns[number], coarser)
    ends = np.zeros(count, np.int64)
    ends[kinds] = [max(pattern) + 1 for pattern in patterns]
    # A sum with coincidences is one over all coarser patterns: integers, inverted exactly.
    apart = np.rint(np.linalg.inv(together))
    return Kinds(np.bincount(kinds).astype(np.float64), ends, apart)


@functools.cache
def _places() -> dict[Pattern, int]:
    return {kind: i for i, kind in enumerate(sorted(set(map(_canonical, _patterns()))))}


def place_of(example: Pattern) -> int:
    """Number of the kind of a pattern: ends of the first, the second and the third edge."""
    return _places()[_canonical(example)]


def _patterns() -> list[Pattern]:
    """Ways to identify six ends, no edge with both ends the same: ends numbered as they come."""
    numbered = itertools.product(*(range(end + 1) for end in range(ENDS)))
    found = {_renumbered(ends) for ends in numbered}
    return sorted(p for p in found if p[0] != p[1] and p[2] != p[3] and p[4] != p[5])


def _renumbered(ends: Pattern) -> Pattern:
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(end, len(numbers)) for end in ends)


def _canonical(ends: Pattern) -> Pattern:
    """The same for all orders of the edges and all names of the ends."""
    edges = ends[0:2], ends[2:4], ends[4:6]
    return min(_renumbered(sum(order, ())) for order in itertools.permutations(edges))


def _refines(fine: Pattern, coarse: Pattern) -> bool:
    """Whether ends that are one in the first pattern are one in the second."""
    return len(set(zip(fine, coarse, strict=True))) == len(set(fine))
