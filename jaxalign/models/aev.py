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
    slots = _neighbor_slots(species, positions, neighbors)
    one, other = _pairs_of(slots)
    cosine = 0.95 * jnp.sum(one[..., :3, :] * other[..., :3, :], axis=-2, keepdims=True)
    sine = jnp.sqrt(1 - cosine * cosine)
    (r_one, cut_one, kind_one), (r_other, cut_other, kind_other) = (
        jnp.split(half[..., 3:, :], 3, axis=-2) for half in (one, other)
    )

    def column(constants: Float[np.ndarray, " n"]) -> Float[np.ndarray, "1 1 n 1"]:
        return constants.astype(positions.dtype)[None, None, :, None]

    cos_z, sin_z = np.cos(column(ANGLES)), np.sin(column(ANGLES))
    by_angle = (0.5 + 0.5 * (cosine * cos_z + sine * sin_z)) ** ANGULAR_POWER
    offset = 0.5 * (r_one + r_other) - column(ANGULAR_SHIFTS)
    by_shift = jnp.exp(-ANGULAR_ETA.astype(offset.dtype) * offset**2)
    is_kind = _species_pair(kind_one, kind_other) == column(
        np.arange(SPECIES_PAIRS, dtype=np.float32)
    )
    by_kind = jnp.where(is_kind, 2 * cut_one * cut_other, 0)
    by_kind_and_shift = by_kind[:, :, :, None, :] * by_shift[:, :, None, :, :]
    summed = jnp.einsum("bipat,bizt->bipaz", by_kind_and_shift, by_angle, precision=_HIGHEST)
    return summed.reshape(*species.shape, ANGULAR_WIDTH)


def _neighbor_slots(
    species: Int[Array, "batch atoms"],
    positions: Float[Array, "batch atoms 3"],
    neighbors: Int[Array, "batch atoms slots"],
) -> Float[Array, "batch atoms 6 slots"]:
    """Unit vector (3), distance, cutoff function and species number of every neighbor."""
    row = jnp.arange(len(species), dtype=jnp.int32)[:, None, None]
    is_empty = neighbors < 0
    vectors = positions[row, neighbors] - positions[:, :, None, :]
    vectors = jnp.where(is_empty[..., None], ANGULAR_CUTOFF, vectors)  # anything but distance 0
    r = _norm(vectors)[..., None]
    cutoff = jnp.where(is_empty[..., None], 0, _cutoff(r, ANGULAR_CUTOFF))
    kind = species[row, neighbors][..., None].astype(r.dtype)
    return jnp.concatenate([vectors / r, r, cutoff, kind], axis=-1).swapaxes(-1, -2)


def _pairs_of(
    slots: Float[Array, "batch atoms 6 slots"],
) -> tuple[Float[Array, "batch atoms 6 pairs"], Float[Array, "batch atoms 6 pairs"]]:
    # Products with constant 0/1 matrices: exact, and twice as fast as gathers on CPUs.
    count = slots.shape[-1]
    select = np.eye(count, dtype=slots.dtype)
    one, other = (
        jnp.einsum("bifk,kt->bift", slots, select[:, side], precision=_HIGHEST)
        for side in np.triu_indices(count, 1)
    )
    return one, other


def _species_pair(a: Float[Array, ...], b: Float[Array, ...]) -> Float[Array, ...]:
    # Row-major number in the upper triangle of a species × species matrix.
    low, high = jnp.minimum(a, b), jnp.maximum(a, b)
    return low * len(ELEMENTS) - 0.5 * low * (low + 1) + high


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
