"""MiniMol: sixteen rounds of messages along bonds, with a virtual node that sees all atoms.

Atoms start from their features and their place in the graph, bonds e from their kind. With
multilayer blocks B(x) = act(LN(W x + b)), layer l = 1 … 16 maps the states x of the atoms to

    z_i = (1 + ε) x_i + Σ_{bonds e from j to i} relu(x_j + W_l e)
    h_i = gelu(LN(W'' gelu(LN(W' z_i)))) + h_i of the layer before        (no sum in layers 1, 16)

and behind every layer but the last, the virtual node v of each molecule of n atoms takes part:

    v ← v + gelu(LN(V (v + ln(n) · mean_i h_i))),        x_i = h_i + V' v / 2.

So a lone atom tells its virtual node nothing. The factor 1/2 is the ratio of the width at which the
learning rates were tuned to that of the network ("μP"); it is not among the weights. The embedding
is the maximum over the atoms of layer 16.

References:
  Kläser et al., "MiniMol: a parameter-efficient foundation model for molecular learning",
  arXiv:2404.14986; Hu et al., "Strategies for pre-training graph neural networks", ICLR 2020, for
  the layer; Gilmer et al., "Neural message passing for quantum chemistry", ICML 2017, for the
  virtual node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxalign.models.bound import bind
from jaxalign.models.card import ModelCard
from jaxalign.models.encoder import Encoder, NodeFeatures
from jaxalign.models.graph_packing import unpack_atoms
from jaxalign.models.minimol.minimol_weights import DEPTH
from jaxalign.models.minimol.molecule_features import kind_features
from jaxalign.models.minimol.molecule_inputs import (
    SLOTS,
    check_molecule,
    featurize_molecule,
    molecule_packing,
)

LAYERS = ("embedding", *(f"layer_{number}" for number in range(1, DEPTH + 1)))
_EPSILON = 1e-5
_TUNING_RATIO = 0.5  # of widths: 168 where the learning rates were tuned, 336 here
_HIGHEST = jax.lax.Precision.HIGHEST

_States = Float[Array, "atoms d"]
_Virtual = Float[Array, "graphs d"]


class HiddenStates(NamedTuple):
    """All states of a batch.

    Attributes:
      embedding: atoms before the first layer, width 128.
      bonds: the 70 kinds of bonds, width 168.
      updated: atoms behind layers 1 … 15 without the virtual node, width 336.
      mixed: atoms behind layers 1 … 15 with it.
      virtual: the virtual node behind layers 1 … 15.
      last: atoms behind layer 16, width 512.
    """

    embedding: _States
    bonds: Float[Array, "kinds d"]
    updated: Float[Array, "layers atoms d"]
    mixed: Float[Array, "layers atoms d"]
    virtual: Float[Array, "layers graphs d"]
    last: _States


def _linear(params: Mapping[str, Any], x: Array) -> Array:
    return jnp.dot(x, params["kernel"], precision=_HIGHEST) + _row(params["bias"], x)


def _row(vector: Array, x: Array) -> Array:
    return vector.reshape((1,) * (x.ndim - 1) + vector.shape)


def _norm(params: Mapping[str, Any], x: Array) -> Array:
    centered = x - jnp.mean(x, axis=-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.mean(centered**2, axis=-1, keepdims=True) + _EPSILON)
    return centered * scale * _row(params["scale"], x) + _row(params["bias"], x)


def _gelu(x: Array) -> Array:
    return jax.nn.gelu(x, approximate=False)


def _block(params: Mapping[str, Any], x: Array) -> Array:
    """LN(W x + b); the caller chooses the activation."""
    return _norm(params["norm"], _linear(params["linear"], x))


def _rows(table: Array, numbers: Array) -> Array:
    return table.at[numbers].get(mode="promise_in_bounds")


def embed_atoms(params: Any, batch: Mapping[str, Any]) -> _States:
    """States of the atoms before the first layer.

    Args:
      params: parameters of the whole network.
      batch: inputs of `featurize_molecule`, packed.

    Returns:
      `[atoms, 128]`.
    """
    modes = jnp.stack([batch["eigenvalues"], batch["eigenvectors"]], axis=-1)
    p = params["laplacian"]
    inner = jax.nn.relu(_linear(p["inner_1"], _linear(p["input"], modes)))
    # Modes that a small molecule does not have are zeros, and take part.
    places = _linear(p["output"], jnp.sum(_linear(p["inner_2"], inner), axis=-2))
    p = params["walk"]
    walks = jax.nn.relu(_block(p["block_1"], _norm(p["norm"], batch["walks"])))
    places = places + jax.nn.relu(_block(p["block_2"], walks))
    p = params["atoms"]
    inner = jax.nn.relu(_block(p["block_1"], jnp.concatenate([places, batch["atoms"]], axis=-1)))
    return _block(p["block_2"], inner)


def embed_bonds(params: Any) -> Float[Array, "kinds d"]:
    """States of the 70 kinds of bonds, which all layers share: `[70, 168]`."""
    p = params["bonds"]
    features = jnp.asarray(kind_features(), p["block_1"]["linear"]["kernel"].dtype)
    return _block(p["block_2"], jax.nn.relu(_block(p["block_1"], features)))


def _received(x: _States, bonds: Float[Array, "kinds d"], batch: Mapping[str, Any]) -> _States:
    """Sum of the messages along all bonds to each atom; `bonds` ends in the row of `ABSENT`."""
    total = jnp.zeros_like(x)
    for slot in range(SLOTS):
        sent = _rows(x, batch[f"neighbor_{slot}"]) + _rows(bonds, batch["kinds"][:, slot])
        total = total + jax.nn.relu(sent)
    extra = _rows(x, batch["extra_senders"]) + _rows(bonds, batch["extra_kinds"])
    receivers = batch["extra_receivers"]
    return total.at[receivers].add(jax.nn.relu(extra), mode="promise_in_bounds")


def update_atoms(
    params: Any, x: _States, bonds: Float[Array, "kinds e"], batch: Mapping[str, Any]
) -> Float[Array, "atoms out"]:
    """One layer without what comes from the layer before.

    Args:
      params: of this layer.
      x: states of the atoms.
      bonds: what `embed_bonds` gives.
      batch: inputs, packed.

    Returns:
      h of the module's docstring.
    """
    along = _linear(params["bonds"], bonds)
    # relu(x − ∞) = 0: nothing comes along a bond that is not there.
    nothing = jnp.full_like(along[:1], -jnp.inf)
    received = _received(x, jnp.concatenate([along, nothing]), batch)
    inner = _gelu(_block(params["block"], (1 + params["epsilon"]) * x + received))
    return _gelu(_norm(params["norm"], _linear(params["linear"], inner)))


def update_virtual(
    params: Any, h: _States, virtual: _Virtual, batch: Mapping[str, Any]
) -> tuple[_Virtual, _States]:
    """Lets all atoms of a molecule talk.

    Args:
      params: of the virtual node behind this layer.
      h: states of the atoms.
      virtual: states of the virtual nodes.
      batch: inputs, packed.

    Returns:
      New states of the virtual nodes, and of the atoms.
    """
    values, mask = unpack_atoms(h, batch)
    count = jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1).astype(h.dtype)
    pooled = jnp.sum(jnp.where(mask[..., None], values, 0), axis=1) * (jnp.log(count) / count)
    virtual = virtual + _gelu(_block(params["block"], virtual + pooled))
    told = _linear(params["output"], virtual * _TUNING_RATIO)
    # Atoms of the padding belong to no molecule: the last one's news do them no harm.
    graph = jnp.minimum(batch["graph"], len(told) - 1)
    return virtual, h + _rows(told, graph)


def _layer(params: Any, number: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[number], params)


def hidden_states(
    params: Any, batch: Mapping[str, Any], *, depth: int = DEPTH - 1
) -> tuple[HiddenStates, _States]:
    """Every state of a batch; under `jit`, what is not used is not computed.

    Args:
      params: parameters.
      batch: inputs of `featurize_molecule`, packed.
      depth: layers before the last to compute, at least 1. Static.

    Returns:
      All states (the last one only makes sense behind all layers), and the last of `mixed`.
    """
    batch = {name: jnp.asarray(array) for name, array in batch.items()}
    start, bonds = embed_atoms(params, batch), embed_bonds(params)
    h = update_atoms(params["first"], start, bonds, batch)
    empty = jnp.zeros((len(batch["slots"]), h.shape[1]), h.dtype)
    virtual, x = update_virtual(_layer(params["virtual"], 0), h, empty, batch)

    def step(carry, layer):
        h, x, virtual = carry
        h = h + update_atoms(layer[0], x, bonds, batch)
        virtual, x = update_virtual(layer[1], h, virtual, batch)
        return (h, x, virtual), (h, x, virtual)

    middle = jax.tree.map(lambda leaf: leaf[: depth - 1], params["middle"])
    behind = jax.tree.map(lambda leaf: leaf[1:depth], params["virtual"])
    first = (h, x, virtual)
    (_, x, _), rest = jax.lax.scan(step, first, (middle, behind))
    all_states = [jnp.concatenate([one[None], more]) for one, more in zip(first, rest, strict=True)]
    last = update_atoms(params["last"], x, bonds, batch)
    return HiddenStates(start, bonds, *all_states, last), x


def apply_minimol(params: Any, batch: Mapping[str, Any], layer: str | None = None) -> NodeFeatures:
    """Features of all atoms of a batch.

    Args:
      params: parameters.
      batch: inputs of `featurize_molecule`, packed.
      layer: a name of `LAYERS`; None is the last. Static.

    Returns:
      `[graphs, atoms, d]` values and the mask of atoms; d is 128 for the embedding, 512 for the
      last layer and 336 between.

    Raises:
      ValueError: if there is no such layer.
    """
    layer = layer or LAYERS[-1]
    if layer not in LAYERS:
        raise ValueError(f"unknown layer {layer!r} of MiniMol; pass one of {', '.join(LAYERS)}")
    number = LAYERS.index(layer)
    states, mixed = hidden_states(params, batch, depth=min(max(number, 1), DEPTH - 1))
    chosen = {0: states.embedding, DEPTH: states.last}.get(number, mixed)
    return unpack_atoms(chosen, batch)


def molecule_encoder(card: ModelCard, params: Any) -> Encoder:
    """A MiniMol ready for extraction.

    Args:
      card: facts about the model.
      params: parameters.

    Returns:
      An encoder of structures with SMILES strings; its nodes are the heavy atoms.
    """
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=featurize_molecule,
        batching=molecule_packing(),
        apply=bind(apply_minimol),
        check=check_molecule,
    )
