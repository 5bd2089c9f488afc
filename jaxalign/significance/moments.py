"""Mean and variance of a score over all permutations of one model's structures, in closed form.

Every graph numerator and every Gram score is Γ = Σ_ij a_ij b_ij of two matrices with zero diagonal:
a mask of neighbors, a mask times a centered kernel, a centered matrix of distances. If the
structures of b are relabelled by a random permutation π, the mean and variance of
Γ_π = Σ_ij a_ij b_π(i)π(j) need six sums of each matrix. With n⁽ʲ⁾ = n(n−1)…(n−j+1), primes for b,

    S = Σ a_ij,  R₂ = Σ a_ij²,  T = Σ a_ij a_ji,
    A₃ = Σ (row sum)² − R₂,  A₄ = Σ (column sum)² − R₂,  A₅ = Σ row sum · column sum − T,
    A₆ = S² − R₂ − T − A₃ − A₄ − 2 A₅:

    E[Γ]  = S S'/n⁽²⁾,
    E[Γ²] = (R₂R₂' + TT')/n⁽²⁾ + (A₃A₃' + A₄A₄' + 2 A₅A₅')/n⁽³⁾ + A₆A₆'/n⁽⁴⁾.

A₃ … A₆ are sums over pairs of entries that share a row, a column, an end, nothing. Matrices with a
diagonal, doubly centered, have a form of their own (`centered_pair`).

References:
  Mantel: Cancer Research 27, 209 (1967), appendix (moments of Γ); Kazi-Aoual, Hitier, Sabatier,
  Lebreton: Computational Statistics & Data Analysis 20, 643 (1995), eq. for centered matrices.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int


class PermutationMoments(NamedTuple):
    """Mean and standard deviation of a term over all permutations."""

    mean: float
    sd: float


class MatrixMoments(NamedTuple):
    """The six sums of one matrix with zero diagonal; see the module for the letters.

    Attributes:
      n: rows.
      total: S.
      squares: R₂.
      transposed: T.
      rows: A₃.
      columns: A₄.
      paths: A₅.
    """

    n: int
    total: float
    squares: float
    transposed: float
    rows: float
    columns: float
    paths: float

    @property
    def apart(self) -> float:
        """A₆: products of entries without a common index."""
        near = self.squares + self.transposed + self.rows + self.columns + 2 * self.paths
        return self.total**2 - near


def permutation_moments(a: MatrixMoments, b: MatrixMoments) -> PermutationMoments:
    """Mean and standard deviation of Γ over all permutations of the structures of b.

    Args:
      a: sums of the first matrix.
      b: sums of the second one, of as many rows.

    Returns:
      Both in units of Γ.

    Raises:
      ValueError: the matrices are not of one size.
    """
    if a.n != b.n:
        raise ValueError(f"matrices must be of one size: got {a.n} and {b.n} rows")
    two, three, four = (_falling(a.n, j) for j in (2, 3, 4))
    mean = a.total * b.total / two
    second = (a.squares * b.squares + a.transposed * b.transposed) / two
    if three:
        shared = a.rows * b.rows + a.columns * b.columns + 2 * a.paths * b.paths
        second += shared / three
    if four:
        second += a.apart * b.apart / four
    return PermutationMoments(mean, math.sqrt(max(second - mean**2, 0.0)))


def edge_moments(
    ids: Int[np.ndarray, "n k"],
    reverse: Int[np.ndarray, "n k"],
    weights: Float64[np.ndarray, "n k"],
) -> MatrixMoments:
    """Sums of a matrix that has entries on the edges of a neighbor graph alone.

    Args:
      ids: neighbors of every structure.
      reverse: position of i in the list of `ids[i, a]`, or −1.
      weights: the entries.

    Returns:
      Its six sums, in O(n·k).
    """
    rows = weights.sum(axis=1)
    columns = np.bincount(ids.ravel(), weights.ravel(), minlength=len(ids))
    squares = float(np.square(weights).sum())
    back = weights[ids, np.maximum(reverse, 0)]
    transposed = float(np.sum(weights * back, where=reverse >= 0))
    return MatrixMoments(
        n=len(ids),
        total=float(rows.sum()),
        squares=squares,
        transposed=transposed,
        rows=float(np.square(rows).sum()) - squares,
        columns=float(np.square(columns).sum()) - squares,
        paths=float((rows * columns).sum()) - transposed,
    )


def symmetric_moments(n: int, *, squares: float, row_squares: float) -> MatrixMoments:
    """Sums of a symmetric matrix whose entries sum to zero.

    Args:
      n: rows.
      squares: Σ_{i≠j} a_ij².
      row_squares: Σ_i (Σ_j a_ij)²; 0 for U-centered matrices, all of whose rows sum to zero.
    """
    near = row_squares - squares
    return MatrixMoments(n, 0.0, squares, squares, near, near, near)


class CenteredMoments(NamedTuple):
    """Sums of a doubly centered symmetric matrix: every row and column sums to zero.

    Attributes:
      n: rows.
      trace: Σ_i a_ii.
      squares: Σ_ij a_ij², diagonal included.
      diagonal_squares: Σ_i a_ii².
    """

    n: int
    trace: float
    squares: float
    diagonal_squares: float


def centered_pair(a: CenteredMoments, b: CenteredMoments) -> PermutationMoments:
    """Mean and standard deviation of Σ_ij a_ij b_π(i)π(j), diagonals included, over all π.

    With T, T₂, S₂ the trace, the sum of squares and that of the diagonal:

        E = T T'/(n−1),
        V = 2 [(n−1)T₂ − T²] [(n−1)T₂' − T'²] / ((n−1)²(n+1)(n−2))
          + [n(n+1)S₂ − (n−1)(T² + 2T₂)] […]' / ((n+1)n(n−1)(n−2)(n−3)).

    Args:
      a: sums of the first matrix.
      b: sums of the second one, of as many rows.

    Returns:
      Both in units of Γ; a standard deviation of NaN below n = 4.

    Raises:
      ValueError: the matrices are not of one size.
    """
    if a.n != b.n:
        raise ValueError(f"matrices must be of one size: got {a.n} and {b.n} rows")
    n = a.n
    mean = a.trace * b.trace / (n - 1)
    if n < 4:
        return PermutationMoments(mean, math.nan)

    def spread(m: CenteredMoments) -> float:
        return (n - 1) * m.squares - m.trace**2

    def uneven(m: CenteredMoments) -> float:
        even = (n - 1) * (m.trace**2 + 2 * m.squares)
        return n * (n + 1) * m.diagonal_squares - even

    variance = 2 * spread(a) * spread(b) / ((n - 1) ** 2 * (n + 1) * (n - 2))
    variance += uneven(a) * uneven(b) / ((n + 1) * _falling(n, 4))
    return PermutationMoments(mean, math.sqrt(max(variance, 0.0)))


def _falling(n: int, j: int) -> int:
    """n(n−1)…(n−j+1), exact."""
    return math.perm(n, j)
