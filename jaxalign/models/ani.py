"""ANI: one small network per element on atomic environment vectors; energies and atom states.

For atom i of element Z with environment vector g_i (384 numbers, `aev`)

    hˡ = celu₀.₁(Wˡ_Z hˡ⁻¹ + bˡ_Z),  h⁰ = g_i,  l = 1 … 3,     E_i = w_Z · h³ + c_Z,
    E  = Σ_i (E_i + self energy of Z)    (Hartree).

The widths of h¹ and h² differ between elements; h³ has 96 numbers for all, and is the embedding
("hidden_3"). Atoms run in blocks of one element or few, through the networks of these alone.

References:
  Smith, Isayev, Roitberg, "ANI-1", Chem. Sci. 8, 3192 (2017); Smith et al., "Less is more"
  (ANI-1x), J. Chem. Phys. 148, 241733 (2018); Smith et al. (ANI-1ccx), Nat. Commun. 10, 2903
  (2019).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxalign.models.aev import (
    ANGULAR_CUTOFF,
    ELEMENTS,
    WIDTH,
    environment_vectors,
    map_environments,
)
from jaxalign.models.batching import RowBuckets
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Batch, Encoder, Example, NodeFeatures
from jaxalign.models.initializers import torch_linear_params
from jaxalign.models.neighbor_list import atoms_size, collate_atoms, featurize_atoms
from jaxalign.structures.structure import Structure

HIDDEN_WIDTHS = {"H": (160, 128, 96), "C": (144, 112, 96), "N": (128, 112, 96), "O": (128, 112, 96)}
STATE_WIDTH = 96
LAYERS = ("aev", "hidden_3")
SPECIES = {1: 0, 6: 1, 7: 2, 8: 3}  # atomic number → position in ELEMENTS
# Hartree, of H, C, N, O: fitted with the networks, and published beside them ("sae_linfit").
SELF_ENERGIES = {
    "ani-1x": (-0.60095298, -38.08316124, -54.7077577, -75.19446356),
    "ani-1ccx": (
        -0.5991501324919538,
        -38.03750806057356,
        -54.67448347695333,
        -75.16043537275567,
    ),
}
# Wide steps: blocks of padding are skipped, and a compilation costs as much as 5,000 molecules.
BUCKETS = (8, 32, 48, 64, 96, 128, 192, 256)
MAX_NEIGHBORS = 64
_ATOMS_PER_BATCH = 4096


def neighbor_slots(bucket: int) -> int:
    """Neighbors within the angular cutoff that an atom may have in a bucket of this many atoms.

    QM9 has at most 24, folded drug-like molecules and adamantanes up to 36; a more crowded molecule
    moves to a larger bucket.
    """
    most = 24 if bucket <= 32 else 36 if bucket <= 128 else MAX_NEIGHBORS
    return max(1, min(bucket - 1, most))


def batch_size(bucket: int) -> int:
    """Molecules a batch; many, so that most blocks hold atoms of one kind."""
    return max(1, _ATOMS_PER_BATCH // bucket)


def _block_states(
    params: Any, vectors: Float[Array, "atoms 384"], species: Int[Array, " atoms"]
) -> Float[Array, "atoms 96"]:
    """Last hidden states of some atoms, 0 for padding. Elements that are not there cost nothing."""
    states = jnp.zeros((len(species), STATE_WIDTH), vectors.dtype)
    for number, element in enumerate(ELEMENTS):
        is_own = species == number
        merge = functools.partial(_merge_states, params, element, vectors, is_own)
        states = jax.lax.cond(jnp.any(is_own), merge, lambda others: others, states)
    return states


def _merge_states(
    params: Any,
    element: str,
    x: Float[Array, "atoms 384"],
    is_own: Bool[Array, " atoms"],
    others: Float[Array, "atoms 96"],
) -> Float[Array, "atoms 96"]:
    """States of one element in the rows of its atoms, the given ones in all others."""
    for layer in (1, 2, 3):
        linear = params[f"{element}_{layer}"]
        # One TPU pass in bfloat16 would not meet the agreement with the original.
        x = jnp.matmul(x, linear["kernel"], precision=jax.lax.Precision.HIGHEST)
        x = jax.nn.celu(x + linear["bias"][None, :], alpha=0.1)
    return jnp.where(is_own[:, None], x, others)


def _states(params: Any, batch: Mapping[str, Any]) -> Float[Array, "batch atoms 96"]:
    return map_environments(functools.partial(_block_states, params), batch)


def apply_ani(params: Any, batch: Mapping[str, Any], layer: str | None = None) -> NodeFeatures:
    """Features of all atoms of a padded batch.

    Args:
      params: Flax parameters.
      batch: what `collate_atoms` gives, positions in Å.
      layer: `"aev"` (384) or `"hidden_3"` (96, the default). Static.

    Returns:
      `[batch, atoms, d]` values and the mask of real atoms.

    Raises:
      ValueError: if there is no such layer.
    """
    layer = layer or LAYERS[-1]
    if layer not in LAYERS:
        raise ValueError(f"unknown layer {layer!r} of ANI; pass one of {', '.join(LAYERS)}")
    values = environment_vectors(batch) if layer == "aev" else _states(params, batch)
    return NodeFeatures(values, jnp.asarray(batch["mask"]))


def interaction_energy(params: Any, batch: Mapping[str, Any]) -> Float[Array, " batch"]:
    """Energy of each molecule without the self energies of its atoms, Hartree.

    The networks' part is a few Hartree at most, so float32 resolves it to 1e-7; the sum with the
    self energies (hundreds of Hartree) belongs in float64: see `energy`. Differentiable in
    `batch["positions"]` as long as no atom enters or leaves the neighbor list.

    Args:
      params: Flax parameters.
      batch: what `collate_atoms` gives.

    Returns:
      `[batch]`; 0 for empty rows.
    """
    states, species = _states(params, batch), jnp.asarray(batch["species"])
    energies = jnp.zeros(species.shape, states.dtype)
    for number, element in enumerate(ELEMENTS):
        last = params[f"{element}_4"]
        own = jnp.sum(states * last["kernel"][:, 0][None, None, :], axis=-1) + last["bias"][0]
        energies = jnp.where(species == number, own, energies)
    return jnp.sum(energies, axis=1)


def energy(
    params: Any, batch: Batch, *, self_energies: tuple[float, ...]
) -> Float[np.ndarray, " batch"]:
    """Total energy of each molecule, Hartree, summed in float64 on the host.

    Args:
      params: Flax parameters.
      batch: what `collate_atoms` gives.
      self_energies: of H, C, N, O: an entry of `SELF_ENERGIES`.

    Returns:
      `[batch]` float64; 0 for empty rows.
    """
    interaction = np.asarray(jax.jit(interaction_energy)(params, dict(batch)), np.float64)
    of_species = np.array([*self_energies, 0.0])  # the last is that of padding, species −1
    return interaction + of_species[np.asarray(batch["species"])].sum(axis=1)


def param_shapes() -> dict[str, Any]:
    """Names and shapes of all parameters, without computing any."""
    shapes = {}
    for element in sorted(ELEMENTS):
        widths = (WIDTH, *HIDDEN_WIDTHS[element], 1)
        for layer, (n, m) in enumerate(itertools.pairwise(widths), start=1):
            kernel, bias = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((n, m), (m,)))
            shapes[f"{element}_{layer}"] = {"kernel": kernel, "bias": bias}
    return shapes


def init_params(seed: int) -> dict[str, Any]:
    """Random parameters as PyTorch draws them: U(−1/√n, 1/√n) for n inputs.

    Args:
      seed: seed of the random numbers.

    Returns:
      Flax parameters.
    """
    return torch_linear_params(param_shapes(), seed=seed)


def featurize_molecule(structure: Structure) -> Example:
    """Inputs of one molecule of H, C, N, O; see `featurize_atoms` for what is refused."""
    return featurize_atoms(
        structure, species=SPECIES, cutoff=ANGULAR_CUTOFF, max_neighbors=MAX_NEIGHBORS
    )


def collate_molecules(examples: Sequence[Example], bucket: int, batch_size: int) -> Batch:
    """Pads molecules to one shape; see `collate_atoms`."""
    return collate_atoms(examples, bucket, batch_size, slots=neighbor_slots(bucket))


def atom_encoder(card: ModelCard, params: Any) -> Encoder:
    """An ANI member ready for extraction.

    Args:
      card: facts about the model.
      params: Flax parameters.

    Returns:
      An encoder of molecules with positions; its nodes are all atoms, hydrogens included.
    """
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=featurize_molecule,
        batching=RowBuckets(
            size=functools.partial(atoms_size, slots=neighbor_slots),
            buckets=BUCKETS,
            batch_size=batch_size,
            pad=collate_molecules,
        ),
        apply=apply_ani,
    )
