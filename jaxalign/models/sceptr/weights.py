"""SCEPTR's weight files to Flax parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from jaxalign.models.sceptr.network import SceptrConfig, param_shapes
from jaxalign.models.weight_files.weights import StateDict, check_params

_STACK, _EMBEDDER, _TABLE = "_self_attention_stack", "_token_embedder", "._token_embeddings"
_BLOSUM = f"{_EMBEDDER}._blosum_embedding._blosum_embeddings"
_QKV = ("query", "key", "value")


def convert_sceptr(config: SceptrConfig, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays under their published names to Flax parameters; every array must be accounted for.

    Args:
      config: sizes of the network.
      arrays: name → array, as in a `state_dict.pt`.

    Returns:
      Parameters for `apply_sceptr`, in the dtype of the arrays.

    Raises:
      WeightsError: if an array is missing, unknown or of another shape.
    """
    state = StateDict(arrays)
    if config.positions is None:
        params = _projected(state, blosum=_BLOSUM in arrays)
        root = f"{_STACK}._standard_stack.{_STACK}"
    else:
        params, root = _summed(state), f"{_STACK}.{_STACK}"
    layers = [_layer(state, f"{root}.layers.{number}") for number in range(config.depth)]
    params["layers"] = jax.tree.map(lambda *parts: np.stack(parts), *layers)
    # The head that predicts masked residues, which the hidden states do not need.
    state.require_all_taken(ignore=("_mlm_token_prediction_projector.",))
    check_params(param_shapes(config), params)
    return params


def _projected(state: StateDict, *, blosum: bool) -> dict[str, Any]:
    """The first matrix, taken apart into what it does to tokens, to places and to loops."""
    matrix = state.take(f"{_STACK}._initial_projector.weight")
    tokens = _blosum_table(state) if blosum else state.take(f"{_EMBEDDER}._token_embedding{_TABLE}")
    loops = state.take(f"{_EMBEDDER}._compartment_embedding{_TABLE}")
    first, unit, last = np.split(matrix.T, [tokens.shape[1], tokens.shape[1] + 1])
    return {
        "tokens": {"embedding": _multiply(tokens, first)},
        "compartments": {"embedding": _multiply(loops, last)},
        "unit": unit[0],
    }


def _blosum_table(state: StateDict) -> Float[np.ndarray, "tokens features"]:
    """BLOSUM62 for residues; learned rows for the special tokens, where BLOSUM62 has zeros."""
    table = state.take(_BLOSUM).copy()
    special = state.take(f"{_EMBEDDER}._blosum_embedding._special_token_embeddings.weight")
    table[: len(special)] += special
    return table


def _multiply(
    table: Float[np.ndarray, "rows features"], matrix: Float[np.ndarray, "features d"]
) -> Float[np.ndarray, "rows d"]:
    # In float64: products with one-hot rows are exact, those with BLOSUM62 rounded once.
    return (table.astype(np.float64) @ matrix.astype(np.float64)).astype(matrix.dtype)


def _summed(state: StateDict) -> dict[str, Any]:
    """Tables that are added up; the original then multiplies by √d."""
    tables = {
        "tokens": state.take(f"{_EMBEDDER}.token_embedding.weight"),
        "compartments": state.take(f"{_EMBEDDER}.compartment_embedding.weight"),
        "positions": state.take(f"{_EMBEDDER}.position_embedding.position_embedding_matrix"),
    }
    scale = tables["tokens"].shape[1] ** 0.5  # a power of two for the width there is, so exact
    return {name: {"embedding": table * table.dtype.type(scale)} for name, table in tables.items()}


def _layer(state: StateDict, root: str) -> dict[str, Any]:
    kernels = np.split(state.take(f"{root}.self_attn.in_proj_weight"), 3)
    biases = np.split(state.take(f"{root}.self_attn.in_proj_bias"), 3)
    own = {
        name: {"kernel": kernel.T, "bias": bias}
        for name, kernel, bias in zip(_QKV, kernels, biases, strict=True)
    }
    return own | {
        "attention_out": state.dense(f"{root}.self_attn.out_proj"),
        "attention_norm": state.layer_norm(f"{root}.norm1"),
        "expand": state.dense(f"{root}.linear1"),
        "contract": state.dense(f"{root}.linear2"),
        "output_norm": state.layer_norm(f"{root}.norm2"),
    }
