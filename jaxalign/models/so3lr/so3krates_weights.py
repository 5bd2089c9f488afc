"""Parameters of So3krates: from the arrays of the original, or drawn at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxalign.models.so3lr.so3krates_graph import DEGREES, RADIAL, SPECIES
from jaxalign.models.weight_files.weights import StateDict, WeightsError

BLOCKS = 3
FEATURES = 128
HEADS = 4
# Attention is divided by the mean number of neighbors in the training set.
NEIGHBORS = 13.168995780096482
DECAY = 0.9448630629184640  # 1/Å, of the radial functions
_CHANNELS = ("inv", "ev")
_PROJECTIONS = ("q_inv", "k_inv", "v_inv", "q_ev", "k_ev")
# What the network does not use: charge and spin are 0 in all structures, and then their embeddings
# vanish; copies of arrays under a second name; constants.
_UNUSED = ("charge_embedding.", "spin_embedding.", "radial_embedding.radial_basis_fn.k")
_UNUSED_OF_BLOCK = (
    *(f"euclidean_attention_block.filter_net_{channel}." for channel in _CHANNELS),
    "euclidean_attention_block.degree_repeats",
    "euclidean_attention_block.so3_conv_invariants.",
    "interaction_block.degree_repeats",
    "interaction_block.so3_conv_invariants.",
)
SETTINGS: Mapping[str, Any] = {
    "r_max": 4.5,
    "degrees": [*DEGREES],
    "num_radial_basis_fn": RADIAL,
    "radial_basis_fn": "bernstein",
    "cutoff_fn_name": "phys",
    "num_features": FEATURES,
    "num_heads": HEADS,
    "num_layers": BLOCKS,
    "avg_num_neighbors": NEIGHBORS,
    "message_normalization": "avg_num_neighbors",
    "initialize_ev_to_zeros": True,
    "layer_normalization_1": True,
    "layer_normalization_2": True,
    "residual_mlp_1": True,
    "residual_mlp_2": False,
    "qk_non_linearity": "identity",
    "activation_fn_name": "silu",
    "num_embeddings": 3,
}


def require_settings(settings: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Makes sure that a file belongs to the very variant that is implemented.

    Args:
      settings: plain attributes of the model in the file.
      expected: those that this implementation takes for granted.

    Raises:
      WeightsError: if one is missing or has another value; the message names them.
    """
    other = {k: settings.get(k) for k, value in expected.items() if settings.get(k) != value}
    if other:
        wanted = {name: expected[name] for name in other}
        raise WeightsError(
            f"the file holds another variant of the network: {other}, implemented is {wanted}"
        )


def species_rows(table: np.ndarray, *, first: int) -> np.ndarray:
    """Rows of the known elements, out of a table by atomic number that starts at `first`."""
    return table[[number - first for number in SPECIES]]


def take_network(state: StateDict) -> dict[str, Any]:
    """Parameters of the network without its heads.

    Args:
      state: arrays of the original by their names.

    Returns:
      Parameters for `so3krates.apply_so3krates`.

    Raises:
      WeightsError: if an array is missing.
    """
    params = {
        "species": species_rows(state.take("inv_feature_embedding.embedding.weight").T, first=1),
        "radial": {
            "log_binomials": state.take("radial_embedding.radial_basis_fn.b"),
            "decay": state.take("radial_embedding.radial_basis_fn.gamma"),
        },
    }
    for number in range(BLOCKS):
        params[f"block_{number + 1}"] = _take_block(state, f"euclidean_transformers.{number}")
    return params


def unused_names() -> tuple[str, ...]:
    """Prefixes of the names of arrays that the network does not need."""
    blocks = [f"euclidean_transformers.{number}" for number in range(BLOCKS)]
    return (*_UNUSED, *(f"{block}.{name}" for block in blocks for name in _UNUSED_OF_BLOCK))


def _take_block(state: StateDict, block: str) -> dict[str, Any]:
    filters = {name: _take_filter(state, f"{block}.filter_net_{name}") for name in _CHANNELS}
    attention = f"{block}.euclidean_attention_block"
    return {
        **{f"filter_{name}": value for name, value in filters.items()},
        **{name: state.take(f"{attention}.W_{name}") for name in _PROJECTIONS},
        "norm_1": state.layer_norm(f"{block}.layer_norm_inv_1"),
        "residual_in": state.dense(f"{block}.mlp_1.1"),
        "residual_out": state.dense(f"{block}.mlp_1.3"),
        "exchange": state.dense(f"{block}.interaction_block.linear_layer"),
        "norm_2": state.layer_norm(f"{block}.layer_norm_inv_2"),
    }


def _take_filter(state: StateDict, name: str) -> dict[str, Any]:
    return {
        "radial_in": state.dense(f"{name}.mlp_rbf.0"),
        "radial_out": state.dense(f"{name}.mlp_rbf.mlp_rbf_layer_1.0"),
        "change_in": state.dense(f"{name}.mlp_ev.0"),
        "change_out": state.dense(f"{name}.mlp_ev.mlp_ev_layer_1.0"),
    }


def init_network(seed: int) -> dict[str, Any]:
    """Random parameters as the original draws them: N(0, 1/n) for n inputs, biases 0.

    Args:
      seed: seed of the random numbers.

    Returns:
      Parameters for `so3krates.apply_so3krates`.
    """
    rng = np.random.default_rng(seed)

    def normal(*shape: int, fan_in: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32)

    def dense(inputs: int, outputs: int) -> dict[str, np.ndarray]:
        kernel = normal(inputs, outputs, fan_in=inputs)
        return {"kernel": kernel, "bias": np.zeros(outputs, np.float32)}

    def filters() -> dict[str, Any]:
        change, narrow = len(DEGREES), FEATURES // len(DEGREES)
        return {
            "radial_in": dense(RADIAL, FEATURES),
            "radial_out": dense(FEATURES, FEATURES),
            "change_in": dense(change, narrow),
            "change_out": dense(narrow, FEATURES),
        }

    def block() -> dict[str, Any]:
        own, both = FEATURES // HEADS, FEATURES + len(DEGREES)
        ones, zeros = np.ones(FEATURES, np.float32), np.zeros(FEATURES, np.float32)
        return {
            **{f"filter_{name}": filters() for name in _CHANNELS},
            **{name: normal(HEADS, own, own, fan_in=own) for name in _PROJECTIONS},
            "norm_1": {"scale": ones, "bias": zeros},
            "residual_in": dense(FEATURES, FEATURES),
            "residual_out": dense(FEATURES, FEATURES),
            "exchange": dense(both, both),
            "norm_2": {"scale": ones, "bias": zeros},
        }

    logs = np.cumsum(np.log([1.0, *((RADIAL - k) / k for k in range(1, RADIAL))]))
    return {
        "species": normal(len(SPECIES), FEATURES, fan_in=FEATURES),
        "radial": {
            "log_binomials": logs.astype(np.float32),
            "decay": np.array(DECAY, np.float32),
        },
        **{f"block_{number + 1}": block() for number in range(BLOCKS)},
    }
