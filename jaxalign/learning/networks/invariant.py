"""Invariant message passing: atoms see the distances of their neighbors, never their directions.

With h⁰ = E[element] and radial functions φ_k, a block maps

    ρ_ik = Σ_j φ_k(r_ij) h_j                                (density of each channel around atom i)
    h'_i = h_i + W₂ silu(Σ_k W_k ρ_ik + W₁ h_i + b) + b₂.

This is a continuous-filter convolution whose filter Σ_k φ_k(r) W_k is a matrix: as it is linear in
the φ_k, neighbors are summed before the product, so that no array has pairs *and* channels. Two
products of matrices remain, `[atoms · K, atoms] [atoms, d]` and `[atoms, K · d] [K · d, d]`.

References:
  Schütt et al., "SchNet: a continuous-filter convolutional neural network for modeling quantum
  interactions", NeurIPS 2017.
"""

from __future__ import annotations

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
RADIAL = 8


class DensityBlock(nn.Module):
    """One step of message passing."""

    @nn.compact
    def __call__(
        self, states: Float[Array, "batch atoms d"], radial: Float[Array, "batch atoms k atoms"]
    ) -> Float[Array, "batch atoms d"]:
        """States of the next layer."""
        rows, atoms, width = states.shape
        density = jnp.einsum("bxj,bjd->bxd", radial.reshape(rows, -1, atoms), states)
        density = density.reshape(rows, atoms, -1)
        inner = nn.Dense(width, use_bias=False, name="density")(density)
        inner = nn.silu(inner + nn.Dense(width, name="own")(states))
        return states + nn.Dense(width, name="update")(inner)


class InvariantMessages(nn.Module):
    """Message passing over the distances of atoms.

    Attributes:
      width: channels d of an atom.
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
        self.elements = nn.Embed(
            ELEMENTS.stop, self.width, embedding_init=nn.initializers.normal(1)
        )
        self.blocks = [DensityBlock(name=name) for name in self.layers]
        self.readout = SumReadout()

    def states(self, batch: Batch, layer: str) -> Float[Array, "batch atoms d"]:
        """Features of the atoms behind one block."""
        pairs = all_pairs(batch["positions"], batch["mask"], cutoff=self.cutoff)
        radial = radial_functions(pairs, count=self.radial, cutoff=self.cutoff)
        states = self.elements(batch["numbers"])
        for block in self.blocks[: self.layers.index(layer) + 1]:
            states = block(states, radial)
        return states

    def __call__(self, batch: Batch) -> Float[Array, " batch"]:
        """One number a molecule."""
        return self.readout(self.states(batch, self.layers[-1]), batch["mask"])


def build_invariant(
    *, width: int, depth: int, cutoff: float = CUTOFF, radial: int = RADIAL
) -> Network:
    """Invariant message passing on atoms in space.

    Args:
      width: channels of an atom.
      depth: number of blocks.
      cutoff: Å.
      radial: number of radial functions.

    Returns:
      The network.
    """
    sizes = {"width": width, "depth": depth, "cutoff": cutoff, "radial": radial}
    return assemble(
        InvariantMessages(**sizes),
        settings={"architecture": "invariant", **sizes},
        featurize=featurize_atoms,
        batching=MOLECULES,
        name=f"invariant message passing, width {width}, depth {depth}",
        family="invariant message passing",
        modality="3d",
        symmetry="invariant",
        citation="Schütt et al., NeurIPS 2017 (SchNet)",
        notes=f"Sees distances below {cutoff:g} Å alone. Readout: sum over atoms. Elements that no "
        "training molecule has keep their random embedding.",
    )
