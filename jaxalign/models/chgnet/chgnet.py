"""CHGNet: messages between the atoms, bonds and angles of a crystal; energies and atom states.

An atom i, an (undirected) bond e and an angle α = (e, f) at atom i have states of 64 numbers:

    v_i = embedding of the element,  b_e = W φ(d_e),  a_α = W' ψ(θ_α),
    v_i ← v_i + U Σ_{e = ij}      G(v_i, b_e, v_j) ⊙ w_e                       ("conv_1" … "conv_4")
    b_e ← b_e + U' Σ_{α = (e, f)} G'(b_e, b_f, a_α, v_i) ⊙ w'_e ⊙ w'_f
    a_α ← a_α + G''(b_e, b_f, a_α, v_i),

three rounds of all three, then one of atoms alone. φ are Bessel functions of the length times a
polynomial that vanishes at the cutoff, ψ sines and cosines of the angle, w_e = V φ(d_e) and w'_e
smooth weights, G gated maps (`gated_map`). The energy is Σ_i E(h_i) with a small network E, where
h_i ("readout") is the last v_i, normalized. The first release does not normalize; there h_i is
"conv_4". The embedding of a crystal is the mean of h_i: the original's `crystal_fea` is the sum,
which grows with the cell.

Long bonds take part in no angle, so updates leave them alone but for a bias of U'. Only short bonds
have states of their own here (`bond_graph`). In U' of the first release there is a bias, and the
original skips the whole update of a batch without angles: here a structure without angles is never
updated, which is what the original does with it alone.

References:
  Deng et al., "CHGNet as a pretrained universal neural network potential for charge-informed
  atomistic modelling", Nat. Mach. Intell. 5, 1031 (2023), Methods.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxalign.models.atomistic.atom_graph import check_atoms
from jaxalign.models.bound import bind
from jaxalign.models.card import ModelCard
from jaxalign.models.chgnet.bond_graph import bond_packing, featurize_bonds
from jaxalign.models.chgnet.chgnet_updates import (
    angle_changes,
    bond_states,
    start_bonds,
    take_rows,
    update_atoms,
    update_bonds,
)
from jaxalign.models.chgnet.chgnet_weights import BLOCKS, KNOWN, WIDTH, Settings
from jaxalign.models.chgnet.gated_maps import angular_basis, layer_norm, linear_map
from jaxalign.models.encoder import Encoder, EnergyModel, Example, NodeFeatures
from jaxalign.models.graph_packing import sum_atoms, unpack_atoms
from jaxalign.structures.structure import Structure

_Atoms = Float[Array, "atoms 64"]


class HiddenStates(NamedTuple):
    """All states of a batch: one entry for the start and for each update.

    Attributes:
      atoms: embedding, conv_1 … conv_4.
      bonds: start and three updates.
      angles: start and three updates.
    """

    atoms: tuple[_Atoms, ...]
    bonds: tuple[Float[Array, "bonds 64"], ...]
    angles: tuple[Float[Array, "angles 64"], ...]


def layer_names(settings: Settings) -> tuple[str, ...]:
    """Layers in order; the last is what the energy is read from."""
    names = tuple(f"conv_{block}" for block in range(1, BLOCKS + 1))
    return (*names, "readout") if settings.norms else names


def hidden_states(params: Any, batch: Mapping[str, Any], settings: Settings) -> HiddenStates:
    """Every state of a batch; under `jit`, what is not used is not computed.

    Args:
      params: Flax parameters.
      batch: graphs of `featurize_bonds`, packed.
      settings: of the network.

    Returns:
      States of all atoms, bonds and angles, padding included.
    """
    batch = {name: jnp.asarray(array) for name, array in batch.items()}
    bonds, weights = start_bonds(params, batch, settings)
    as_they_are = jnp.eye(WIDTH, dtype=bonds.short.dtype)
    sines = angular_basis(batch["radians"], params["angle_frequencies"]["frequencies"])
    atoms = [take_rows(params["embedding"]["embedding"], batch["species"])]
    all_bonds = [bond_states(params, bonds, batch, as_they_are)]
    angles = [linear_map(params, "angle_embedding", sines)]
    for block in range(1, BLOCKS + 1):
        name = f"atom_conv_{block}"
        atoms.append(update_atoms(params, name, atoms[-1], bonds, weights, batch))
        if block < BLOCKS:
            name = f"bond_conv_{block}"
            bonds = update_bonds(params, name, atoms[-1], bonds, angles[-1], weights, batch)
            all_bonds.append(bond_states(params, bonds, batch, as_they_are))
            name = f"angle_update_{block}"
            changes = angle_changes(params, name, atoms[-1], bonds, angles[-1], batch)
            angles.append(angles[-1] + changes)
    return HiddenStates(tuple(atoms), tuple(all_bonds), tuple(angles))


def readout_states(params: Any, states: HiddenStates) -> _Atoms:
    """What the energy is read from: last states of the atoms, normalized if the network does."""
    last = states.atoms[-1]
    return layer_norm(params["readout_norm"], last) if "readout_norm" in params else last


def apply_chgnet(
    params: Any, batch: Mapping[str, Any], layer: str | None = None, *, settings: Settings
) -> NodeFeatures:
    """Features of all atoms of a batch.

    Args:
      params: Flax parameters.
      batch: graphs of `featurize_bonds`, packed.
      layer: a name of `layer_names`; None is the last. Static.
      settings: of the network. Static.

    Returns:
      `[graphs, atoms, 64]` values and the mask of real atoms.

    Raises:
      ValueError: if there is no such layer.
    """
    names = layer_names(settings)
    layer = layer or names[-1]
    if layer not in names:
        raise ValueError(f"unknown layer {layer!r} of CHGNet; pass one of {', '.join(names)}")
    states = hidden_states(params, batch, settings)
    if layer == "readout":
        return unpack_atoms(readout_states(params, states), batch)
    return unpack_atoms(states.atoms[1 + names.index(layer)], batch)


def interaction_energy(
    params: Any, batch: Mapping[str, Any], *, settings: Settings
) -> Float[Array, " graphs"]:
    """Energy of each structure without the energies of its elements, eV.

    Args:
      params: Flax parameters.
      batch: graphs of `featurize_bonds`, packed.
      settings: of the network. Static.

    Returns:
      `[graphs]`; 0 for empty slots.
    """
    x = readout_states(params, hidden_states(params, batch, settings))
    count = len(settings.readout) + 1
    for number in range(1, count + 1):
        x = linear_map(params, f"readout_{number}", x)
        x = jax.nn.silu(x) if number < count else x
    return sum_atoms(x[:, 0], batch)


def crystal_encoder(
    card: ModelCard, params: Any, settings: Settings, *, reference: Mapping[int, float]
) -> Encoder:
    """A CHGNet ready for extraction.

    Args:
      card: facts about the model.
      params: Flax parameters.
      settings: of the network.
      reference: energy of an atom of each element, eV.

    Returns:
      An encoder of crystals, surfaces and molecules; its nodes are the atoms.
    """
    check = functools.partial(check_atoms, known=KNOWN, family="CHGNet")

    def featurize(structure: Structure) -> Example:
        check(structure)
        return featurize_bonds(
            structure, atom_cutoff=settings.atom_cutoff, bond_cutoff=settings.bond_cutoff
        )

    energy = bind(interaction_energy, settings=settings)
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=featurize,
        batching=bond_packing(settings.atom_cutoff),
        apply=bind(apply_chgnet, settings=settings),
        check=check,
        energy=EnergyModel(interaction=energy, reference=reference),
    )
