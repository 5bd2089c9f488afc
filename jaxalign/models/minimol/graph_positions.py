"""Where an atom sits in its molecular graph: Laplacian modes and returns of random walks.

With the adjacency A and the diagonal matrix D of degrees:

    (D − A) v = λ v                   the 8 smallest λ, the constant mode among them
    p_k = diag((D⁻¹ A)^k)             k = 1 … 16, the chance to be back after k steps

Nothing fixes the sign of a mode, nor the basis of equal eigenvalues. MiniMol was trained on those
that LAPACK's *general* solver returns for the graph as it is numbered, and so are these: they are
not the same on every processor.

References:
  Dwivedi et al., "Benchmarking graph neural networks", JMLR 24, 43 (2023), section on positional
  encodings; Dwivedi et al., "Graph neural networks with learnable structural and positional
  representations", ICLR 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.linalg
from jaxtyping import Float

MODES = 8
STEPS = 16
_SMALLEST_NORM = 1e-4

Pairs = Sequence[tuple[int, int]]


def adjacency(atoms: int, pairs: Pairs) -> Float[np.ndarray, "atoms atoms"]:
    """Symmetric matrix of ones where two atoms are bonded.

    Args:
      atoms: number of atoms.
      pairs: the two atoms of each bond.

    Returns:
      `[atoms, atoms]` float64.
    """
    matrix = np.zeros((atoms, atoms))
    if pairs:
        first, second = np.array(pairs).T
        matrix[first, second] = matrix[second, first] = 1
    return matrix


def fragments(atoms: int, pairs: Pairs) -> list[list[int]]:
    """Atoms of each connected part, in the order in which the original hands them to LAPACK.

    The original collects each part in a Python set and then iterates over it. For small numbers
    that order is nearly ascending, but it depends on when a number was added, so the search here
    visits atoms as the original's does: breadth first, neighbors in the order of the bonds.

    Args:
      atoms: number of atoms.
      pairs: the two atoms of each bond, in order.

    Returns:
      One list a part.
    """
    neighbors: list[dict[int, None]] = [{} for _ in range(atoms)]
    for first, second in pairs:
        neighbors[first][second] = None
        neighbors[second][first] = None
    parts, done = [], set()
    for root in range(atoms):
        if root in done:
            continue
        part, level = {root}, [root]
        while level:
            found = []
            for atom in level:
                for other in neighbors[atom]:
                    if other not in part:
                        part.add(other)
                        found.append(other)
            level = found
        done |= part
        parts.append(list(part))
    return parts


def laplacian_modes(
    matrix: Float[np.ndarray, "atoms atoms"], parts: Sequence[Sequence[int]]
) -> tuple[Float[np.ndarray, "atoms 8"], Float[np.ndarray, "atoms 8"]]:
    """Lowest eigenvalues and eigenvectors of the graph Laplacian, each part by itself.

    Args:
      matrix: adjacency matrix.
      parts: what `fragments` gives.

    Returns:
      Eigenvalues of the atom's part, the same for all its atoms, and the atom's entries of the
      eigenvectors; zeros where a part has fewer than eight atoms. Rounded to half precision.
    """
    laplacian = np.diag(matrix.sum(axis=1)) - matrix
    if len(parts) == 1:
        values, vectors = _lowest_modes(laplacian)
        return half_precision(np.repeat(values[None], len(matrix), 0)), half_precision(vectors)
    values, vectors = np.zeros((len(matrix), MODES)), np.zeros((len(matrix), MODES))
    for part in parts:
        rows = list(part)
        values[rows], vectors[rows] = _lowest_modes(laplacian[np.ix_(rows, rows)])
    return half_precision(values), half_precision(vectors)


def _lowest_modes(laplacian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Not `eigh`, which has other signs and bases. This solver can return equal eigenvalues as a
    # pair of complex ones; then also the "norms" are complex, and real parts may exceed 1, as in
    # the original.
    found, columns = scipy.linalg.eig(laplacian, check_finite=False)
    order = found.argsort()[:MODES]
    values, vectors = np.zeros(MODES), np.zeros((len(laplacian), MODES))
    chosen = columns[:, order]
    norms = np.sqrt(np.sum(chosen**2, axis=0, keepdims=True))
    values[: len(order)] = found[order].real
    vectors[:, : len(order)] = (chosen / np.maximum(norms, _SMALLEST_NORM)).real
    return values, vectors


def walk_returns(matrix: Float[np.ndarray, "atoms atoms"]) -> Float[np.ndarray, "atoms 16"]:
    """Chances that a random walk along bonds is back at its atom after 1 … 16 steps.

    As in the original, an atom that is the whole graph is always back, but one without bonds beside
    others never is.

    Args:
      matrix: adjacency matrix.

    Returns:
      `[atoms, 16]`, rounded to half precision.
    """
    if len(matrix) == 1:
        return np.ones((1, STEPS), np.float32)
    degrees = matrix.sum(axis=1, keepdims=True).astype(np.float32)
    step = (matrix / np.where(degrees > 0, degrees, np.inf)).astype(np.float32)
    # Power by power in float32 like the original: float64 rounds to another half more often.
    power, returns = step, np.empty((len(matrix), STEPS), np.float32)
    for column in range(STEPS):
        returns[:, column] = np.diagonal(power)
        power = power @ step
    return half_precision(returns)


def half_precision(values: np.ndarray) -> np.ndarray:
    """Rounds to float32 and then to float16, which the original stores; returned as float32."""
    return values.astype(np.float32).astype(np.float16).astype(np.float32)
