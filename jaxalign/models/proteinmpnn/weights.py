"""Checkpoints of the ProteinMPNN family → Flax parameters, and random ones as before training."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign.models.proteinmpnn.geometry import CENTERS
from jaxalign.models.proteinmpnn.layers import POSITION_WIDTH
from jaxalign.models.proteinmpnn.network import ProteinMpnn
from jaxalign.models.proteinmpnn.settings import DEPTH, WIDTH, MpnnSettings
from jaxalign.models.weight_files.weights import StateDict, check_params

# Pairs (own atom, neighbor's atom) in the order of the original's features. Its names of atoms are
# given here by their places in `points`: N, CA, C, O, Cβ, or CA before, of, and after the residue.
_BACKBONE_PAIRS = "11 00 22 33 44 10 12 13 14 02 03 04 42 43 32 01 21 31 41 20 30 40 24 34 23"
_ALPHA_PAIRS = "11 00 22 01 02 10 12 20 21"
# Of the decoder of sequences, of edges that only it sees, and of nodes that the CA-only networks
# once had and see no more.
_UNUSED = ("decoder_layers.", "W_s.", "W_out.")
_LAST_EDGES = tuple(
    f"encoder_layers.{DEPTH - 1}.{name}." for name in ("W11", "W12", "W13", "norm3")
)
_ALPHA_UNUSED = ("features.node_embedding.", "features.norm_nodes.", "W_v.")
# Of ligand atoms, and of messages from them: without any they change nothing.
_LIGAND_UNUSED = (
    "features.node_project_down.",
    "features.norm_nodes.",
    "features.type_linear.",
    "features.y_",
    "features.norm_y_",
    "W_v.",
    "W_nodes_y.",
    "W_edges_y.",
    "y_context_encoder_layers.",
    *(f"context_encoder_layers.{layer}.W{number}." for layer in (0, 1) for number in (1, 2, 3)),
)


def convert_params(arrays: Mapping[str, np.ndarray], settings: MpnnSettings) -> dict[str, Any]:
    """Arrays of a checkpoint to Flax parameters.

    Args:
      arrays: the checkpoint's `model_state_dict`, name → array.
      settings: of the network.

    Returns:
      Parameters for `ProteinMpnn`.

    Raises:
      WeightsError: if an array is missing, unknown or of another shape.
    """
    state = StateDict(arrays)
    steps = [
        {"edges": _edge_update(state, layer), "nodes": _node_update(state, layer + 1)}
        for layer in range(DEPTH - 1)
    ]
    params = {
        "edges": _edge_embedding(state, settings),
        "first": _node_update(state, 0),
        "layers": jax.tree.map(lambda *parts: np.stack(parts), *steps),
    }
    if settings.labels:
        params["labels"] = {"kernel": state.take("features.node_embedding.weight").T}
        params["label_norm"] = state.layer_norm("features.norm_nodes")
        params["enter"] = state.dense("W_v")
    if settings.context:
        params["context"] = _context(state)
    unused = (*_UNUSED, *_LAST_EDGES)
    unused += _ALPHA_UNUSED if settings.alpha_only else ()
    unused += _LIGAND_UNUSED if settings.context else ()
    state.require_all_taken(ignore=unused)
    check_params(param_shapes(settings), params)
    return params


def _edge_embedding(state: StateDict, settings: MpnnSettings) -> dict[str, Any]:
    kernel = state.take("features.edge_embedding.weight").T
    pairs = (_ALPHA_PAIRS if settings.alpha_only else _BACKBONE_PAIRS).split()
    distances = kernel[POSITION_WIDTH : POSITION_WIDTH + CENTERS * len(pairs)]
    blocks = distances.reshape(len(pairs), CENTERS, -1)
    # Here the pairs are in the order of own atoms, then atoms of the neighbor.
    ordered = blocks[[pairs.index(pair) for pair in sorted(pairs)]]
    params = {
        "positions": state.dense("features.embeddings.linear"),
        "from_positions": {"kernel": kernel[:POSITION_WIDTH]},
        "from_distances": {"kernel": ordered.reshape(distances.shape)},
        "norm": state.layer_norm("features.norm_edges"),
        "project": state.dense("W_e"),
    }
    if settings.alpha_only:
        params["from_orientations"] = {"kernel": kernel[POSITION_WIDTH + len(distances) :]}
    return params


def _pairs(state: StateDict, root: str, names: Sequence[str]) -> tuple[dict, dict, dict]:
    """The first two maps of messages: of receiving nodes, of sending nodes, and of edges."""
    first, second = (f"{root}{name}" for name in names)
    kernel = state.take(f"{first}.weight").T
    received = {"kernel": kernel[:WIDTH], "bias": state.take(f"{first}.bias")}
    edge, sent = {"kernel": kernel[WIDTH : 2 * WIDTH]}, {"kernel": kernel[2 * WIDTH :]}
    return received, sent, {"edge": edge, "hidden": state.dense(second)}


def _node_update(state: StateDict, layer: int) -> dict[str, Any]:
    root = f"encoder_layers.{layer}."
    received, sent, pairs = _pairs(state, root, ("W1", "W2"))
    return {
        "receiver": received,
        "sender": sent,
        "messages": {"pairs": pairs},
        "message": {"kernel": state.take(f"{root}W3.weight").T},
        "message_bias": state.take(f"{root}W3.bias"),
        "norm": state.layer_norm(f"{root}norm1"),
        "feed_forward": _feed_forward(state, root),
    }


def _edge_update(state: StateDict, layer: int) -> dict[str, Any]:
    root = f"encoder_layers.{layer}."
    received, sent, pairs = _pairs(state, root, ("W11", "W12"))
    update = {"pairs": pairs, "message": state.dense(f"{root}W13")}
    update["norm"] = state.layer_norm(f"{root}norm3")
    return {"receiver": received, "sender": sent, "update": update}


def _feed_forward(state: StateDict, root: str) -> dict[str, Any]:
    return {
        "expand": state.dense(f"{root}dense.W_in"),
        "contract": state.dense(f"{root}dense.W_out"),
        "norm": state.layer_norm(f"{root}norm2"),
    }


def _context(state: StateDict) -> dict[str, Any]:
    params = {
        "enter": state.dense("W_c"),
        "leave": {"kernel": state.take("V_C.weight").T},
        "norm": state.layer_norm("V_C_norm"),
    }
    for number in (1, 2):
        root = f"context_encoder_layers.{number - 1}."
        params[f"norm_{number}"] = state.layer_norm(f"{root}norm1")
        params[f"feed_forward_{number}"] = _feed_forward(state, root)
    return params


@functools.cache
def param_shapes(settings: MpnnSettings) -> dict[str, Any]:
    """Names and shapes of all parameters, without computing any."""
    batch = {
        "points": jnp.zeros((2, 3 if settings.alpha_only else 4, 3)),
        "numbers": jnp.zeros(2, jnp.int32),
        "neighbors": jnp.zeros((2, settings.neighbors), jnp.int32),
        "degree": jnp.zeros(2, jnp.int32),
        "framed": jnp.zeros(2, bool),
    }
    module = ProteinMpnn(settings, settings.layer_names[-1])
    return dict(jax.eval_shape(module.init, jax.random.key(0), batch)["params"])


def init_params(settings: MpnnSettings, *, seed: int) -> dict[str, Any]:
    """Random parameters as the originals draw them before training.

    Matrices from U(−a, a) with a = √(6 / (inputs + outputs)), biases from U(−1/√n, 1/√n) for n
    inputs; norms are the identity. NumPy draws them.

    Args:
      settings: of the network.
      seed: seed of the random numbers.

    Returns:
      Flax parameters, float32.
    """
    rng = np.random.default_rng(seed)
    # Parts of one map of the original are drawn like the whole.
    atoms = 3 if settings.alpha_only else 5
    orientations = 7 if settings.alpha_only else 0
    edge_inputs = POSITION_WIDTH + atoms * atoms * CENTERS + orientations
    inputs = dict.fromkeys(("from_positions", "from_distances", "from_orientations"), edge_inputs)
    inputs |= dict.fromkeys(("receiver", "sender", "edge"), 3 * WIDTH)
    inputs["contract"] = 4 * WIDTH

    def draw(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        names = [step.key for step in path]
        if names[-1] == "scale" or "norm" in names[-2]:
            return np.full(leaf.shape, names[-1] == "scale", np.float32)
        if names[-1] == "kernel":
            fan_in, fan_out = inputs.get(names[-2], leaf.shape[-2]), leaf.shape[-1]
            bound = (6 / (fan_in + fan_out)) ** 0.5
        else:
            bound = {"positions": 66, **inputs}.get(names[-2], WIDTH) ** -0.5
        return rng.uniform(-bound, bound, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, param_shapes(settings))
