"""eSEN and UMA: equivariant messages in the frames of edges, without attention.

Features of an atom are coefficients of harmonics, x [(l_max + 1)², channels]. They start as an
embedding of the element (degree 0) plus a sum over edges of learned functions of the distance,
turned out of the edges' frames. A block adds to them

    x_i ← x_i + Σ_j u(r_ij) D_ij⁻¹ message(D_ij [n(x_j), n(x_i)], r_ij, z_j, z_i),
    x_i ← x_i + pointwise(n(x_i)),

with D the turn into the frame of an edge, u an envelope and n a norm. To the scalars of n(x) in the
first line, and to the first embedding, a vector for charge, spin and data set is added. UMA mixes
the maps inside of messages for each structure from many experts: shares come from that vector and
from the mean over an embedding of the elements.

Layers: "embedding" (before the first block), "block_1", … and "final" (normalized; the default, and
what the original calls the node embedding) are the scalars. With "_equivariant" behind the name,
all coefficients: degree by degree, m = −l … l (y the polar axis), channels fastest, which is the
original's [coefficients, channels] made flat.

References:
  Fu et al., "Learning smooth and expressive interatomic potentials for physical property
  prediction", arXiv:2502.12147 (2025); Wood et al., "UMA: a family of universal models for atoms",
  arXiv:2506.23971 (2025).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxalign.models.encoder import NodeFeatures
from jaxalign.models.esen.edge_blocks import EDGE_BLOCK, in_blocks
from jaxalign.models.esen.edge_frames import edge_frames, into_frames, out_of_frames
from jaxalign.models.esen.esen_layers import (
    cutoff_envelope,
    dense,
    equivariant_norm,
    feed_forward,
    gaussians,
    matmul,
    radial_weights,
)
from jaxalign.models.esen.esen_settings import EsenSettings
from jaxalign.models.esen.mixed_experts import expert_shares, merge_experts, pick_structure
from jaxalign.models.esen.so2_messages import edge_message
from jaxalign.models.graph_packing import sum_atoms, unpack_atoms

DEFAULT_LAYER = "final"
_EQUIVARIANT = "_equivariant"
# The original divides the first sum over edges by about the root of their usual number.
_DEGREE_SCALE = 5.0

_Features = Float[Array, "atoms coefficients channels"]


class EsenStates(NamedTuple):
    """Features of all atoms.

    Attributes:
      embedding: before the first block.
      blocks: after each block.
      final: normalized.
    """

    embedding: _Features
    blocks: Float[Array, "blocks atoms coefficients channels"]
    final: _Features


def esen_layers(settings: EsenSettings) -> tuple[str, ...]:
    """Names of all layers, the default first."""
    blocks = (f"block_{t + 1}" for t in range(settings.blocks))
    scalars = (DEFAULT_LAYER, "embedding", *blocks)
    return (*scalars, *(name + _EQUIVARIANT for name in scalars))


def esen_states(
    settings: EsenSettings, params: Mapping[str, Any], batch: Mapping[str, Any]
) -> EsenStates:
    """Features of all atoms after each step.

    Args:
      settings: of the model.
      params: of `convert_params`.
      batch: what `esen_packing` collates.

    Returns:
      The features.
    """
    edges = _prepare_edges(settings, batch)
    batch = {name: jnp.asarray(value) for name, value in batch.items()}
    scalars = params["elements"][batch["species"]] + params["system"][None]
    first = jnp.zeros((len(scalars), settings.coefficients, settings.channels), scalars.dtype)
    first = first.at[:, 0].set(scalars)
    first = first + _degree_embedding(settings, params["degree"], edges, batch) / _DEGREE_SCALE
    shares = expert_shares(settings, params, batch) if settings.experts else None

    def step(x: _Features, own: Mapping[str, Any]) -> tuple[_Features, _Features]:
        maps = own["messages"]
        if shares is not None:
            maps = merge_experts(maps, shares)
        normed = equivariant_norm(settings, own["norm_1"], x).at[:, 0].add(params["system"][None])
        x = x + _sum_messages(settings, maps, own["radial"], normed, edges, batch)
        normed = equivariant_norm(settings, own["norm_2"], x)
        x = x + feed_forward(settings, own["pointwise"], normed)
        x = _balance(settings, params, x, batch)
        return x, x

    last, blocks = jax.lax.scan(step, first, params["blocks"])
    return EsenStates(first, blocks, equivariant_norm(settings, params["norm"], last))


def _prepare_edges(settings: EsenSettings, batch: Mapping[str, Any]) -> dict[str, Any]:
    """What all blocks need to know of the edges, in groups of `EDGE_BLOCK`."""
    vectors = jnp.asarray(batch["vectors"])
    lengths = jnp.linalg.norm(vectors, axis=-1)
    species = jnp.asarray(batch["species"])
    centers, neighbors = jnp.asarray(batch["centers"]), jnp.asarray(batch["neighbors"])
    edges = {
        "centers": centers,
        "neighbors": neighbors,
        "center_species": species[centers],
        "neighbor_species": species[neighbors],
        "envelope": cutoff_envelope(settings, lengths),
        "gaussians": gaussians(settings, lengths),
        "frames": edge_frames(
            vectors, max_degree=settings.max_degree, max_order=settings.max_order
        ),
    }
    return in_blocks(edges)


def _radial(params: Mapping[str, Any], edges: Mapping[str, Any]) -> Float[Array, "edges width"]:
    """Learned functions of the distance and the elements at both ends."""
    hidden = matmul(edges["gaussians"], params["distance"])
    hidden = hidden + params["neighbor"][edges["neighbor_species"]]
    return radial_weights(params, hidden + params["center"][edges["center_species"]])


def _degree_embedding(
    settings: EsenSettings,
    params: Mapping[str, Any],
    edges: Mapping[str, Any],
    batch: Mapping[str, Any],
) -> _Features:
    def message(own: Mapping[str, Any]) -> Float[Array, "edges coefficients channels"]:
        values = _radial(params, own) * own["envelope"][:, None]
        values = values.reshape(EDGE_BLOCK, 1, settings.max_degree + 1, settings.channels)
        return out_of_frames(own["frames"], (values,))

    return _sum_edges(jax.lax.map(message, edges), batch)


def _sum_messages(
    settings: EsenSettings,
    maps: Mapping[str, Any],
    radial: Mapping[str, Any],
    features: _Features,
    edges: Mapping[str, Any],
    batch: Mapping[str, Any],
) -> _Features:
    def message(own: Mapping[str, Any]) -> Float[Array, "edges coefficients channels"]:
        ends = [features[own["neighbors"]], features[own["centers"]]]
        turned = into_frames(own["frames"], jnp.concatenate(ends, axis=2))
        weights = (
            pick_structure(maps, batch["graph"][own["centers"][0]]) if settings.experts else maps
        )
        result = edge_message(settings, weights, turned, _radial(radial, own))
        result = [x * own["envelope"][:, None, None, None] for x in result]
        return out_of_frames(own["frames"], result)

    return _sum_edges(jax.lax.map(message, edges), batch)


def _sum_edges(
    values: Float[Array, "groups edges coefficients channels"], batch: Mapping[str, Any]
) -> _Features:
    rows = values.reshape(-1, *values.shape[2:])[: len(batch["centers"])]
    return jax.ops.segment_sum(
        rows, batch["centers"], len(batch["species"]), indices_are_sorted=True
    )


def _balance(
    settings: EsenSettings,
    params: Mapping[str, Any],
    x: _Features,
    batch: Mapping[str, Any],
) -> _Features:
    """Shifts some scalars so that their sums over a structure are the charge and the spin."""
    wanted = ((settings.charge_channels, "charge"), (settings.spin_channels, "spin"))
    for (start, end), name in wanted:
        if end > start:
            slots, graph = batch["slots"], batch["graph"]
            count = jnp.sum(slots >= 0, axis=1).astype(x.dtype)
            own = x[:, 0, start:end]
            total = jax.ops.segment_sum(own, graph, len(slots), indices_are_sorted=True)
            shift = (total - params[name]) / jnp.maximum(count, 1)[:, None]
            x = x.at[:, 0, start:end].add(-shift[jnp.minimum(graph, len(slots) - 1)])
    return x


def apply_esen(
    settings: EsenSettings, params: Any, batch: Mapping[str, Any], layer: str | None = None
) -> NodeFeatures:
    """Features of all atoms of a packed batch.

    Args:
      settings: of the model.
      params: of `convert_params`.
      batch: what `esen_packing` collates.
      layer: one of `esen_layers`; None means `"final"`. Static.

    Returns:
      `[graphs, atoms, d]` values and the mask of real atoms.

    Raises:
      ValueError: if there is no such layer.
    """
    layer = layer or DEFAULT_LAYER
    known = esen_layers(settings)
    if layer not in known:
        raise ValueError(f"unknown layer {layer!r} of this eSEN; pass one of {', '.join(known)}")
    return unpack_atoms(layer_values(esen_states(settings, params, batch), layer), batch)


def layer_values(states: EsenStates, layer: str) -> Float[Array, "atoms d"]:
    """One layer out of all states; its name is known to exist."""
    name = layer.removesuffix(_EQUIVARIANT)
    named = {"embedding": states.embedding, "final": states.final}
    x = named[name] if name in named else states.blocks[int(name.removeprefix("block_")) - 1]
    return x.reshape(len(x), -1) if layer.endswith(_EQUIVARIANT) else x[:, 0]


def interaction_energy(
    settings: EsenSettings, params: Any, batch: Mapping[str, Any]
) -> Float[Array, " graphs"]:
    """Energy of each structure without the references of its elements, eV."""
    return readout_energy(params, batch, esen_states(settings, params, batch))


def readout_energy(
    params: Any, batch: Mapping[str, Any], states: EsenStates
) -> Float[Array, " graphs"]:
    """The same from the features of all atoms."""
    *hidden, last = params["head"]
    x = states.final[:, 0]
    for layer in hidden:
        x = jax.nn.silu(dense(layer, x))
    energies = sum_atoms(dense(last, x)[:, 0], batch)
    filled = jnp.any(jnp.asarray(batch["slots"]) >= 0, axis=1)
    return jnp.where(filled, energies * params["scale"] + params["shift"], 0)
