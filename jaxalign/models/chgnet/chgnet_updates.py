"""The updates of CHGNet: of atoms along bonds, of bonds and angles around atoms.

The first linear map of a gated map acts on each of its arguments before they are gathered: on
atoms and short bonds, of which there are few, rather than on all bonds and angles. For long bonds
it acts on the functions of their lengths, as one product with the bond embedding.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from jaxalign.models.chgnet.chgnet_weights import WIDTH, Settings
from jaxalign.models.chgnet.gated_maps import gated_map, linear_map, product, radial_basis

_Atoms = Float[Array, "atoms 64"]
_Short = Float[Array, "short 64"]
_Angles = Float[Array, "angles 64"]
_Arrays = Mapping[str, Array]


class Bonds(NamedTuple):
    """What tells the states of all bonds.

    Attributes:
      short: states of the short bonds.
      basis: functions of the lengths of all bonds.
      is_short: which of all bonds are short.
      shifted: 1 for bonds of structures with angles, else 0.
      shift: what the updates have added to every such bond; None if they have no bias.
    """

    short: _Short
    basis: Float[Array, "bonds n"]
    is_short: Bool[Array, " bonds"]
    shifted: Float[Array, " bonds"]
    shift: Float[Array, " 64"] | None = None


class Weights(NamedTuple):
    """Weights of messages, which vanish smoothly at the cutoffs.

    Attributes:
      atoms: of messages to atoms, along all bonds.
      bonds: of messages to short bonds, from both bonds of an angle.
    """

    atoms: Float[Array, "bonds 64"]
    bonds: _Short


def take_rows(table: Shaped[Array, "any ..."], numbers: Int[Array, " rows"]) -> Array:
    """Rows of a table by number; all numbers must be there."""
    return table.at[numbers].get(mode="promise_in_bounds")


def _sum_messages(
    messages: Float[Array, "rows 64"], numbers: Int[Array, " rows"], *, like: Float[Array, "any 64"]
) -> Float[Array, "any 64"]:
    return jnp.zeros_like(like).at[numbers].add(messages, mode="promise_in_bounds")


def start_bonds(params: Any, batch: _Arrays, settings: Settings) -> tuple[Bonds, Weights]:
    """Bonds before any update, and the weights of all messages.

    Args:
      params: Flax parameters.
      batch: graphs of `featurize_bonds`, packed.
      settings: of the network.

    Returns:
      Bonds and weights.
    """
    lengths, short_bonds = batch["lengths"], batch["short_bonds"]
    basis = functools.partial(radial_basis, power=settings.power)
    far = basis(lengths, params["atom_frequencies"]["frequencies"], cutoff=settings.atom_cutoff)
    frequencies = params["bond_frequencies"]["frequencies"]
    near = basis(take_rows(lengths, short_bonds), frequencies, cutoff=settings.bond_cutoff)
    # A long bond has the number of a short one that does not point back to it.
    pointed = take_rows(short_bonds, batch["short_numbers"])
    graphs = take_rows(batch["graph"], batch["centers"])
    bonds = Bonds(
        short=linear_map(params, "bond_embedding", take_rows(far, short_bonds)),
        basis=far,
        is_short=pointed == jnp.arange(len(lengths), dtype=jnp.int32),
        shifted=batch["has_angles"].at[graphs].get(mode="fill", fill_value=0),
    )
    weights = linear_map(params, "atom_weights", far), linear_map(params, "bond_weights", near)
    return bonds, Weights(*weights)


def bond_states(
    params: Any, bonds: Bonds, batch: _Arrays, kernel: Float[Array, "64 m"]
) -> Float[Array, "bonds m"]:
    """States of all bonds times a kernel.

    Args:
      params: Flax parameters.
      bonds: what tells the states.
      batch: graphs of `featurize_bonds`, packed.
      kernel: a linear map.

    Returns:
      One row a bond.
    """
    long = product(bonds.basis, product(params["bond_embedding"]["kernel"], kernel))
    if bonds.shift is not None:
        long = long + bonds.shifted[:, None] * product(bonds.shift[None, :], kernel)
    short = take_rows(product(bonds.short, kernel), batch["short_numbers"])
    return jnp.where(bonds.is_short[:, None], short, long)


def _kernels(params: Any, name: str, part: str) -> list[Float[Array, "64 64"]]:
    """The first linear map of a gated one, cut into what acts on each of its arguments."""
    kernel = params[f"{name}/{part}_1"]["kernel"]
    return jnp.split(kernel, kernel.shape[0] // WIDTH)


def update_atoms(
    params: Any, name: str, atoms: _Atoms, bonds: Bonds, weights: Weights, batch: _Arrays
) -> _Atoms:
    """v_i + U Σ_{e = ij} G(v_i, b_e, v_j) ⊙ w_e.

    Args:
      params: Flax parameters.
      name: of the update in the parameters.
      atoms: v.
      bonds: b.
      weights: w.
      batch: graphs of `featurize_bonds`, packed.

    Returns:
      New states of all atoms.
    """
    here = jnp.concatenate([batch["centers"], batch["neighbors"]])
    there = jnp.concatenate([batch["neighbors"], batch["centers"]])
    inputs = {}
    for part in ("core", "gate"):
        own, middle, other = _kernels(params, name, part)
        along = bond_states(params, bonds, batch, middle)
        along = along + params[f"{name}/{part}_1"]["bias"][None, :]
        ends = take_rows(product(atoms, own), here) + take_rows(product(atoms, other), there)
        inputs[part] = ends + jnp.concatenate([along, along])
    messages = gated_map(params, name, inputs) * jnp.concatenate([weights.atoms, weights.atoms])
    return atoms + linear_map(params, f"{name}/output", _sum_messages(messages, here, like=atoms))


def angle_changes(
    params: Any, name: str, atoms: _Atoms, bonds: Bonds, angles: _Angles, batch: _Arrays
) -> _Angles:
    """G(b_e, b_f, a_α, v_i) of every angle α = (e, f) at atom i.

    Args:
      params: Flax parameters.
      name: of the update in the parameters.
      atoms: v.
      bonds: b.
      angles: a.
      batch: graphs of `featurize_bonds`, packed.

    Returns:
      One row an angle.
    """
    arguments = bonds.short, bonds.short, angles, atoms
    inputs = {}
    for part in ("core", "gate"):
        first, second, own, vertex = map(product, arguments, _kernels(params, name, part))
        inputs[part] = (
            take_rows(first, batch["first"])
            + take_rows(second, batch["second"])
            + own
            + take_rows(vertex, batch["angle_atoms"])
            + params[f"{name}/{part}_1"]["bias"][None, :]
        )
    return gated_map(params, name, inputs)


def update_bonds(
    params: Any,
    name: str,
    atoms: _Atoms,
    bonds: Bonds,
    angles: _Angles,
    weights: Weights,
    batch: _Arrays,
) -> Bonds:
    """b_e + U' Σ_{α = (e, f)} G'(b_e, b_f, a_α, v_i) ⊙ w'_e ⊙ w'_f.

    Args:
      params: Flax parameters.
      name: of the update in the parameters.
      atoms: v.
      bonds: b.
      angles: a.
      weights: w'.
      batch: graphs of `featurize_bonds`, packed.

    Returns:
      Bonds after the update.
    """
    messages = angle_changes(params, name, atoms, bonds, angles, batch)
    messages = messages * take_rows(weights.bonds, batch["second"])
    total = _sum_messages(messages, batch["first"], like=bonds.short) * weights.bonds
    output = params[f"{name}/output"]
    short, shift = bonds.short + product(total, output["kernel"]), bonds.shift
    if "bias" in output:
        shift = output["bias"] if shift is None else shift + output["bias"]
        own = take_rows(bonds.shifted, batch["short_bonds"])
        short = short + own[:, None] * output["bias"][None, :]
    return bonds._replace(short=short, shift=shift)
