"""Parameters of MiniMol: from its checkpoint, or random."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxalign.models.minimol.graph_positions import STEPS
from jaxalign.models.minimol.molecule_features import ATOM_FEATURES, BOND_FEATURES
from jaxalign.models.weight_files.weights import StateDict, check_params

DEPTH = 16
PLACES, EMBEDDING, BONDS, HIDDEN, WIDTH = 32, 128, 168, 336, 512
# Heads of the training tasks, the mean of walks that the network does not use (another of that name
# inside the encoder is used), and buffers.
_UNUSED = (
    "task_heads.",
    "graph_output_nn.",
    "encoder_manager.pe_encoders.rw_pos.first_normalization.",
)
_ENCODERS = "encoder_manager.pe_encoders."

_Linear = Callable[..., dict[str, Any]]  # (name in the checkpoint, inputs, outputs) → kernel, bias


def _tree(linear: _Linear, norm: _Linear, scalar: _Linear) -> dict[str, Any]:
    """The parameters, with each array made by one of three functions of its name and sizes."""

    def block(name: str, inputs: int, outputs: int) -> dict[str, Any]:
        return {
            "linear": linear(f"{name}.linear", inputs, outputs),
            "norm": norm(f"{name}.normalization", outputs),
        }

    def layer(number: int, inputs: int, outputs: int) -> dict[str, Any]:
        root = f"gnn.layers.{number}"
        inner = f"{root}.model.nn.fully_connected"
        return {
            "epsilon": scalar(f"{root}.model.eps"),
            "bonds": linear(f"{root}.model.lin", BONDS, inputs),
            "block": block(f"{inner}.0", inputs, inputs),
            "linear": linear(f"{inner}.1.linear", inputs, outputs),
            "norm": norm(f"{root}.norm_layer", outputs),
        }

    def virtual(number: int) -> dict[str, Any]:
        root = f"gnn.virtual_node_layers.{number}"
        return {
            "block": block(f"{root}.fc_layer", HIDDEN, HIDDEN),
            "output": linear(f"{root}.node_projection", HIDDEN, HIDDEN),
        }

    modes, walk = f"{_ENCODERS}la_pos", f"{_ENCODERS}rw_pos.pe_encoder"
    return {
        "laplacian": {
            "input": linear(f"{modes}.linear_in.linear", 2, 64),
            "inner_1": linear(f"{modes}.pe_encoder.fully_connected.0.linear", 64, 64),
            "inner_2": linear(f"{modes}.pe_encoder.fully_connected.1.linear", 64, 64),
            "output": linear(f"{modes}.post_mlp.fully_connected.0.linear", 64, PLACES),
        },
        "walk": {
            "norm": norm(f"{walk}.first_normalization", STEPS),
            "block_1": block(f"{walk}.fully_connected.0", STEPS, 64),
            "block_2": block(f"{walk}.fully_connected.1", 64, PLACES),
        },
        "atoms": {
            "block_1": block("pre_nn.layers.0", PLACES + ATOM_FEATURES, 256),
            "block_2": block("pre_nn.layers.1", 256, EMBEDDING),
        },
        "bonds": {
            "block_1": block("pre_nn_edges.layers.0", BOND_FEATURES, 128),
            "block_2": block("pre_nn_edges.layers.1", 128, BONDS),
        },
        "first": layer(0, EMBEDDING, HIDDEN),
        "middle": _stack([layer(number, HIDDEN, HIDDEN) for number in range(1, DEPTH - 1)]),
        "last": layer(DEPTH - 1, HIDDEN, WIDTH),
        "virtual": _stack([virtual(number) for number in range(DEPTH - 1)]),
    }


def _stack(layers: list[dict[str, Any]]) -> dict[str, Any]:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *layers)


def init_params(seed: int) -> dict[str, Any]:
    """Random parameters as PyTorch draws them: U(−1/√n, 1/√n) for n inputs, norms 1 and 0.

    Args:
      seed: seed of the random numbers.

    Returns:
      Parameters for `apply_minimol`, float32.
    """
    rng = np.random.default_rng(seed)

    def linear(name: str, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        draw = {"kernel": (inputs, outputs), "bias": (outputs,)}
        bound = inputs**-0.5
        return {k: rng.uniform(-bound, bound, n).astype(np.float32) for k, n in draw.items()}

    def norm(name: str, width: int) -> dict[str, np.ndarray]:
        return {"scale": np.ones(width, np.float32), "bias": np.zeros(width, np.float32)}

    return _tree(linear, norm, lambda name: np.zeros((), np.float32))


def convert_params(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays of MiniMol's checkpoint to parameters.

    Args:
      arrays: its state dict, name → array of half precision; a `model.` prefix may be there.

    Returns:
      Parameters for `apply_minimol`, float32.

    Raises:
      WeightsError: if an array is missing, unknown or of another shape.
    """
    state = StateDict(
        {name.removeprefix("model."): np.asarray(a, np.float32) for name, a in arrays.items()}
    )
    params = _tree(
        lambda name, *sizes: state.dense(name),
        lambda name, *sizes: state.layer_norm(name),
        lambda name: state.take(name).reshape(()),
    )
    state.require_all_taken(ignore=_UNUSED)
    check_params(init_params(0), params)
    return params
