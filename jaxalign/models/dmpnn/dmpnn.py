"""Directed message-passing network (D-MPNN) over molecular graphs.

A directed bond v → w carries a hidden state; messages never run straight back along a bond:

    h¹_vw   = relu(W_i [x_v, e_vw])
    hᵗ⁺¹_vw = relu(W_i [x_v, e_vw] + W_h Σ_{u ∈ N(v), u ≠ w} hᵗ_uv)            t = 1 … depth − 1
    mᵗ_v    = Σ_{u ∈ N(v)} hᵗ_uv                                           ("message_t")
    h_v     = relu(W_o [x_v, m_v] + b),   m_v of the last t                 ("atoms")

The sum over u is one product with the adjacency matrix of the line graph (1 where edge u → v feeds
edge v → w, u ≠ w). The reference implementation adds all incoming edges and subtracts the reverse
one; leaving it out needs no cancellation, no scatter and suits matrix units.

References:
  Yang et al., "Analyzing learned molecular representations for property prediction", J. Chem. Inf.
  Model. 59, 3370 (2019), eqs. 1-6; Swanson et al., "ADMET-AI", Bioinformatics 40, btae416 (2024).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxalign.models.batching import RowBuckets
from jaxalign.models.card import ModelCard
from jaxalign.models.dmpnn.molecular_graph import (
    ATOM_FEATURES,
    BOND_FEATURES,
    collate_graphs,
    featurize_graph,
    graph_size,
)
from jaxalign.models.encoder import Encoder, NodeFeatures
from jaxalign.models.initializers import torch_linear_params
from jaxalign.models.weight_files.weights import StateDict, check_params

HIDDEN = 300
DEPTH = 3
_ATOMS = "atoms"
# Small steps: the time grows with the padded size, and a compilation takes about a second.
BUCKETS = (4, 6, 8, 9, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128, 192, 256)
ATOMS_PER_BATCH = 768  # larger batches are no faster on CPUs and waste more slots
_HIGHEST = jax.lax.Precision.HIGHEST  # one bfloat16 pass would not agree with the original


def layer_names(depth: int) -> tuple[str, ...]:
    """Names of the selectable layers of a network of some depth, first to last."""
    return (*(f"message_{step}" for step in range(1, depth + 1)), _ATOMS)


LAYERS = layer_names(DEPTH)


def line_graph(
    senders: Int[Array, "batch edges"], receivers: Int[Array, "batch edges"]
) -> Bool[Array, "batch edges edges"]:
    """Which edge f feeds which edge e: f ends where e begins, and is not e reversed.

    Args:
      senders: first atom of each directed edge, −1 for padding.
      receivers: second atom; the edges 2b and 2b + 1 are the two directions of one bond.

    Returns:
      `[batch, e, f]`; rows and columns of padding are False.
    """
    number = jnp.arange(senders.shape[1], dtype=jnp.int32)
    reverse = (number ^ 1)[:, None] == number[None, :]
    feeds = receivers[:, None, :] == senders[:, :, None]
    return feeds & (senders >= 0)[:, :, None] & ~reverse[None]


class DirectedMessagePassing(nn.Module):
    """Atom states of a batch of molecular graphs, or the messages that led to them.

    Attributes:
      hidden: width of all states.
      depth: number of messages.
    """

    hidden: int = HIDDEN
    depth: int = DEPTH

    @nn.compact
    def __call__(
        self, batch: Mapping[str, Any], layer: str = _ATOMS
    ) -> Float[Array, "batch atoms d"]:
        """States of one layer; later layers are not computed. Rows of padding mean nothing."""
        atoms, bonds = batch["atoms"], batch["bonds"]
        steps = min(layer_names(self.depth).index(layer) + 1, self.depth)
        one_hot = functools.partial(jax.nn.one_hot, num_classes=atoms.shape[1], dtype=atoms.dtype)
        # Padding has atom −1, which one_hot maps to zeros: its edges stay 0 and reach no atom.
        sent = self._dense("input_atoms")(atoms)
        inputs = _product("bea,bad->bed", one_hot(batch["senders"]), sent)
        inputs = inputs + self._dense("input_bonds")(bonds)
        feeds = line_graph(batch["senders"], batch["receivers"]).astype(atoms.dtype)
        update = self._dense("hidden")
        edges = nn.relu(inputs)
        for _ in range(1, steps):
            edges = nn.relu(inputs + update(_product("bef,bfd->bed", feeds, edges)))
        messages = _product("bea,bed->bad", one_hot(batch["receivers"]), edges)
        return messages if layer != _ATOMS else self._readout(atoms, messages)

    def _readout(
        self, atoms: Float[Array, "batch atoms x"], messages: Float[Array, "batch atoms d"]
    ) -> Float[Array, "batch atoms d"]:
        joined = jnp.concatenate([atoms, messages], axis=-1)
        return nn.relu(self._dense("output", use_bias=True)(joined))

    def _dense(self, name: str, *, use_bias: bool = False) -> nn.Dense:
        return nn.Dense(self.hidden, use_bias=use_bias, precision=_HIGHEST, name=name)


_product = functools.partial(jnp.einsum, precision=_HIGHEST)


def apply_dmpnn(params: Any, batch: Mapping[str, Any], layer: str | None = None) -> NodeFeatures:
    """Features of all atoms of a padded batch.

    Args:
      params: Flax parameters.
      batch: what `collate_graphs` gives.
      layer: a name of `LAYERS`; None is the last. Static.

    Returns:
      `[batch, atoms, 300]` values and the mask of real atoms.

    Raises:
      ValueError: if there is no such layer.
    """
    layer = layer or LAYERS[-1]
    if layer not in LAYERS:
        raise ValueError(f"unknown layer {layer!r} of a D-MPNN; pass one of {', '.join(LAYERS)}")
    arrays = {name: jnp.asarray(array) for name, array in batch.items()}
    values = DirectedMessagePassing().apply({"params": params}, arrays, layer)
    return NodeFeatures(values, arrays["mask"])


def param_shapes() -> dict[str, Any]:
    """Names and shapes of all parameters, without computing any."""
    batch = {
        "atoms": jnp.zeros((1, 2, ATOM_FEATURES)),
        "bonds": jnp.zeros((1, 2, BOND_FEATURES)),
        "senders": jnp.zeros((1, 2), jnp.int32),
        "receivers": jnp.zeros((1, 2), jnp.int32),
    }
    init = DirectedMessagePassing().init
    return dict(jax.eval_shape(lambda: init(jax.random.key(0), batch))["params"])


def init_params(seed: int) -> dict[str, Any]:
    """Random parameters as the original draws them before training.

    Args:
      seed: seed of the random numbers.

    Returns:
      Flax parameters.
    """
    # The original has one map of both kinds of features; here each has its part of the rows.
    inputs = ATOM_FEATURES + BOND_FEATURES
    fan_in = {"input_atoms": inputs, "input_bonds": inputs}
    return torch_linear_params(param_shapes(), seed=seed, fan_in=fan_in)


def convert_params(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays of a chemprop 2 checkpoint to Flax parameters.

    Args:
      arrays: the checkpoint's `state_dict`, name → array.

    Returns:
      Parameters for `apply_dmpnn`.

    Raises:
      WeightsError: if an array is missing, unknown or of another shape.
    """
    state = StateDict(arrays)
    inputs = state.take("message_passing.W_i.weight").T
    params = {
        "input_atoms": {"kernel": inputs[:ATOM_FEATURES]},
        "input_bonds": {"kernel": inputs[ATOM_FEATURES:]},
        "hidden": {"kernel": state.take("message_passing.W_h.weight").T},
        "output": state.dense("message_passing.W_o"),
    }
    # Task heads, and buffers of the losses.
    state.require_all_taken(ignore=("predictor.", "metrics."))
    check_params(param_shapes(), params)
    return params


def graph_encoder(card: ModelCard, params: Any) -> Encoder:
    """A D-MPNN ready for extraction.

    Args:
      card: facts about the model.
      params: Flax parameters.

    Returns:
      An encoder of structures with SMILES strings; its nodes are the heavy atoms.
    """
    return Encoder(
        card=card,
        params=jax.tree.map(jnp.asarray, params),
        featurize=featurize_graph,
        batching=RowBuckets(
            size=graph_size,
            buckets=BUCKETS,
            batch_size=lambda bucket: max(1, ATOMS_PER_BATCH // bucket),
            pad=collate_graphs,
        ),
        apply=apply_dmpnn,
    )
