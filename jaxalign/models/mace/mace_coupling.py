"""Generalized couplings of several equal sides, as symmetric contractions take them.

A coupling of ν sides to degree L chains couplings of two (`tensor_products`):
(((l₁ l₂) l₁₂ l₃) l₁₂₃ …) L, one for each way through the intermediate degrees.

References:
  Batatia et al., "MACE", NeurIPS 35, 11423 (2022), eq. 10.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jaxalign.models.atomistic.tensor_products import Path, coupling_tensor


def degrees_of(first: int, second: int) -> range:
    """Degrees that two sides of these degrees couple to."""
    return range(abs(first - second), first + second + 1)


def generalized_couplings(
    degrees: Sequence[int], *, order: int, degree: int
) -> Float[np.ndarray, "m *components paths"]:
    """All couplings of `order` equal sides that keep the parity of harmonics.

    Args:
      degrees: degrees of one side, whose components follow one another.
      order: number of sides.
      degree: L of the result.

    Returns:
      `[2 L + 1, D, …, D, paths]`, D components on each of the `order` sides.
    """
    offsets = np.cumsum([0, *(2 * side + 1 for side in degrees)]).tolist()
    # (degree reached, sum of the degrees on the way, tensor [m, D, …, D])
    chains = [(0, 0, np.ones((1,)))]
    for step in range(order):
        chains = [
            (reached, total + side, _extend(tensor, before, side, reached, start, offsets[-1]))
            for before, total, tensor in chains
            for side, start in zip(degrees, offsets, strict=False)
            for reached in degrees_of(before, side)
            if step < order - 1 or (reached == degree and (total + side - degree) % 2 == 0)
        ]
    return np.stack([tensor for _, _, tensor in chains], axis=-1)


def _extend(
    tensor: np.ndarray, before: int, degree: int, reached: int, start: int, width: int
) -> np.ndarray:
    table = coupling_tensor(Path(before, degree, reached)) * math.sqrt(2 * reached + 1)
    grown = np.zeros((2 * reached + 1, *tensor.shape[1:], width))
    grown[..., start : start + 2 * degree + 1] = np.einsum("a...,abc->c...b", tensor, table)
    return grown
