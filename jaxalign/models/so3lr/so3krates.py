"""So3krates: an equivariant transformer over atoms, with attention to neighbors within 4.5 Å.

Each atom has invariant features x (128) and spherical harmonic coordinates v (24 numbers: degrees
l = 1 … 4 after one another, in each m = −l … l about the polar axis z). At the start x belongs to
the element alone, and v = 0. A block computes, with φ the cutoff function and r = r_i − r_j,

    w_ij = F(radial functions of |r|) + G(|v_j − v_i|²_l / √(2l + 1)), one w for each kind of head
    α_ij = φ(|r|) Σ_d (Q x_i)_d (w_ij)_d (K x_j)_d / N,   in 4 heads for x, and one a degree for v
    x_i ← norm(x_i + Σ_j α_ij V x_j),   v_i ← v_i + Σ_j α_ij,l Y_l(r)
    x_i ← x_i + MLP(x_i)
    (a, b) = A (x_i, |v_i|²_l / √(2l + 1)) + c,   x_i ← norm(x_i + a),   v_i ← (1 + b_l) v_i.

There is no softmax: N is the mean number of neighbors in the training data. Since w is the same for
both directions of a pair, it is computed once, where the reference implementation computes it
twice. The embedding of a molecule's charge and spin vanishes for neutral closed shells, which all
structures are taken for, and is left out.

Layers: "block_1" … "block_3" are x after each block; "block_k_norms" the four lengths |v|_l, which
are invariant as well; "block_k_equivariant" v itself, which turns with the structure. A structure
and its mirror image have the same x and lengths.

References:
  Frank, Unke, Müller, Chmiela, "A Euclidean transformer for fast and stable machine learned force
  fields", Nat. Commun. 15, 6539 (2024), eqs. 15-26; Kabylda et al., "Molecular simulations with a
  pretrained neural network and universal pairwise force fields" (SO3LR), J. Am. Chem. Soc. (2025),
  doi:10.1021/jacs.5c09558.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, EnergyModel, NodeFeatures
from jaxalign.models.graph_packing import GraphPacking, unpack_atoms
from jaxalign.models.so3lr.so3krates_attention import (
    Pairs,
    State,
    attend,
    degree_invariants,
    dense,
    gather,
    of_components,
    square_lengths,
)
from jaxalign.models.so3lr.so3krates_graph import (
    HARMONICS,
    LAYOUT,
    check_structure,
    cutoff_weights,
    featurize_pairs,
    harmonics,
    radial_functions,
)
from jaxalign.models.so3lr.so3krates_weights import BLOCKS, FEATURES

LAYERS = (
    *(f"block_{number + 1}_equivariant" for number in range(BLOCKS)),
    *(f"block_{number + 1}_norms" for number in range(BLOCKS)),
    *(f"block_{number + 1}" for number in range(BLOCKS)),
)
# So that the temporary arrays stay below 32 MB: the C library returns larger ones to the system
# after every batch, and fetching their pages anew takes a third of the time on CPUs.
_BUDGET = {"atoms": 320, "pairs": 2048}
_EPSILON = 1e-6


def _norm(scale_bias: Mapping[str, Any], x: Float[Array, "rows d"]) -> Float[Array, "rows d"]:
    centered = x - jnp.mean(x, axis=1, keepdims=True)
    variance = jnp.mean(centered * centered, axis=1, keepdims=True)
    x = centered * jax.lax.rsqrt(variance + _EPSILON)
    return x * scale_bias["scale"][None, :] + scale_bias["bias"][None, :]


def _block(block: Any, state: State, pairs: Pairs, *, is_first: bool) -> State:
    x, v = attend(block, state, pairs, is_first=is_first)
    x = _norm(block["norm_1"], x)
    hidden = jax.nn.silu(dense(block["residual_in"], jax.nn.silu(x)))
    x = x + dense(block["residual_out"], hidden)
    mixed = dense(block["exchange"], jnp.concatenate([x, degree_invariants(v)], axis=1))
    x = _norm(block["norm_2"], x + mixed[:, :FEATURES])
    return State(x, v * (1 + of_components(mixed[:, FEATURES:])))


def atom_states(params: Any, batch: Mapping[str, Any], *, blocks: int = BLOCKS) -> list[State]:
    """Features of all atoms of a batch after each block.

    Args:
      params: what `so3krates_weights.take_network` gives.
      batch: flat arrays, as `so3krates_graph.LAYOUT` names them.
      blocks: how many blocks are run. Static.

    Returns:
      `[atoms, 128]` invariant and `[atoms, 24]` equivariant features, block by block; rows of
      padding are finite.
    """
    vectors = jnp.asarray(batch["vectors"])
    distances = jnp.sqrt(jnp.sum(vectors * vectors, axis=1))
    pairs = Pairs(
        centers=jnp.asarray(batch["centers"]),
        neighbors=jnp.asarray(batch["neighbors"]),
        weights=cutoff_weights(distances),
        radial=radial_functions(distances, **params["radial"]),
        harmonics=harmonics(vectors / distances[:, None]),
    )
    # √3: the original averages the embeddings of element, charge and spin in this way.
    x = gather(params["species"], jnp.asarray(batch["species"])) / np.sqrt(3).item()
    states = [State(x, jnp.zeros((len(x), HARMONICS), x.dtype))]
    for number in range(blocks):
        block = params[f"block_{number + 1}"]
        states.append(_block(block, states[-1], pairs, is_first=number == 0))
    return states[1:]


def layer_values(state: State, layer: str) -> Float[Array, "atoms d"]:
    """What a layer shows of the features after its block; see the module's docstring."""
    if layer.endswith("_norms"):
        return jnp.sqrt(square_lengths(state.equivariant))
    return state.equivariant if layer.endswith("_equivariant") else state.invariant


def apply_so3krates(
    params: Any, batch: Mapping[str, Any], layer: str | None = None
) -> NodeFeatures:
    """Features of all atoms of a packed batch.

    Args:
      params: what `so3krates_weights.take_network` gives; further parts are not looked at.
      batch: what `GraphPacking.collate` gives.
      layer: a name of `LAYERS`; None is the last. Static.

    Returns:
      `[graphs, atoms, d]` values and the mask of real atoms; d is 128, for lengths 4, for
      equivariant features 24.

    Raises:
      ValueError: if there is no such layer.
    """
    layer = layer or LAYERS[-1]
    if layer not in LAYERS:
        raise ValueError(f"unknown layer {layer!r} of So3krates; pass one of {', '.join(LAYERS)}")
    states = atom_states(params, batch, blocks=int(layer.split("_")[1]))
    return unpack_atoms(layer_values(states[-1], layer), batch)


def so3krates_encoder(card: ModelCard, params: Any, energy: EnergyModel | None = None) -> Encoder:
    """A So3krates network ready for extraction.

    Args:
      card: facts about the model.
      params: its parameters.
      energy: the heads, if there are any.

    Returns:
      An encoder of molecules and periodic structures; its nodes are the atoms.
    """
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=featurize_pairs,
        batching=GraphPacking(LAYOUT, _BUDGET),
        apply=apply_so3krates,
        check=check_structure,
        energy=energy,
    )
