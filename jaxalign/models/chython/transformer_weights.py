"""Parameters of chython's graph transformer: from the arrays of its ONNX file, or random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxalign.models.chython.reaction_tokens import DISTANCES, ELEMENTS, NEIGHBORS, ROLES
from jaxalign.models.weight_files.weights import StateDict, WeightsError, check_params

HIDDEN, INTERMEDIATE, DISTANCE_HEADS = 1024, 3072, 16
_TABLES = {
    "elements": "atoms_encoder",
    "neighbors": "neighbors_encoder",
    "distances": "spatial_encoder",
    "roles": "role_encoder",
}
# Our name of a linear map → its bias in the file, and the number of its matrix in both layers: the
# exporter kept no other name of it.
_LINEAR = {
    "query_key_value": ("self_attn.qkv_proj", {"molecule": 1582, "reaction": 1675}),
    "output": ("self_attn.o_proj", {"molecule": 1590, "reaction": 1683}),
    "expand": ("linear1", {"molecule": 1591, "reaction": 1684}),
    "contract": ("linear2", {"molecule": 1592, "reaction": 1685}),
}
_LAYERS = {"molecule": "mol_layer", "reaction": "rxn_layer"}


def convert_params(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays of the ONNX file to parameters.

    Args:
      arrays: its initializers, name → array.

    Returns:
      Parameters for `apply_transformer`.

    Raises:
      WeightsError: if an array is missing, unknown or of another shape, or the table of distances
        is not −∞ where nothing must be attended to.
    """
    state = StateDict(arrays)

    def layer(kind: str) -> dict[str, Any]:
        root = _LAYERS[kind]
        linear = {
            name: {
                "kernel": state.take(f"onnx::MatMul_{numbers[kind]}"),  # already [in, out]
                "bias": state.take(f"{root}.{bias}.bias"),
            }
            for name, (bias, numbers) in _LINEAR.items()
        }
        norms = {f"norm_{n}": state.layer_norm(f"{root}.norm{n}") for n in (1, 2)}
        return linear | norms

    params = {name: state.take(f"{table}.weight") for name, table in _TABLES.items()}
    params |= {kind: layer(kind) for kind in _LAYERS}
    state.require_all_taken()
    check_params(init_params(0), params)
    if not np.all(params["distances"][0] == -np.inf):
        raise WeightsError(
            "the first row of spatial_encoder.weight must be −∞ (tokens of other molecules are not "
            "attended to); the file belongs to another version of the network"
        )
    # The mask says so by itself, and sums of parameters stay finite.
    params["distances"] = np.concatenate(
        [np.zeros_like(params["distances"][:1]), params["distances"][1:]]
    )
    return params


def init_params(seed: int) -> dict[str, Any]:
    """Random parameters as PyTorch draws them: tables N(0, 1), linear maps U(−1/√n, 1/√n).

    Args:
      seed: seed of the random numbers.

    Returns:
      Parameters for `apply_transformer`, float32.
    """
    rng = np.random.default_rng(seed)

    def linear(inputs: int, outputs: int) -> dict[str, np.ndarray]:
        def draw(*shape: int) -> np.ndarray:
            return (2 * rng.random(shape, np.float32) - 1) * np.float32(inputs**-0.5)

        return {"kernel": draw(inputs, outputs), "bias": draw(outputs)}

    def layer() -> dict[str, Any]:
        norm = {"scale": np.ones(HIDDEN, np.float32), "bias": np.zeros(HIDDEN, np.float32)}
        return {
            "query_key_value": linear(HIDDEN, 3 * HIDDEN),
            "output": linear(HIDDEN, HIDDEN),
            "expand": linear(HIDDEN, INTERMEDIATE),
            "contract": linear(INTERMEDIATE, HIDDEN),
            "norm_1": norm,
            "norm_2": norm,
        }

    tables = {
        "elements": (ELEMENTS, HIDDEN),
        "neighbors": (NEIGHBORS, HIDDEN),
        "distances": (DISTANCES, DISTANCE_HEADS),
        "roles": (ROLES, HIDDEN),
    }
    params: dict[str, Any] = {}
    for name, shape in tables.items():
        params[name] = rng.standard_normal(shape, np.float32)
    params["distances"][0] = params["roles"][0] = 0  # of what is not there
    return params | {kind: layer() for kind in _LAYERS}
