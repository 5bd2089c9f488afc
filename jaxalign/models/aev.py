"""Atomic environment vectors (AEV) of ANI: 384 numbers for the surroundings of each atom.

With f(r, R) = (1 + cos(π r / R)) / 2 for r < R and 0 beyond, atom i and its neighbors j, k give

    radial, per species of j (4) and shift s (16):
        Σ_j ¼ exp(−η_R (r_ij − s)²) f(r_ij, 5.2 Å)
    angular, per unordered pair of species of j and k (10), shift a (4) and angle z (8):
        Σ_{j<k} 2 ((1 + cos(θ_jik − z)) / 2)^ζ exp(−η_A ((r_ij + r_ik) / 2 − a)²)
                f(r_ij, 3.5 Å) f(r_ik, 3.5 Å),        cos θ_jik = 0.95 · r̂_ij · r̂_ik

The factors ¼ and 0.95 are not in the paper but in the published networks' own code. No arc cosine
is taken: cos(θ − z) = cos θ cos z + sin θ sin z, and sin θ ≥ 0.31 keeps gradients finite.

The radial part is dense over pairs of atoms. The angular part runs over the pairs among a fixed
number of neighbors of each atom, which the host has found (`neighbor_list`).

References:
  Smith, Isayev, Roitberg, "ANI-1", Chem. Sci. 8, 3192 (2017), eqs. 2-4; Gao et al., "TorchANI",
  J. Chem. Inf. Model. 60, 3408 (2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

ELEMENTS = ("H", "C", "N", "O")
SPECIES_PAIRS = len(ELEMENTS) * (len(ELEMENTS) + 1) // 2

# The published constants, in Å and Å⁻². The networks were trained with their float32 values.
RADIAL_CUTOFF = 5.2
ANGULAR_CUTOFF = 3.5
RADIAL_ETA = np.float32(16.0)
RADIAL_SHIFTS = (0.9 + 0.26875 * np.arange(16)).astype(np.float32)
ANGULAR_ETA = np.float32(8.0)
ANGULAR_SHIFTS = (0.9 + 0.65 * np.arange(4)).astype(np.float32)
ANGULAR_POWER = 32
ANGLES = np.array(
    [
        0.19634954,
        0.58904862,
        0.98174770,
        1.3744468,
        1.7671459,
        2.1598449,
        2.5525440,
        2.9452431,
    ],
    np.float32,
)
RADIAL_WIDTH = len(ELEMENTS) * len(RADIAL_SHIFTS)
ANGULAR_WIDTH = SPECIES_PAIRS * len(ANGULAR_SHIFTS) * len(ANGLES)
WIDTH = RADIAL_WIDTH + ANGULAR_WIDTH

_HIGHEST = jax.lax.Precision.HIGHEST


def _cutoff(r: Float[Array, ...], radius: float) -> Float[Array, ...]:
    return jnp.where(r < radius, 0.5 * jnp.cos(r * (np.pi / radius)) + 0.5, 0)


def _norm(vectors: Float[Array, "... 3"]) -> Float[Array, ...]:
    return jnp.sqrt(jnp.sum(vectors * vectors, axis=-1))


def radial_part(
    species: Int[Array, "batch atoms"], positions: Float[Array, "batch atoms 3"]
) -> Float[Array, "batch atoms 64"]:
    """Radial terms of all atoms.

    Args:
      species: position in `ELEMENTS`, −1 for padding.
      positions: Å.

    Returns:
      `[batch, atoms, 64]`, species of the neighbor by shift; zeros where there is no neighbor.
    """
    dtype, atoms = positions.dtype, positions.shape[1]
    vectors = positions[:, None, :, :] - positions[:, :, None, :]
    # An atom and itself, and padding, may be at distance 0, where the root has no gradient: put
    # them beyond the cutoff, where both the term and its gradient are 0.
    is_atom = species >= 0
    is_pair = is_atom[:, :, None] & is_atom[:, None, :] & ~jnp.eye(atoms, dtype=bool)[None]
    r = _norm(jnp.where(is_pair[..., None], vectors, RADIAL_CUTOFF))[..., None]
    shifts = RADIAL_SHIFTS.astype(dtype)[None, None, None, :]
    shape = jnp.exp(-RADIAL_ETA.astype(dtype) * (r - shifts) ** 2)
    terms = 0.25 * shape * _cutoff(r, RADIAL_CUTOFF)
    is_species = jax.nn.one_hot(species, len(ELEMENTS), dtype=dtype)
    summed = jnp.einsum("bijr,bjs->bisr", terms, is_species, precision=_HIGHEST)
    return summed.reshape(*species.shape, RADIAL_WIDTH)


def angular_part(
    species: Int[Array, "batch atoms"],
    positions: Float[Array, "batch atoms 3"],
    neighbors: Int[Array, "batch atoms slots"],
) -> Float[Array, "batch atoms 320"]:
    """Angular terms of all atoms.

    Args:
      species: position in `ELEMENTS`, −1 for padding.
      positions: Å.
      neighbors: numbers of all atoms within `ANGULAR_CUTOFF`, −1 for empty slots.

    Returns:
      `[batch, atoms, 320]`, pair of species by shift by angle.
    """
    dtype = positions.dtype
    first, second = np.triu_indices(neighbors.shape[2], 1)
    row = jnp.arange(len(species), dtype=jnp.int32)[:, None, None]
    is_empty = neighbors < 0
    vectors = positions[row, neighbors] - positions[:, :, None, :]
    vectors = jnp.where(is_empty[..., None], ANGULAR_CUTOFF, vectors)  # beyond the cutoff
    r = _norm(vectors)
    unit = vectors / r[..., None]
    cutoff = jnp.where(is_empty, 0, _cutoff(r, ANGULAR_CUTOFF))
    near = species[row, neighbors]

    cosine = 0.95 * jnp.sum(unit[..., first, :] * unit[..., second, :], axis=-1)[..., None]
    sine = jnp.sqrt(1 - cosine * cosine)
    angles = ANGLES.astype(dtype)[None, None, None, :]
    shifts = ANGULAR_SHIFTS.astype(dtype)[None, None, None, :]
    by_angle = (0.5 + 0.5 * (cosine * jnp.cos(angles) + sine * jnp.sin(angles))) ** ANGULAR_POWER
    middle = 0.5 * (r[..., first] + r[..., second])[..., None]
    by_shift = jnp.exp(-ANGULAR_ETA.astype(dtype) * (middle - shifts) ** 2)
    weight = 2 * cutoff[..., first] * cutoff[..., second]
    pair = _species_pair(near[..., first], near[..., second])
    is_pair = jax.nn.one_hot(pair, SPECIES_PAIRS, dtype=dtype) * weight[..., None]
    terms = by_shift[..., :, None] * by_angle[..., None, :]
    summed = jnp.einsum("bitp,bitaz->bipaz", is_pair, terms, precision=_HIGHEST)
    return summed.reshape(*species.shape, ANGULAR_WIDTH)


def _species_pair(a: Int[Array, ...], b: Int[Array, ...]) -> Int[Array, ...]:
    # Row-major number in the upper triangle of a species × species matrix.
    low, high = jnp.minimum(a, b), jnp.maximum(a, b)
    return low * len(ELEMENTS) - low * (low + 1) // 2 + high


def environment_vectors(batch: Mapping[str, Any]) -> Float[Array, "batch atoms 384"]:
    """Radial and angular parts, concatenated.

    Args:
      batch: what `collate_atoms` gives.

    Returns:
      `[batch, atoms, 384]`; rows of padding are finite and mean nothing.
    """
    species, positions = jnp.asarray(batch["species"]), jnp.asarray(batch["positions"])
    radial = radial_part(species, positions)
    angular = angular_part(species, positions, jnp.asarray(batch["neighbors"]))
    return jnp.concatenate([radial, angular], axis=-1)
