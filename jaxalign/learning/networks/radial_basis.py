"""Distances between all atoms of a molecule, and smooth functions of them that end at a cutoff.

    φ_k(r) = √(2/c) sin(k π r / c) / r · u(r/c),      k = 1 … K
    u(x)   = 1 − 28 x⁶ + 48 x⁷ − 21 x⁸ for x < 1, else 0

u and its first two derivatives vanish at the cutoff, so nothing jumps when an atom crosses it.

All pairs are kept, in the layout `[batch, atoms, atoms]`: sums over neighbors are then products of
matrices. Of molecules as small as those of QM9 nine pairs in ten are within 5 Å, and a minibatch
must have room for the largest molecules anyway: on CPUs a step takes as long as one with lists of
edges and `segment_sum` at 32 channels, and half as long at 64.

References:
  Gasteiger, Groß, Günnemann, "Directional message passing for molecular graphs", ICLR 2020,
  eqs. 7 and 8 (with p = 6).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Pairs(NamedTuple):
    """Geometry of all pairs of atoms of a batch.

    Attributes:
      vectors: r_j − r_i at `[b, i, j]`, Å.
      lengths: distances, Å; the cutoff where there is no pair.
      within: pairs of two different real atoms nearer than the cutoff.
    """

    vectors: Float[Array, "batch atoms atoms 3"]
    lengths: Float[Array, "batch atoms atoms"]
    within: Bool[Array, "batch atoms atoms"]


def all_pairs(
    positions: Float[Array, "batch atoms 3"], mask: Bool[Array, "batch atoms"], *, cutoff: float
) -> Pairs:
    """Pairs of atoms of each structure.

    Args:
      positions: Å.
      mask: which atoms are real.
      cutoff: Å.

    Returns:
      The pairs.
    """
    vectors = positions[:, None, :, :] - positions[:, :, None, :]
    squares = jnp.sum(vectors * vectors, axis=-1)
    others = ~jnp.eye(mask.shape[1], dtype=bool)[None]
    within = mask[:, :, None] & mask[:, None, :] & others & (squares < cutoff**2)
    # The square root of 0 has no derivative: it must not be taken on the diagonal.
    lengths = jnp.sqrt(jnp.where(within, squares, cutoff**2))
    return Pairs(vectors, lengths, within)


def radial_functions(
    pairs: Pairs, *, count: int, cutoff: float
) -> Float[Array, "batch atoms k atoms"]:
    """The functions φ_1 … φ_K of all pairs; 0 where there is none within the cutoff.

    Args:
      pairs: from `all_pairs`.
      count: number K of functions. Static.
      cutoff: Å.

    Returns:
      φ_k(r_ij) at `[b, i, k, j]`: the layout of a product of matrices over the neighbors j.
    """
    x = pairs.lengths / cutoff
    scale = jnp.where(pairs.within, math.sqrt(2 / cutoff) * _envelope(x) / pairs.lengths, 0)
    # sin(kθ) from those before it: two calls of trigonometric functions instead of K.
    theta = math.pi * x
    before, now, twice = jnp.zeros_like(x), jnp.sin(theta), 2 * jnp.cos(theta)
    waves = []
    for _ in range(count):
        waves.append(scale * now)
        before, now = now, twice * now - before
    return jnp.stack(waves, axis=2)


def _envelope(x: Float[Array, "*pairs"]) -> Float[Array, "*pairs"]:
    x2 = x * x
    x6 = x2 * x2 * x2
    return 1 - x6 * (28 - 48 * x + 21 * x2)
