"""Equivariant message passing: atoms carry scalars s and vectors v that turn with the molecule.

With φ_k the radial functions and Y the harmonics of degree 1 of the direction from atom i to j, a
block couples degrees 0 and 1 of the neighbors to densities of degree 0 and 1,

    ρ⁰_ik = Σ_j φ_k(r_ij) s_j   and   Σ_j φ_k(r_ij) Y_ij · v_j
    ρ¹_ik = Σ_j φ_k(r_ij) Y_ij P s_j   and   Σ_j φ_k(r_ij) v_j

(their third product Y × v is a pseudovector, and left out), and mixes channels within a degree:

    u_i  = L[ρ¹_i, v_i]
    m_i  = silu(W[ρ⁰_i, s_i, |u_i|²] + b)
    s'_i = s_i + W' m_i + b',      v'_i = v_i + sigmoid(G m_i + g) ⊙ u_i.

Harmonics, representations and their linear maps are those of e3nn-jax. As in `invariant`, products
of matrices sum over neighbors before channels are mixed. Features that leave the network are
invariant: s and |v|.

References:
  Geiger, Smidt, "e3nn: Euclidean neural networks", arXiv:2207.09453 (2022);
  Schütt, Unke, Gastegger, "Equivariant message passing for the prediction of tensorial properties
  and molecular spectra", ICML 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import e3nn_jax as e3nn
import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxalign.learning.networks.assembly import assemble, block_names
from jaxalign.learning.networks.atom_batches import ELEMENTS, MOLECULES, featurize_atoms
from jaxalign.learning.networks.network import Network
from jaxalign.learning.networks.radial_basis import all_pairs, radial_functions
from jaxalign.learning.networks.readouts import SumReadout
from jaxalign.models.encoder import Batch

CUTOFF = 5.0  # Å
RADIAL = 6
_CHANNELS_A_VECTOR = 4

_Nodes = Float[Array, "batch atoms d"]


class Surroundings(NamedTuple):
    """Functions of all pairs, in the layouts of the products of matrices that sum over neighbors.

    Attributes:
      radial: φ_k(r_ij) at `[b, i, k, j]`.
      outward: φ_k(r_ij) Y_m at `[b, i, (k, m), j]`: scalars to vectors.
      inward: the same numbers at `[b, i, k, (j, m)]`: vectors to scalars.
    """

    radial: Float[Array, "batch atoms k atoms"]
    outward: Float[Array, "batch atoms km atoms"]
    inward: Float[Array, "batch atoms k jm"]


def surroundings(batch: Batch, *, radial: int, cutoff: float) -> Surroundings:
    """What all blocks share: it is computed once.

    Args:
      batch: what `collate_atoms` gives.
      radial: number of radial functions. Static.
      cutoff: Å.

    Returns:
      The functions; 0 where two atoms are no pair.
    """
    pairs = all_pairs(batch["positions"], batch["mask"], cutoff=cutoff)
    functions = radial_functions(pairs, count=radial, cutoff=cutoff)
    # The length of what is no pair is the cutoff: nothing is divided by 0.
    directions = pairs.vectors / pairs.lengths[..., None]
    harmonics = e3nn.spherical_harmonics("1o", directions, normalize=False).array
    product = functions[..., None] * harmonics[:, :, None]
    rows, atoms = batch["mask"].shape
    return Surroundings(
        functions,
        jnp.moveaxis(product, -1, 3).reshape(rows, atoms, radial * 3, atoms),
        product.reshape(rows, atoms, radial, atoms * 3),
    )


class VectorBlock(nn.Module):
    """One step of message passing.

    Attributes:
      scalars: channels of degree 0.
      vectors: channels of degree 1.
    """

    scalars: int
    vectors: int

    @nn.compact
    def __call__(self, states: e3nn.IrrepsArray, around: Surroundings) -> e3nn.IrrepsArray:
        """Scalars and vectors of the next layer; the first has scalars alone as its input."""
        s, v = states.filter("0e").array, states.filter("1o")
        sent = nn.Dense(self.vectors, use_bias=False, name="sent")(s)
        rho_0 = [_sum_over_neighbors(around.radial, s), s]
        rho_1 = [_components_last(_sum_over_neighbors(around.outward, sent), self.vectors), v.array]
        if v.irreps.dim:
            rho_0.append(_sum_over_neighbors(around.inward, _components_first(v.array)))
            rho_1.append(_sum_over_neighbors(around.radial, v.array))
        u = e3nn.flax.Linear(f"{self.vectors}x1o", name="vectors")(_as_vectors(rho_1))
        inner = jnp.concatenate([*rho_0, e3nn.norm(u, squared=True).array], axis=-1)
        inner = nn.silu(nn.Dense(self.scalars, name="scalars")(inner))
        s = s + nn.Dense(self.scalars, name="update")(inner)
        u = u * nn.sigmoid(nn.Dense(self.vectors, name="gates")(inner))
        return e3nn.concatenate([_as_scalars(s), u + v if v.irreps.dim else u])


def _sum_over_neighbors(
    functions: Float[Array, "batch atoms k neighbors"], features: Float[Array, "batch neighbors d"]
) -> _Nodes:
    rows, atoms = functions.shape[:2]
    flat = functions.reshape(rows, -1, features.shape[1])
    return jnp.einsum("bxj,bjd->bxd", flat, features).reshape(rows, atoms, -1)


def _components_first(vectors: _Nodes) -> Float[Array, "batch components d"]:
    """`[b, i, (c, m)]` → `[b, (i, m), c]`."""
    rows, atoms = vectors.shape[:2]
    split = vectors.reshape(rows, atoms, -1, 3)
    return jnp.swapaxes(split, 2, 3).reshape(rows, atoms * 3, -1)


def _components_last(vectors: _Nodes, channels: int) -> _Nodes:
    """`[b, i, (k, m, c)]` → `[b, i, (k, c, m)]`."""
    split = vectors.reshape(*vectors.shape[:2], -1, 3, channels)
    return jnp.swapaxes(split, 3, 4).reshape(vectors.shape)


def _as_scalars(features: _Nodes) -> e3nn.IrrepsArray:
    return e3nn.IrrepsArray(f"{features.shape[-1]}x0e", features)


def _as_vectors(parts: Sequence[_Nodes]) -> e3nn.IrrepsArray:
    joined = jnp.concatenate(parts, axis=-1)
    return e3nn.IrrepsArray(f"{joined.shape[-1] // 3}x1o", joined)


class EquivariantMessages(nn.Module):
    """Message passing over distances and directions.

    Attributes:
      width: channels d of an atom: a quarter of them are vectors.
      depth: number of blocks.
      cutoff: Å.
      radial: number K of radial functions.
    """

    width: int
    depth: int
    cutoff: float
    radial: int

    @property
    def layers(self) -> tuple[str, ...]:
        """`block_1` to the last."""
        return block_names(self.depth)

    def setup(self) -> None:
        """Names the parts."""
        vectors = self.width // _CHANNELS_A_VECTOR
        scalars, unit = self.width - vectors, nn.initializers.normal(1.0)
        self.elements = nn.Embed(ELEMENTS.stop, scalars, embedding_init=unit)
        self.blocks = [VectorBlock(scalars, vectors, name=name) for name in self.layers]
        self.readout = SumReadout()

    def turning_states(self, batch: Batch, layer: str) -> e3nn.IrrepsArray:
        """Scalars and vectors of the atoms behind one block."""
        around = surroundings(batch, radial=self.radial, cutoff=self.cutoff)
        states = _as_scalars(self.elements(batch["numbers"]))
        for block in self.blocks[: self.layers.index(layer) + 1]:
            states = block(states, around)
        return states

    def states(self, batch: Batch, layer: str) -> _Nodes:
        """What does not turn of one layer: scalars, and lengths of vectors."""
        states = self.turning_states(batch, layer)
        parts = states.filter("0e"), e3nn.norm(states.filter("1o"))
        return jnp.concatenate([part.array for part in parts], axis=-1)

    def __call__(self, batch: Batch) -> Float[Array, " batch"]:
        """One number a molecule."""
        return self.readout(self.states(batch, self.layers[-1]), batch["mask"])


def build_equivariant(
    *, width: int, depth: int, cutoff: float = CUTOFF, radial: int = RADIAL
) -> Network:
    """Equivariant message passing on atoms in space.

    Args:
      width: channels of an atom; a quarter of them are vectors.
      depth: number of blocks.
      cutoff: Å.
      radial: number of radial functions.

    Returns:
      The network.

    Raises:
      ValueError: if the width has no room for a vector.
    """
    if width < _CHANNELS_A_VECTOR:
        raise ValueError(
            f"a quarter of the channels are vectors: got width {width}; "
            f"take at least {_CHANNELS_A_VECTOR}"
        )
    sizes = {"width": width, "depth": depth, "cutoff": cutoff, "radial": radial}
    return assemble(
        EquivariantMessages(**sizes),
        settings={"architecture": "equivariant", **sizes},
        featurize=featurize_atoms,
        batching=MOLECULES,
        name=f"equivariant message passing, width {width}, depth {depth}",
        family="equivariant message passing",
        modality="3d",
        symmetry="invariant",
        citation="e3nn: Geiger, Smidt, arXiv:2207.09453 (2022)",
        notes=f"Equivariant inside: scalars, and vectors that turn, of neighbors below {cutoff:g} "
        "Å. Features are the scalars and the vectors' lengths, which do not turn. Readout: sum "
        "over atoms. Elements that no training molecule has keep their random embedding.",
    )
