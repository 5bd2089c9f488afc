"""MACE: equivariant messages, then symmetric polynomials of them, atom by atom.

Block t turns node features h (degrees l, equal width for each) into

    A_i = Lin( Σ_j R(r_ij) · (Lin h_j ⊗ Y(r̂_ij)) ) / n,
    h_i ← Lin( B(A_i, z_i) ) + skip_{z_i}(h_i),

with n the mean number of neighbors, or a learned density of them at each atom, and B of
`symmetric_contraction`; blocks without skip connection apply such a map, one for each element, to A
instead. The energy is Σ_i scale · (Σ_t readout_t(h_i) + repulsion_i) + shift, plus one number for
each element.

Layers: "block_1", "block_2", … are the scalars after each block; "descriptor" (the default) joins
them, as the original's `get_descriptors` does. "block_t_equivariant" holds all degrees of block t,
flattened as in the original: degree by degree, channel by channel, m = −l … l, y the polar axis.

References:
  Batatia et al., "MACE", NeurIPS 35, 11423 (2022); Batatia et al., "A foundation model for
  atomistic materials chemistry", arXiv:2401.00096; Kovács et al., "MACE-OFF", J. Am. Chem. Soc.
  147, 17598 (2025).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxalign.models.atomistic.spherical_harmonics import spherical_harmonics
from jaxalign.models.encoder import NodeFeatures
from jaxalign.models.graph_packing import sum_atoms, unpack_atoms
from jaxalign.models.mace.mace_layers import (
    Features,
    edge_messages,
    matmul,
    pair_repulsion,
    radial_features,
    radial_network,
    scaled_silu,
)
from jaxalign.models.mace.mace_settings import MaceSettings
from jaxalign.models.mace.mace_weights import message_paths
from jaxalign.models.mace.symmetric_contraction import Sort, contract

DEFAULT_LAYER = "descriptor"
_EQUIVARIANT = "_equivariant"


@dataclasses.dataclass(frozen=True)
class Mace:
    """A MACE without its parameters.

    Attributes:
      settings: what the file said.
      plans: monomials of each block's product basis.
    """

    settings: MaceSettings
    plans: tuple[tuple[Sort, ...], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers, the default first."""
        scalars = tuple(f"block_{t + 1}" for t in range(self.settings.blocks))
        degrees = zip(scalars, self.settings.degrees, strict=True)
        equivariant = tuple(f"{name}{_EQUIVARIANT}" for name, d in degrees if d != (0,))
        return (DEFAULT_LAYER, *scalars, *equivariant)


class Edges(NamedTuple):
    """What all blocks need to know of the edges.

    Attributes:
      centers: atom that receives.
      neighbors: atom that sends.
      ends: species of the neighbor and of the center.
      harmonics: degree → `[edges, 2 l + 1]`.
      radial: radial functions.
      cutoff: falls to 0 with the distance.
    """

    centers: Int[Array, " edges"]
    neighbors: Int[Array, " edges"]
    ends: tuple[Int[Array, " edges"], Int[Array, " edges"]]
    harmonics: Sequence[Float[Array, "edges _"]]
    radial: Float[Array, "edges basis"]
    cutoff: Float[Array, "edges 1"]


def mace_states(
    model: Mace, params: Mapping[str, Any], batch: Mapping[str, Any]
) -> list[tuple[Features, Features]]:
    """Messages A and node features h after each block.

    Args:
      model: settings and monomials.
      params: of `convert_params`.
      batch: what `mace_packing` collates.

    Returns:
      For each block two dicts, degree → `[atoms, 2 l + 1, channels]`.
    """
    species = jnp.asarray(batch["species"])
    edges = _edges(model.settings, params["radial"], batch)
    states: list[tuple[Features, Features]] = []
    for block in range(model.settings.blocks):
        features = states[-1][1] if states else {0: params["embedding"][:, None, :]}
        states.append(_block(model, params["blocks"][block], block, features, species, edges))
    return states


def _edges(settings: MaceSettings, params: Mapping[str, Any], batch: Mapping[str, Any]) -> Edges:
    names = ("species", "centers", "neighbors", "vectors")
    species, centers, neighbors, vectors = (jnp.asarray(batch[name]) for name in names)
    lengths = jnp.sqrt(jnp.sum(vectors**2, axis=-1))
    harmonics = spherical_harmonics(vectors / lengths[:, None], settings.max_degree)
    ends = species[neighbors], species[centers]
    radial, cutoff = radial_features(params, settings, lengths, ends)
    return Edges(centers, neighbors, ends, harmonics, radial, cutoff)


def _block(
    model: Mace,
    own: Mapping[str, Any],
    block: int,
    features: Features,
    species: Int[Array, " atoms"],
    edges: Edges,
) -> tuple[Features, Features]:
    """Messages and new features. The first block takes features of elements, not of atoms."""
    settings = model.settings
    kinds = species if block else jnp.arange(len(settings.atomic_numbers), dtype=species.dtype)
    senders = edges.neighbors if block else edges.ends[0]
    sent = {degree: value[senders] for degree, value in _up(own, features).items()}
    skip = _skip(own, features, kinds) if settings.residual[block] else {}
    if not block:
        skip = {degree: value[species] for degree, value in skip.items()}
    messages = _messages(settings, own, block, sent, edges, atoms=len(species))
    if not settings.residual[block]:
        messages = _skip(own, messages, species)
    joined = jnp.concatenate([messages[d] for d in sorted(messages)], axis=1)
    rows = jnp.zeros_like(species) if settings.shared_product else species
    products = contract(model.plans[block], own["product"], joined, rows)
    mixed = {d: matmul(products[d], own["out"][f"degree_{d}"]) for d in settings.degrees[block]}
    return messages, {d: value + skip[d] if d in skip else value for d, value in mixed.items()}


def _up(own: Mapping[str, Any], features: Features) -> Features:
    return {d: matmul(value, own["up"][f"degree_{d}"]) for d, value in features.items()}


def _skip(own: Mapping[str, Any], features: Features, species: Int[Array, " rows"]) -> Features:
    """A map of its own for each element and degree; degrees without one are dropped."""
    results = {}
    for degree, value in features.items():
        if (kernels := own["skip"].get(f"degree_{degree}")) is not None:
            results[degree] = jnp.einsum(
                "nmc,ncd->nmd", value, kernels[species], precision=jax.lax.Precision.HIGHEST
            )
    return results


def _messages(
    settings: MaceSettings,
    own: Mapping[str, Any],
    block: int,
    sent: Features,
    edges: Edges,
    *,
    atoms: int,
) -> Features:
    """Sums over the edges of each atom, with paths and channels mixed, relative to their number."""
    weights = radial_network(own["radial"], edges.radial)
    weights = weights * edges.cutoff if settings.cutoff_last else weights
    paths = message_paths(settings.inputs[block], settings.max_degree)
    count = jnp.asarray(settings.neighbors[block], weights.dtype)
    if settings.density[block]:
        density = jnp.tanh(matmul(edges.radial, own["density"]) ** 2)
        density = density * edges.cutoff if settings.cutoff_last else density
        count = 1 + _sum_edges(density, edges, atoms)[:, :, None]
    return {
        degree: matmul(_sum_edges(value, edges, atoms), own["down"][f"degree_{degree}"]) / count
        for degree, value in edge_messages(paths, sent, edges.harmonics, weights).items()
    }


def _sum_edges(
    values: Float[Array, "edges ..."], edges: Edges, atoms: int
) -> Float[Array, "atoms ..."]:
    return jax.ops.segment_sum(values, edges.centers, atoms, indices_are_sorted=True)


def apply_mace(
    model: Mace, params: Any, batch: Mapping[str, Any], layer: str | None = None
) -> NodeFeatures:
    """Features of all atoms of a packed batch.

    Args:
      model: settings and monomials.
      params: of `convert_params`.
      batch: what `mace_packing` collates.
      layer: one of `model.layers`; None means `"descriptor"`. Static.

    Returns:
      `[graphs, atoms, d]` values and the mask of real atoms.

    Raises:
      ValueError: if there is no such layer.
    """
    layer = layer or DEFAULT_LAYER
    if layer not in model.layers:
        raise ValueError(
            f"unknown layer {layer!r} of this MACE; pass one of {', '.join(model.layers)}"
        )
    return unpack_atoms(layer_values(mace_states(model, params, batch), layer), batch)


def layer_values(
    states: Sequence[tuple[Features, Features]], layer: str
) -> Float[Array, "atoms d"]:
    """One layer out of the states of all blocks; its name is known to exist."""
    if layer == DEFAULT_LAYER:
        return jnp.concatenate([features[0][:, 0] for _, features in states], axis=-1)
    _, features = states[int(layer.removesuffix(_EQUIVARIANT).removeprefix("block_")) - 1]
    return flatten(features) if layer.endswith(_EQUIVARIANT) else features[0][:, 0]


def flatten(features: Features) -> Float[Array, "rows d"]:
    """Degree by degree, channel by channel, component by component."""
    parts = [jnp.swapaxes(features[d], 1, 2) for d in sorted(features)]
    return jnp.concatenate([part.reshape(len(part), -1) for part in parts], axis=-1)


def interaction_energy(
    model: Mace, params: Any, batch: Mapping[str, Any]
) -> Float[Array, " graphs"]:
    """Energy of each structure without that of its single atoms, eV."""
    return readout_energy(model, params, batch, mace_states(model, params, batch))


def readout_energy(
    model: Mace,
    params: Any,
    batch: Mapping[str, Any],
    states: Sequence[tuple[Features, Features]],
) -> Float[Array, " graphs"]:
    """The same from the states of all blocks."""
    scalars = [features[0][:, 0] for _, features in states]
    *linear, last = params["readouts"]
    energies = matmul(scaled_silu(matmul(scalars[-1], last["hidden"])), last["kernel"])
    for readout, values in zip(linear, scalars, strict=False):
        energies = energies + matmul(values, readout["kernel"])
    if model.settings.repulsion:
        energies = energies + _repulsion(params, model.settings, batch)[:, None]
    return sum_atoms(params["scale"] * energies[:, 0] + params["shift"], batch)


def _repulsion(
    params: Any, settings: MaceSettings, batch: Mapping[str, Any]
) -> Float[Array, " atoms"]:
    species, centers = jnp.asarray(batch["species"]), jnp.asarray(batch["centers"])
    lengths = jnp.linalg.norm(jnp.asarray(batch["vectors"]), axis=-1)
    ends = species[jnp.asarray(batch["neighbors"])], species[centers]
    edges = pair_repulsion(params["repulsion"], settings, lengths, ends)
    return jax.ops.segment_sum(edges, centers, len(species), indices_are_sorted=True)
