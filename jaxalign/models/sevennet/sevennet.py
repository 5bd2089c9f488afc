"""SevenNet: equivariant message passing over crystals (the NequIP architecture without parity).

Atoms carry irreducible features xˡ of degree l = 0 … L, `[2l + 1, channels]` each. With the skip
S, and U, V linear maps within each degree, a block is

    hᵢ = V ( 1/N Σ_j Σ_paths R_p(r_ij) · (U x_j)^(l₁) ⊗ Y^(l₂)(r_ij) ) + S xᵢ
    xᵢ ← silu(scalars of h),   xᵢˡ ← silu(gates of h) · hˡ,           silu times 1.679

over all neighbors j within 5 Å, periodic images included; R is a small network of the distance, and
⊗ couples to degree l₃ (`tensor_products`). Last, a linear map of the scalars gives the energy of
each atom. How the sum over j is done: `pair_convolution`.

Layers: "embedding" (128 numbers an atom, by element) and "block_1" … "block_5", the 128 scalars
after the gate of each block, all invariant; the last is the default. "block_1_equivariant" …
"block_4_equivariant" hold all degrees: those of degree 0 first, and within a degree the component
m = −l … l running fastest, as e3nn flattens 128x0e+64x1e+32x2e: 480 numbers (l3i5: 704).

References:
  Park, Kim, Hwang, Han, "Scalable parallel algorithm for graph neural network interatomic
  potentials in molecular dynamics simulations", J. Chem. Theory Comput. 20, 4857 (2024); Batzner et
  al. (NequIP), Nat. Commun. 13, 2453 (2022).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxalign.models.atomistic.atom_graph import check_atoms
from jaxalign.models.bound import bind
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, EnergyModel, NodeFeatures
from jaxalign.models.graph_packing import sum_atoms, unpack_atoms
from jaxalign.models.sevennet.edge_filters import EdgeBasis, edge_basis, edge_filters
from jaxalign.models.sevennet.pair_convolution import Features, convolve_pairs, linear
from jaxalign.models.sevennet.pair_graph import PACKING, featurize_pairs

BLOCKS = 5
LAYERS = (
    "embedding",
    *(f"block_{n}" for n in range(1, BLOCKS + 1)),
    *(f"block_{n}_equivariant" for n in range(1, BLOCKS)),
)
DEFAULT_LAYER = f"block_{BLOCKS}"
_BLOCKS_BEFORE = {layer: int(layer.split("_")[1]) for layer in LAYERS[1:]} | {LAYERS[0]: 0}
# e3nn scales activations to unit second moment, which it estimates from a million random numbers;
# the exact value for silu is 1.67653, and the difference of 0.2 % would be seen.
SILU_SCALE = 1.6791767923989418


@dataclasses.dataclass(frozen=True)
class SevenNetConfig:
    """What is fixed about a network besides its parameters.

    Attributes:
      channels: of the degrees 0, 1, … of the atoms' features.
      elements: atomic numbers in the order of the rows of the embedding.
      cutoff: Å.
      onset: distance in Å where the smooth cutoff (XPLOR) begins; None for the polynomial of
        order 6, which begins at 0.
      unit_vectors: whether harmonics are taken of directions; if not, they grow as rˡ.
    """

    channels: tuple[int, ...]
    elements: tuple[int, ...]
    cutoff: float = 5.0
    onset: float | None = None
    unit_vectors: bool = True

    @property
    def degree(self) -> int:
        """Largest degree of features and of harmonics."""
        return len(self.channels) - 1

    def edge_basis(
        self, frequencies: Float[Array, " basis"], batch: Mapping[str, Any]
    ) -> EdgeBasis:
        """See `edge_filters.edge_basis`."""
        settings = {"cutoff": self.cutoff, "onset": self.onset, "unit_vectors": self.unit_vectors}
        return edge_basis(frequencies, batch, degree=self.degree, **settings)


def apply_gate(features: Features, channels: tuple[int, ...]) -> Features:
    """Scalars through the activation, higher degrees times an activated gate of their own.

    Args:
      features: of which degree 0 holds the scalars, then the gates of degree 1, 2, …
      channels: of each degree of the result.

    Returns:
      Features of these channels.
    """
    active = SILU_SCALE * jax.nn.silu(features[0])
    ends = [sum(channels[: degree + 1]) for degree in range(len(channels))]
    gated = [
        features[degree] * active[:, :, end - width : end]
        for degree, (end, width) in enumerate(zip(ends, channels, strict=True))
        if degree
    ]
    return (active[:, :, : channels[0]], *gated)


def block_states(
    params: Any, batch: Mapping[str, Any], config: SevenNetConfig, blocks: int = BLOCKS
) -> tuple[Features, ...]:
    """Features of all atoms of a packed batch before and after each block.

    Args:
      params: parameters.
      batch: what `PACKING.collate` gives.
      config: settings of the network. Static.
      blocks: number of blocks to compute. Static.

    Returns:
      The embedding and the features after each block: one array `[2l + 1, atoms, channels]` a
      degree; after the last block degree 0 alone.
    """
    batch = {name: jnp.asarray(array) for name, array in batch.items()}
    states: list[Features] = [(params["embedding"][batch["species"]][None],)]
    if blocks == 0:
        return tuple(states)
    basis = config.edge_basis(params["frequencies"], batch)
    states.append(_block(params["first"], states[-1], basis, batch, config.channels))

    def middle(features: Features, layer: Any) -> tuple[Features, Features]:
        features = _block(layer, features, basis, batch, config.channels)
        return features, features

    if (count := min(blocks, BLOCKS - 1) - 1) > 0:
        # Alike, so that they are compiled once.
        layers = jax.tree.map(lambda w: w[:count], params["middle"])
        _, stacked = jax.lax.scan(middle, states[-1], layers)
        states += [jax.tree.map(lambda x, n=n: x[n], stacked) for n in range(count)]
    if blocks == BLOCKS:
        states.append(_block(params["last"], states[-1], basis, batch, config.channels[:1]))
    return tuple(states)


def _block(
    layer: Any,
    features: Features,
    basis: EdgeBasis,
    batch: Mapping[str, Any],
    channels: tuple[int, ...],
) -> Features:
    filters = edge_filters(layer["radial"], basis, batch)
    mixed = linear(layer["mix"], features)
    summed = convolve_pairs(layer["paths"], mixed, filters, batch, degree=len(channels) - 1)
    hidden, skip = linear(layer["update"], summed), linear(layer["skip"], features)
    # The first block's inputs are scalars, so degrees above have nothing to skip.
    skip = (*skip, *(jnp.zeros_like(value) for value in hidden[len(skip) :]))
    return apply_gate(tuple(map(jnp.add, hidden, skip)), channels)


def flatten_features(features: Features) -> Float[Array, "atoms d"]:
    """All degrees in one row an atom, in the order that the module's docstring states."""
    rows = [jnp.moveaxis(value, 0, -1).reshape(value.shape[1], -1) for value in features]
    return jnp.concatenate(rows, axis=1)


def apply_sevennet(
    params: Any, batch: Mapping[str, Any], layer: str | None = None, *, config: SevenNetConfig
) -> NodeFeatures:
    """Features of all atoms of a packed batch.

    Args:
      params: parameters.
      batch: what `PACKING.collate` gives.
      layer: a name of `LAYERS`; None is the last block. Static.
      config: settings of the network. Static.

    Returns:
      `[graphs, atoms, d]` values and their mask.

    Raises:
      ValueError: if there is no such layer.
    """
    layer = layer or DEFAULT_LAYER
    if layer not in LAYERS:
        raise ValueError(f"unknown layer {layer!r} of SevenNet; pass one of {', '.join(LAYERS)}")
    features = block_states(params, batch, config, _BLOCKS_BEFORE[layer])[-1]
    values = flatten_features(features) if layer.endswith("_equivariant") else features[0][0]
    return unpack_atoms(values, batch)


def interaction_energy(
    params: Any, batch: Mapping[str, Any], *, config: SevenNetConfig
) -> Float[Array, " graphs"]:
    """Energy of each structure without the reference energies of its elements, eV.

    Args:
      params: parameters.
      batch: what `PACKING.collate` gives.
      config: settings of the network. Static.

    Returns:
      `[graphs]`; 0 for empty slots.
    """
    return sum_atoms(atom_energies(params, batch, block_states(params, batch, config)[-1]), batch)


def atom_energies(
    params: Any, batch: Mapping[str, Any], features: Features
) -> Float[Array, " atoms"]:
    """Share of each atom in the interaction energy, eV.

    Args:
      params: parameters.
      batch: what `PACKING.collate` gives.
      features: after the last block.

    Returns:
      `[atoms]`.
    """
    energies = linear(params["readout"], features)[0][0, :, 0]
    return energies * params["scale"][jnp.asarray(batch["species"])]


def crystal_encoder(
    card: ModelCard, params: Any, config: SevenNetConfig, reference: Mapping[int, float] | None
) -> Encoder:
    """A SevenNet ready for extraction.

    Args:
      card: facts about the model.
      params: parameters.
      config: settings of the network.
      reference: atomic number → energy in eV that is added for each such atom; None for an
        encoder that predicts no energies.

    Returns:
      An encoder of crystals and molecules with positions; its nodes are the atoms.
    """
    interaction = bind(interaction_energy, config=config)
    return Encoder(
        card=card,
        params=jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params),
        featurize=functools.partial(
            featurize_pairs, elements=config.elements, cutoff=config.cutoff
        ),
        check=functools.partial(check_atoms, known=config.elements, family="SevenNet"),
        batching=PACKING,
        apply=bind(apply_sevennet, config=config),
        energy=None if reference is None else EnergyModel(interaction, reference),
    )
