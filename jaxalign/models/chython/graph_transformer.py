"""The graph transformer of chython-rxnmap: one layer over molecules eight times, then one over all.

Tokens start from x = E[element] + N[neighbors]. Two layers follow, each repeated with the same
parameters; both have the form

    a  = LN(x + W_o · softmax(q kᵀ / √d_head + b) v)
    x' = LN(a + W₂ gelu(W₁ a)),     gelu(x) = x Φ(x) with the exact error function.

The layer of molecules (8 times, 16 heads) has b = S[distance], a number for each head, and −∞
between molecules. Then only atoms keep their states, and the tokens' roles are added:
y = x · [is an atom] + R[role]. The layer of reactions (7 times, 4 heads) lets all atoms of all
molecules and the reaction's token attend to each other. Its attention maps, which follow atoms
through the reaction, are not needed here.

References:
  Nugmanov et al., "Bidirectional Graphormer for reactivity understanding: neural network trained to
  reaction atom-to-atom mapping task", J. Chem. Inf. Model. 62, 3307 (2022); Ying et al., "Do
  transformers really perform badly for graph representation?", NeurIPS 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxalign.models.batching import RowBuckets
from jaxalign.models.bound import bind
from jaxalign.models.card import ModelCard
from jaxalign.models.chython.reaction_tokens import (
    REACTION,
    check_reaction,
    collate_reactions,
    featurize_reaction,
    token_count,
)
from jaxalign.models.encoder import Encoder, NodeFeatures

MOLECULE_LAYERS, REACTION_LAYERS = 8, 7
MOLECULE_HEADS, REACTION_HEADS = 16, 4
LAYERS = (
    "embedding",
    *(f"molecule_{number}" for number in range(1, MOLECULE_LAYERS + 1)),
    *(f"reaction_{number}" for number in range(1, REACTION_LAYERS + 1)),
)
DEFAULT_LAYER = f"molecule_{MOLECULE_LAYERS}"
# Steps of two where molecules are many: a padded token costs as much as a real one.
BUCKETS = (*range(4, 34, 2), 36, 40, 48, 56, 64, 80, 96, 128, 192, 256)
TOKENS_PER_BATCH = 512
_EPSILON = 1e-5
_HIGHEST = jax.lax.Precision.HIGHEST

_Tokens = Float[Array, "batch tokens d"]
_Bias = Float[Array, "batch _ _ tokens"]


class HiddenStates(NamedTuple):
    """All states of a batch.

    Attributes:
      molecule: the embedding, and the states behind each pass of the layer of molecules.
      reaction: with roles added, and behind each pass of the layer of reactions.
    """

    molecule: Float[Array, "passes batch tokens d"]
    reaction: Float[Array, "passes batch tokens d"]


def _linear(params: Mapping[str, Any], x: _Tokens) -> Float[Array, "batch tokens out"]:
    return jnp.dot(x, params["kernel"], precision=_HIGHEST) + params["bias"][None, None]


def _norm(params: Mapping[str, Any], x: _Tokens) -> _Tokens:
    centered = x - jnp.mean(x, axis=-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.mean(centered**2, axis=-1, keepdims=True) + _EPSILON)
    return centered * scale * params["scale"][None, None] + params["bias"][None, None]


def _attend(params: Mapping[str, Any], x: _Tokens, bias: _Bias, heads: int) -> _Tokens:
    width = x.shape[-1] // heads
    joined = _linear(params["query_key_value"], x).reshape(*x.shape[:2], 3, heads, width)
    query, key, value = joined[:, :, 0], joined[:, :, 1], joined[:, :, 2]
    logits = jnp.einsum("bqhd,bkhd->bhqk", query, key, precision=_HIGHEST) * width**-0.5
    weights = jax.nn.softmax(logits + bias, axis=-1)
    attended = jnp.einsum("bhqk,bkhd->bqhd", weights, value, precision=_HIGHEST)
    return _linear(params["output"], attended.reshape(x.shape))


def update_tokens(params: Mapping[str, Any], x: _Tokens, bias: _Bias, heads: int) -> _Tokens:
    """One pass of a layer.

    Args:
      params: of the layer.
      x: states of the tokens.
      bias: added to the logits of attention; −∞ where a token must not look.
      heads: attention heads. Static.

    Returns:
      New states.
    """
    x = _norm(params["norm_1"], x + _attend(params, x, bias, heads))
    inner = jax.nn.gelu(_linear(params["expand"], x), approximate=False)
    return _norm(params["norm_2"], x + _linear(params["contract"], inner))


def _passes(
    params: Mapping[str, Any], x: _Tokens, bias: _Bias, *, heads: int, count: int
) -> tuple[_Tokens, Float[Array, "passes batch tokens d"]]:
    """The last state, and all from the first on."""

    def step(state, _):
        state = update_tokens(params, state, bias, heads)
        return state, state

    last, states = jax.lax.scan(step, x, None, length=count)
    return last, jnp.concatenate([x[None], states])


def _bias_of_distances(table: Float[Array, "codes heads"], distances: Array) -> _Bias:
    bias = jnp.moveaxis(table[distances], -1, 1)
    return jnp.where((distances == 0)[:, None], -jnp.inf, bias)


def embed_tokens(params: Any, batch: Mapping[str, Any]) -> _Tokens:
    """States of the tokens before the first layer."""
    return params["elements"][batch["elements"]] + params["neighbors"][batch["neighbors"]]


def _add_roles(params: Any, x: _Tokens, roles: Array) -> tuple[_Tokens, _Bias]:
    atoms = (roles > REACTION).astype(x.dtype)[..., None]
    bias = jnp.where(roles == 0, -jnp.inf, 0.0).astype(x.dtype)[:, None, None, :]
    return x * atoms + params["roles"][roles], bias


def hidden_states(
    params: Any, batch: Mapping[str, Any], *, depth: int = MOLECULE_LAYERS + REACTION_LAYERS
) -> tuple[HiddenStates, _Tokens]:
    """Every state of a batch; under `jit`, what is not used is not computed.

    Args:
      params: parameters.
      batch: what `collate_reactions` gives.
      depth: passes to make, of both layers together. Static.

    Returns:
      The states, and the last of them. Those of the reaction's part are of no use if `depth` ends
      before it.
    """
    batch = {name: jnp.asarray(array) for name, array in batch.items()}
    bias = _bias_of_distances(params["distances"], batch["distances"])
    count = min(depth, MOLECULE_LAYERS)
    x = embed_tokens(params, batch)
    last, molecule = _passes(params["molecule"], x, bias, heads=MOLECULE_HEADS, count=count)
    y, bias = _add_roles(params, last, batch["roles"])
    count = max(depth - MOLECULE_LAYERS, 0)
    end, reaction = _passes(params["reaction"], y, bias, heads=REACTION_HEADS, count=count)
    return HiddenStates(molecule, reaction), end if count else last


def apply_transformer(
    params: Any, batch: Mapping[str, Any], layer: str | None = None
) -> NodeFeatures:
    """Features of all atoms of a batch.

    Args:
      params: parameters.
      batch: what `collate_reactions` gives.
      layer: a name of `LAYERS`; None is `DEFAULT_LAYER`. Static.

    Returns:
      Values of all tokens but slot 0, and the mask of those that are atoms.

    Raises:
      ValueError: if there is no such layer.
    """
    layer = layer or DEFAULT_LAYER
    if layer not in LAYERS:
        raise ValueError(
            f"unknown layer {layer!r} of the graph transformer; pass one of {', '.join(LAYERS)}"
        )
    _, states = hidden_states(params, batch, depth=LAYERS.index(layer))
    return NodeFeatures(states[:, 1:], jnp.asarray(batch["roles"])[:, 1:] > REACTION)


def reaction_encoder(card: ModelCard, params: Any) -> Encoder:
    """A graph transformer ready for extraction.

    Args:
      card: facts about the model.
      params: parameters.

    Returns:
      An encoder of structures with the SMILES of a molecule or a reaction; its nodes are the atoms.
    """
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=featurize_reaction,
        batching=RowBuckets(
            size=token_count,
            buckets=BUCKETS,
            batch_size=rows_per_batch,
            pad=collate_reactions,
            grows=True,
        ),
        apply=bind(apply_transformer),
        check=check_reaction,
    )


def rows_per_batch(bucket: int) -> int:
    """Rows of a batch, so that it holds about the same number of tokens whatever their length."""
    return int(np.ceil(TOKENS_PER_BATCH / bucket))
