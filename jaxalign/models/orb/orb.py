"""Orb: a graph network simulator with gated sums over the edges of each atom.

Perceptrons f end in a normalization. From the element of an atom i and the vector of an edge ij

    n_i = f(embedding(z_i)),    e_ij = f(radial and angular functions of r_ij),

and each layer updates edges, then nodes, with a smooth cutoff c and gates σ of the edges before:

    e'_ij = f(e_ij, n_i, n_j),
    n_i ← n_i + f(n_i, Σ_j c σ(w_r·e_ji + b_r) e'_ji, Σ_j c σ(w_s·e_ij + b_s) e'_ij),
    e_ij ← e_ij + e'_ij.

Atom i sends along ij, to its nearest neighbors; so the graph of a limited number of neighbors is
not symmetric. The energy is that of a perceptron on the mean of the n_i, times the number of atoms,
and a short-ranged repulsion in v3. **The angular functions enter as plain numbers**: no layer is
invariant under rotations, not even approximately with random weights.

Layers: "encoder", then "layer_1", "layer_2", … after each message passing step.

References:
  Neumann et al., "Orb: a fast, scalable neural network potential", arXiv:2410.22570 (2024); Rhodes
  et al., "Orb-v3: atomistic simulation at scale", arXiv:2504.06231 (2025); Sanchez-Gonzalez et al.,
  "Learning to simulate complex physics with graph networks", ICML (2020).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxalign.models.atomistic.spherical_harmonics import spherical_harmonics
from jaxalign.models.encoder import NodeFeatures
from jaxalign.models.graph_packing import sum_atoms, unpack_atoms
from jaxalign.models.mace.mace_layers import matmul, smooth_cutoff
from jaxalign.models.orb.orb_settings import OrbSettings

CUTOFF = 6.0  # Å; of all Orbs
_SMOOTHNESS = 4
_RADIUS = 10.0  # Å; of the Gaussian functions
_LINEAR = 20.0  # the original's softplus is the identity above
_LAYER_NORM = 1e-5
# Ziegler-Biersack-Littmark: eV Å, Å, powers and screening of the original.
_COULOMB, _SCREENING_LENGTH, _POWER = 14.3996, 0.4543 * 0.529, 0.300
_SCREENING = ((0.1818, 3.2), (0.5099, 0.9423), (0.2802, 0.4028), (0.02817, 0.2016))
_REPULSION_SMOOTHNESS = 6


def apply_orb(
    settings: OrbSettings, params: Any, batch: Mapping[str, Any], layer: str | None = None
) -> NodeFeatures:
    """Features of all atoms of a packed batch.

    Args:
      settings: of the model.
      params: of `convert_params`.
      batch: what `orb_graph.PACKING` collates.
      layer: one of `settings.layers`; None means the last one. Static.

    Returns:
      `[graphs, atoms, d]` values and the mask of real atoms.

    Raises:
      ValueError: if there is no such layer.
    """
    layer = layer or settings.layers[-1]
    if layer not in settings.layers:
        raise ValueError(
            f"unknown layer {layer!r} of this Orb; pass one of {', '.join(settings.layers)}"
        )
    steps = settings.layers.index(layer)
    return unpack_atoms(orb_states(settings, params, batch, steps=steps)[-1], batch)


def orb_states(
    settings: OrbSettings, params: Mapping[str, Any], batch: Mapping[str, Any], *, steps: int
) -> Float[Array, "states atoms d"]:
    """Features of the nodes before and after each of the first message passing layers.

    Args:
      settings: of the model.
      params: of `convert_params`.
      batch: what `orb_graph.PACKING` collates.
      steps: how many layers.

    Returns:
      `steps + 1` states.
    """
    senders, receivers = jnp.asarray(batch["senders"]), jnp.asarray(batch["receivers"])
    vectors = jnp.asarray(batch["vectors"])
    lengths = jnp.sqrt(jnp.sum(vectors**2, axis=-1))
    cutoff = smooth_cutoff(lengths / CUTOFF, _SMOOTHNESS)[:, None]
    # Elements are fewer than atoms.
    table = _perceptron(settings, params["nodes"], params["embedding"])
    nodes = table[jnp.asarray(batch["species"])]
    inputs = _edge_inputs(settings, params, vectors, lengths, cutoff)
    edges = _perceptron(settings, params["edges"], inputs)

    def step(carry, own):
        nodes, edges = carry
        nodes = nodes + own["condition"][None] if "condition" in own else nodes
        updates = _edge_update(settings, own["edges"], edges, nodes, senders, receivers)
        gates = jax.nn.sigmoid(_linear(own["gates"], edges))
        sent, received = (
            jax.ops.segment_sum(updates * (gates[:, [n]] * cutoff), ends, len(nodes), sorted_)
            for n, (ends, sorted_) in enumerate(((senders, True), (receivers, False)))
        )
        joined = jnp.concatenate([nodes, received, sent], axis=-1)
        nodes = nodes + _perceptron(settings, own["nodes"], joined)
        return (nodes, edges + updates), nodes

    chosen = jax.tree.map(lambda x: x[:steps], params["layers"])
    _, states = jax.lax.scan(step, (nodes, edges), chosen, length=steps)
    return jnp.concatenate([nodes[None], states])


def _edge_inputs(
    settings: OrbSettings,
    params: Mapping[str, Any],
    vectors: Float[Array, "edges 3"],
    lengths: Float[Array, " edges"],
    cutoff: Float[Array, "edges 1"],
) -> Float[Array, "edges inputs"]:
    """Gaussians beside the unit vector (v2), or Bessel functions times harmonics (v3)."""
    x, directions = lengths[:, None], vectors / lengths[:, None]
    if settings.degree is None:
        centers = jnp.arange(settings.bases, dtype=x.dtype) * (_RADIUS / settings.bases)
        return jnp.concatenate([jnp.exp(-((x - centers[None, :]) ** 2)), directions], axis=-1)
    basis = params["prefactor"] * jnp.sin(params["frequencies"][None, :] * x) / x
    angular = jnp.concatenate(spherical_harmonics(directions, settings.degree), axis=-1)
    product = (cutoff * basis)[:, :, None] * angular[:, None, :]
    return product.reshape(len(lengths), settings.edge_inputs)


def _edge_update(
    settings: OrbSettings,
    own: Mapping[str, Any],
    edges: Float[Array, "edges d"],
    nodes: Float[Array, "atoms d"],
    senders: Any,
    receivers: Any,
) -> Float[Array, "edges d"]:
    """A perceptron of an edge and its ends. What depends on an end is computed atom by atom."""
    first, *others = own["linears"]
    kernels = first["kernel"].reshape(3, settings.latent, -1)
    sent, received = (matmul(nodes, kernel) for kernel in kernels[1:])
    x = matmul(edges, kernels[0]) + first["bias"][None]
    x = x + sent[senders] + received[receivers]
    x = _ACTIVATIONS[settings.activation](x) if others else x
    return _normalize(settings, own["norm"], _linears(settings, others, x))


def _perceptron(
    settings: OrbSettings, own: Mapping[str, Any], x: Float[Array, "rows n"]
) -> Float[Array, "rows d"]:
    return _normalize(settings, own["norm"], _linears(settings, own["linears"], x))


def _linears(
    settings: OrbSettings, linears: Sequence[Mapping[str, Any]], x: Float[Array, "rows n"]
) -> Float[Array, "rows m"]:
    """Linear maps, with the activation between them."""
    for number, linear in enumerate(linears):
        x = _ACTIVATIONS[settings.activation](x) if number else x
        x = _linear(linear, x)
    return x


def _linear(own: Mapping[str, Any], x: Float[Array, "rows n"]) -> Float[Array, "rows m"]:
    return matmul(x, own["kernel"]) + own["bias"][None]


def _shifted_softplus(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.where(x > _LINEAR, x, jax.nn.softplus(x)) - math.log(2.0)


def _gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jax.nn.gelu(x, approximate=False)


_ACTIVATIONS = {"ssp": _shifted_softplus, "silu": jax.nn.silu, "gelu": _gelu}


def _normalize(
    settings: OrbSettings, own: Mapping[str, Any], x: Float[Array, "rows d"]
) -> Float[Array, "rows d"]:
    """Layer normalization, or division by the root mean square."""
    if settings.layer_norm:
        x = x - jnp.mean(x, axis=-1, keepdims=True)
        scale = jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + _LAYER_NORM)
        return x * scale * own["scale"][None] + own["bias"][None]
    # As PyTorch does, the offset follows the precision.
    scale = jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + jnp.finfo(x.dtype).eps)
    return x * scale * own["scale"][None]


def interaction_energy(
    settings: OrbSettings, params: Any, batch: Mapping[str, Any]
) -> Float[Array, " graphs"]:
    """Energy of each structure without the reference energies of its atoms, eV."""
    states = orb_states(settings, params, batch, steps=settings.steps)
    return readout_energy(settings, params, batch, states[-1])


def readout_energy(
    settings: OrbSettings, params: Any, batch: Mapping[str, Any], nodes: Float[Array, "atoms d"]
) -> Float[Array, " graphs"]:
    """The same from the last features of the nodes."""
    own, graphs = params["energy"], len(batch["slots"])
    counts = jnp.sum(jnp.asarray(batch["slots"]) >= 0, axis=1).astype(nodes.dtype)
    total = jax.ops.segment_sum(nodes, jnp.asarray(batch["graph"]), graphs, True)
    means = total / jnp.maximum(counts, 1)[:, None]
    averages = _linears(settings, own["linears"], means)[:, 0] * own["std"] + own["mean"]
    energies = averages * counts
    if settings.repulsion is None:
        return energies
    repulsion = sum_atoms(_repulsion(params, batch), batch)
    # The conservative models of the original take the mean here, which is not extensive.
    return energies + (
        repulsion / jnp.maximum(counts, 1) if settings.repulsion == "mean" else repulsion
    )


def _repulsion(params: Any, batch: Mapping[str, Any]) -> Float[Array, " atoms"]:
    """Half of the ZBL energy of the edges that each atom sends along, eV.

    The original takes every atomic number one too large here (hydrogen for helium, and so on), in
    the charges as well as in the radii that end the potential; so does this.
    """
    species, senders = jnp.asarray(batch["species"]), jnp.asarray(batch["senders"])
    lengths = jnp.linalg.norm(jnp.asarray(batch["vectors"]), axis=-1)
    first, second = (species[ends] + 1 for ends in (senders, jnp.asarray(batch["receivers"])))
    a, b = first.astype(lengths.dtype), second.astype(lengths.dtype)
    x = lengths * (a**_POWER + b**_POWER) / _SCREENING_LENGTH
    screened = sum(weight * jnp.exp(-rate * x) for weight, rate in _SCREENING)
    radii = params["radii"][first] + params["radii"][second]
    envelope = smooth_cutoff(lengths / radii, _REPULSION_SMOOTHNESS)
    energies = _COULOMB * a * b / lengths * screened * envelope / 2
    return jax.ops.segment_sum(energies, senders, len(species), True)
