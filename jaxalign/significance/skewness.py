"""Third moment of a score over all permutations of one model's structures, in closed form.

The null of Γ_π = Σ_ij a_ij b_π(i)π(j) is not normal where few edges are shared (k small: a Poisson
number of them) or where some structures are neighbors of very many (hubs): it has a long upper
tail. With both matrices centered to a mean of zero off the diagonal,

    E[(Γ − E Γ)³] = Σ_c m_c n⁽ᵛ⁾ ⟨aaa⟩_c ⟨bbb⟩_c,

where c runs over the 24 ways in which three directed edges can share ends (v different ends; m_c
of the 87 identifications of six ends are of this kind), and ⟨aaa⟩_c is the mean of a_ij a_kl a_pq
over all different structures at these ends. Sums over ends that may coincide are simple (Σ_i r_i³
over row sums for three edges from one structure); those over different ends follow from them.

References:
  Siemiatycki: Journal of Mathematical Biology 6, 179 (1978); Mielke: Biometrics 35, 813 (1979)
  (higher moments of Γ for symmetric matrices).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int
from scipy import sparse

from jaxalign.significance.edge_triples import ENDS, kinds_of_triples, place_of

TRIANGLE_WORK = 1 << 18
"""Pairs of edges that are looked at for triangles; of larger graphs, those of a few structures."""

# Kinds of three edges, each by one example: ends of the first, the second and the third edge.
_STARS = {
    "out out out": (0, 1, 0, 2, 0, 3),
    "out out in": (0, 1, 0, 2, 3, 0),
    "out in in": (0, 1, 2, 0, 3, 0),
    "in in in": (1, 0, 2, 0, 3, 0),
}
_PATHS = {
    ("out", "out"): (0, 1, 0, 2, 1, 3),
    ("out", "in"): (0, 1, 0, 2, 3, 1),
    ("in", "out"): (0, 1, 2, 0, 1, 3),
    ("in", "in"): (0, 1, 2, 0, 3, 1),
}
_DOUBLED = {
    ("rows", "out"): (0, 1, 0, 1, 0, 2),
    ("rows", "in"): (0, 1, 0, 1, 2, 0),
    ("columns", "out"): (0, 1, 0, 1, 1, 2),
    ("columns", "in"): (0, 1, 0, 1, 2, 1),
    ("mutual", "out"): (0, 1, 1, 0, 0, 2),
    ("mutual", "in"): (0, 1, 1, 0, 2, 0),
}
_TRANSITIVE, _CYCLE = (0, 1, 1, 2, 0, 2), (0, 1, 1, 2, 2, 0)
_CUBE, _CUBE_MUTUAL = (0, 1, 0, 1, 0, 1), (0, 1, 0, 1, 1, 0)


class _Vectors(NamedTuple):
    """Sums over one end of a centered matrix c, for every structure.

    Attributes:
      out: Σ_j c_ij.
      into: Σ_j c_ji.
      rows: Σ_j c_ij².
      columns: Σ_j c_ji².
      mutual: Σ_j c_ij c_ji.
    """

    out: Float64[np.ndarray, " n"]
    into: Float64[np.ndarray, " n"]
    rows: Float64[np.ndarray, " n"]
    columns: Float64[np.ndarray, " n"]
    mutual: Float64[np.ndarray, " n"]


def third_moment(
    n: int, a: Float64[np.ndarray, " kinds"], b: Float64[np.ndarray, " kinds"]
) -> float:
    """E[(Γ − E Γ)³] over all permutations.

    Args:
      n: structures.
      a: means of the first matrix, of `edge_triples`.
      b: means of the second one.

    Returns:
      In units of Γ³; NaN below six structures.
    """
    kinds = kinds_of_triples()
    if n < ENDS:  # some means are over nothing
        return math.nan
    falling = np.array([math.perm(n, v) for v in kinds.ends.tolist()], np.float64)
    return float(np.sum(kinds.counts * falling * a * b))


def edge_triples(
    ids: Int[np.ndarray, "n k"],
    reverse: Int[np.ndarray, "n k"],
    weights: Float64[np.ndarray, "n k"],
) -> Float64[np.ndarray, " kinds"]:
    """Means over triples of entries of a matrix that has entries on the edges of a graph alone.

    Args:
      ids: neighbors of every structure.
      reverse: position of i in the list of `ids[i, a]`, or −1.
      weights: the entries.

    Returns:
      One mean a kind, of the centered matrix, in O(n·k); triangles of large graphs are counted at
      a sample of structures.
    """
    n = len(ids)
    total = float(weights.sum())
    mean = total / (n * (n - 1))
    back = np.where(reverse >= 0, weights[ids, np.maximum(reverse, 0)], 0.0)

    def into(values):
        return np.bincount(ids.ravel(), values.ravel(), minlength=n)

    out, columns, mutual = weights.sum(axis=1), into(weights), (weights * back).sum(axis=1)
    square = np.square(weights)
    rest = mean**2 * (n - 1)
    vectors = _Vectors(
        out=out - mean * (n - 1),
        into=columns - mean * (n - 1),
        rows=square.sum(axis=1) - 2 * mean * out + rest,
        columns=into(square) - 2 * mean * columns + rest,
        mutual=mutual - mean * (out + columns) + rest,
    )

    def along(g):  # Σ_j c_ij g_j of a g that sums to zero
        return (weights * g[ids]).sum(axis=1) + mean * g

    squares, mutuals = float(square.sum()), float(mutual.sum())
    cubes = float((square * weights).sum()), float((square * back).sum())
    constant = 3 * mean**2 * total - mean**3 * n * (n - 1)
    ahead = float((out * columns).sum()) - mutuals
    forks = float(np.square(out).sum() + np.square(columns).sum()) - 2 * squares
    closed, cycles = _triangles(ids, weights)
    outside = 3 * mean**2 * total * (n - 2) - mean**3 * math.perm(n, 3)
    return _means(
        n,
        vectors,
        along,
        cubes=(
            cubes[0] - 3 * mean * squares + constant,
            cubes[1] - mean * (squares + 2 * mutuals) + constant,
        ),
        triangles=(
            closed - mean * (ahead + forks) + outside,
            cycles - 3 * mean * ahead + outside,
        ),
    )


def _means(n, vectors: _Vectors, along, *, cubes, triangles) -> Float64[np.ndarray, " kinds"]:
    """From sums over ends that may coincide to means over different ends."""
    ends = {"out": vectors.out, "in": vectors.into}
    reached = {word: along(values) for word, values in ends.items()}
    sums = {_CUBE: cubes[0], _CUBE_MUTUAL: cubes[1]}
    sums |= {_TRANSITIVE: triangles[0], _CYCLE: triangles[1]}
    for words, example in _STARS.items():
        sums[example] = float(np.prod([ends[word] for word in words.split()], axis=0).sum())
    for (first, second), example in _PATHS.items():
        sums[example] = float(ends[first] @ reached[second])
    for (name, end), example in _DOUBLED.items():
        sums[example] = float(np.sum(getattr(vectors, name) * ends[end]))
    kinds = kinds_of_triples()
    # An edge that shares no end with another one contributes the sum of the matrix, which is 0.
    found = np.zeros(len(kinds.ends))
    for example, value in sums.items():
        found[place_of(example)] = value
    counts = [max(1, math.perm(n, v)) for v in kinds.ends.tolist()]
    return (kinds.apart @ found) / np.array(counts, np.float64)


def _triangles(
    ids: Int[np.ndarray, "n k"], weights: Float64[np.ndarray, "n k"]
) -> tuple[float, float]:
    """Σ a_ij a_jl a_il and Σ a_ij a_jl a_li; estimated from some rows where there are many."""
    n, k = ids.shape
    starts = np.arange(0, n * k + 1, k)
    matrix = sparse.csr_array((weights.ravel(), ids.ravel(), starts), shape=(n, n))
    count = max(1, min(n, TRIANGLE_WORK // k**2))
    rows = np.arange(n) if count == n else np.random.default_rng(0).permutation(n)[:count]
    ahead = matrix[rows]
    place = np.full(n, -1)
    place[rows] = np.arange(count)
    owners, numbers = np.nonzero(place[ids] >= 0)
    ends = place[ids[owners, numbers]], owners
    back = sparse.csr_array((weights[owners, numbers], ends), shape=(count, n))
    steps = ahead @ matrix
    return tuple(float(steps.multiply(side).sum()) * n / count for side in (ahead, back))
