"""Atomic environment vectors (AEV) of ANI: some hundred numbers for the surroundings of each atom.

With f(r, R) = (1 + cos(π r / R)) / 2 for r < R and 0 beyond, atom i and its neighbors j, k give

    radial, per species of j and shift s (16):
        Σ_j ¼ exp(−η_R (r_ij − s)²) f(r_ij, 5.2 Å)
    angular, per unordered pair of species of j and k, shift a (4) and angle z (8):
        Σ_{j<k} 2 ((1 + cos(θ_jik − z)) / 2)^ζ exp(−η_A ((r_ij + r_ik) / 2 − a)²)
                f(r_ij, 3.5 Å) f(r_ik, 3.5 Å),        cos θ_jik = 0.95 · r̂_ij · r̂_ik

These are 384 numbers for four elements (10 pairs), 1,008 for seven (28 pairs).

The factors ¼ and 0.95 are not in the paper but in the published networks' own code. No arc cosine
is taken: cos(θ − z) = cos θ cos z + sin θ sin z, and sin θ ≥ 0.31 keeps gradients finite.

The radial part is dense over pairs of atoms. The angular part runs over the pairs among the
neighbors of each atom, which the host has found (`neighbor_list`). Atoms of a whole batch are
sorted and run in blocks (`sorted_blocks`), so that padding and empty slots are mostly skipped.

References:
  Smith, Isayev, Roitberg, "ANI-1", Chem. Sci. 8, 3192 (2017), eqs. 2-4; Gao et al., "TorchANI",
  J. Chem. Inf. Model. 60, 3408 (2020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxalign.models.ani.aev_settings import AevSettings
from jaxalign.models.ani.sorted_blocks import map_sorted_blocks

_HIGHEST = jax.lax.Precision.HIGHEST
# Atoms × pairs of one step: intermediate results stay in the processor's cache.
_BLOCK_ATOMS, _BLOCK_PAIRS = 128, 32


def _cutoff(r: Float[Array, ...], radius: float) -> Float[Array, ...]:
    return jnp.where(r < radius, 0.5 * jnp.cos(r * (np.pi / radius)) + 0.5, 0)


def _constants(values: float | tuple[float, ...], like: Float[Array, ...]) -> np.ndarray:
    """Constants with the digits of float32, which the networks were trained with."""
    return np.asarray(values, np.float32).astype(like.dtype)


def radial_part(
    settings: AevSettings,
    r: Float[Array, "atoms others"],
    species: Float[Array, "atoms others"],
) -> Float[Array, "atoms width"]:
    """Radial terms of some atoms.

    Args:
      settings: elements and constants.
      r: distances to the other atoms of the molecule, Å.
      species: their positions in `settings.elements`, −1 for padding.

    Returns:
      `[atoms, settings.radial_width]`, species of the neighbor by shift; zeros where there is no
      neighbor.
    """
    shifts = _constants(settings.radial_shifts, r)[None, None, :]
    shape = jnp.exp(-_constants(settings.radial_eta, r) * (r[..., None] - shifts) ** 2)
    terms = 0.25 * shape * _cutoff(r, settings.radial_cutoff)[..., None]
    numbers = jnp.arange(len(settings.elements), dtype=species.dtype)[None, None, :]
    is_species = (species[..., None] == numbers).astype(r.dtype)
    summed = jnp.einsum("ijr,ijs->isr", terms, is_species, precision=_HIGHEST)
    return summed.reshape(len(r), settings.radial_width)


def angular_part(
    settings: AevSettings, slots: Float[Array, "atoms 6 slots"], crowd: Int[Array, " atoms"]
) -> Float[Array, "atoms width"]:
    """Angular terms of some atoms, in as many steps as the most crowded of them needs.

    Args:
      settings: elements and constants.
      slots: unit vector (3), distance, cutoff function and species number of every neighbor.
      crowd: number of neighbors of each atom.

    Returns:
      `[atoms, settings.angular_width]`, pair of species by shift by angle.
    """
    select, first = _pair_blocks(slots.shape[-1])
    most = jnp.max(crowd)

    def add(total, block):
        select, first = block
        done = jax.lax.cond(
            most > first, lambda: total + _pair_terms(settings, slots, select), lambda: total
        )
        return done, None

    shape = (len(slots), *settings.angular_shape)
    blocks = jnp.asarray(select, slots.dtype), jnp.asarray(first)
    total, _ = jax.lax.scan(add, jnp.zeros(shape, slots.dtype), blocks)
    return total.reshape(len(slots), settings.angular_width)


def _pair_blocks(
    slots: int,
) -> tuple[Float[np.ndarray, "blocks slots columns"], Int[np.ndarray, " blocks"]]:
    """Matrices that select both neighbors of every pair, and the first slot of each block's pairs.

    An atom with m neighbors fills its first m slots. Pairs j < k are ordered by k, so those that it
    needs come first, and a block that begins with slot k is for atoms with more than k neighbors.
    """
    larger, smaller = np.tril_indices(slots, -1)
    count = len(larger)
    blocks = max(1, -(-count // _BLOCK_PAIRS))
    # Columns beyond the last pair select nothing, and their terms are 0.
    select = np.zeros((slots, 2, blocks * _BLOCK_PAIRS), np.float32)
    select[smaller, 0, np.arange(count)] = 1
    select[larger, 1, np.arange(count)] = 1
    select = select.reshape(slots, 2, blocks, _BLOCK_PAIRS).transpose(2, 0, 1, 3)
    first = np.append(larger, slots)[: blocks * _BLOCK_PAIRS : _BLOCK_PAIRS].astype(np.int32)
    return select.reshape(blocks, slots, 2 * _BLOCK_PAIRS), first


def _pair_terms(
    settings: AevSettings,
    slots: Float[Array, "atoms 6 slots"],
    select: Float[Array, "slots columns"],
) -> Float[Array, "atoms kinds shifts angles"]:
    """Angular terms summed over a block of pairs."""
    # A product with a 0/1 matrix: exact, and twice as fast as gathers on CPUs.
    both = jnp.einsum("ifk,kt->ift", slots, select, precision=_HIGHEST)
    one, other = jnp.split(both, 2, axis=2)
    cosine = 0.95 * jnp.sum(one[:, :3] * other[:, :3], axis=1, keepdims=True)
    sine = jnp.sqrt(1 - cosine * cosine)
    (r_one, cut_one, kind_one), (r_other, cut_other, kind_other) = (
        jnp.split(half[:, 3:], 3, axis=1) for half in (one, other)
    )

    def column(values: tuple[float, ...]) -> Float[np.ndarray, "1 n 1"]:
        return _constants(values, slots)[None, :, None]

    angles = column(settings.angles)
    turned = cosine * np.cos(angles) + sine * np.sin(angles)  # cos(θ − z)
    by_angle = (0.5 + 0.5 * turned) ** settings.angular_power
    offset = 0.5 * (r_one + r_other) - column(settings.angular_shifts)
    by_shift = jnp.exp(-_constants(settings.angular_eta, offset) * offset**2)
    kind = _species_pair(kind_one, kind_other, elements=len(settings.elements))
    is_kind = kind == column(tuple(map(float, range(settings.species_pairs))))
    by_kind = jnp.where(is_kind, 2 * cut_one * cut_other, 0)
    by_kind_and_shift = by_kind[:, :, None, :] * by_shift[:, None, :, :]
    return jnp.einsum("ipat,izt->ipaz", by_kind_and_shift, by_angle, precision=_HIGHEST)


def _species_pair(
    a: Float[Array, ...], b: Float[Array, ...], *, elements: int
) -> Float[Array, ...]:
    # Row-major number in the upper triangle of a species × species matrix.
    low, high = jnp.minimum(a, b), jnp.maximum(a, b)
    return low * elements - 0.5 * low * (low + 1) + high


def _take(table: Float[Array, "rows ..."], rows: Int[Array, ...]) -> Float[Array, ...]:
    return table.at[rows].get(mode="promise_in_bounds")


def _block_vectors(
    settings: AevSettings,
    atoms: Float[Array, "molecules others 4"],
    own: Float[Array, "atoms 4"],
    molecule: Int[Array, " atoms"],
    neighbors: Int[Array, "atoms slots"],
) -> Float[Array, "atoms width"]:
    """Environment vectors of some atoms of a batch; positions and species are in `atoms`, `own`."""
    others = _take(atoms, molecule)
    _, r = _vectors(own, others, beyond=settings.radial_cutoff)
    radial = radial_part(settings, r, others[..., 3])
    row = jnp.arange(len(own), dtype=jnp.int32)[:, None] * others.shape[1]
    near = _take(others.reshape(-1, 4), row + jnp.maximum(neighbors, 0))
    vectors, r = _vectors(own, near, beyond=settings.radial_cutoff)
    cutoff = jnp.where(neighbors < 0, 0, _cutoff(r, settings.angular_cutoff))
    units = vectors / r[..., None]
    slots = jnp.stack([*jnp.moveaxis(units, -1, 0), r, cutoff, near[..., 3]], axis=1)
    angular = angular_part(settings, slots, jnp.sum(neighbors >= 0, axis=1, dtype=jnp.int32))
    return jnp.concatenate([radial, angular], axis=-1)


def _vectors(
    own: Float[Array, "atoms 4"], others: Float[Array, "atoms n 4"], *, beyond: float
) -> tuple[Float[Array, "atoms n 3"], Float[Array, "atoms n"]]:
    """Vectors to other atoms and their lengths; an atom is beyond every cutoff from itself."""
    vectors = others[..., :3] - own[:, None, :3]
    square = jnp.sum(vectors * vectors, axis=-1)
    # The root has no gradient at 0. Beyond the cutoff both the terms and their gradients are 0.
    return vectors, jnp.sqrt(jnp.where(square > 0, square, beyond**2))


def map_environments(
    settings: AevSettings, function: Callable[..., Any], batch: Mapping[str, Any]
) -> Any:
    """Applies a function to the environment vectors of all atoms, block by block of like atoms.

    Atoms of one species with about as many neighbors share a block, so that neither padding nor the
    most crowded atom decides how much is computed.

    Args:
      settings: elements and constants.
      function: (environment vectors `[block, settings.width]`, species `[block]`) → pytree of
        `[block, ...]`.
      batch: what `collate_atoms` gives: neighbors of an atom stand before its empty slots.

    Returns:
      What the function gives, `[batch, atoms, ...]`.
    """
    species, positions = jnp.asarray(batch["species"]), jnp.asarray(batch["positions"])
    neighbors = jnp.asarray(batch["neighbors"])
    atoms = jnp.concatenate([positions, species[..., None].astype(positions.dtype)], axis=-1)

    def of_block(own, molecule, neighbors):
        species = own[:, 3].astype(jnp.int32)
        vectors = jax.lax.cond(
            jnp.any(species >= 0),
            lambda: _block_vectors(settings, atoms, own, molecule, neighbors),
            lambda: jnp.zeros((len(own), settings.width), own.dtype),
        )
        return function(vectors, species)

    crowd = jnp.sum(neighbors >= 0, axis=-1, dtype=jnp.int32)
    key = species * (neighbors.shape[-1] + 1) + crowd
    molecule = jnp.broadcast_to(jnp.arange(len(species), dtype=jnp.int32)[:, None], species.shape)
    rows = [x.reshape(-1, *x.shape[2:]) for x in (atoms, molecule, neighbors)]
    values = map_sorted_blocks(of_block, key.reshape(-1), *rows, block=_BLOCK_ATOMS)
    return jax.tree.map(lambda x: x.reshape(*species.shape, *x.shape[1:]), values)


def environment_vectors(
    settings: AevSettings, batch: Mapping[str, Any]
) -> Float[Array, "batch atoms width"]:
    """Radial and angular parts, concatenated.

    Args:
      settings: elements and constants.
      batch: what `collate_atoms` gives.

    Returns:
      `[batch, atoms, settings.width]`; rows of padding are finite and mean nothing.
    """
    return map_environments(settings, lambda vectors, species: vectors, batch)
