"""SevenNet checkpoints (of sevenn before 0.11) → settings and parameters.

e3nn keeps weights of unit variance, and divides by the root of the number of inputs when it uses
them. Such factors, the scale of activations inside the radial network and the number of neighbors
are multiplied into the weights here once, in float64. Two facts of these files need care:

- The signs of their coupling tables are those of the e3nn of their time, and weights were trained
  with them. Where a table has the opposite sign of ours, so get the columns of its path.
- A network of several modalities (functionals) has their one-hot vector as further scalar inputs of
  some linear maps: for one modality, a bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxalign.models.atomistic.tensor_products import Path, coupling_paths, coupling_tensor
from jaxalign.models.sevennet.sevennet import BLOCKS, SILU_SCALE, SevenNetConfig
from jaxalign.models.sevennet.sevennet_params import (
    RADIAL_HIDDEN,
    block_channels,
    join_blocks,
    param_shapes,
)
from jaxalign.models.weight_files.weights import StateDict, WeightsError, check_params

# Spellings of files written before 0.10, which also have blanks in names.
_RENAMED = {
    "EdgeEmbedding": "edge_embedding",
    "denumerator": "denominator",
    "reducing_nn_input_to_hidden": "reduce_input_to_hidden",
    "reducing_nn_hidden_to_energy": "reduce_hidden_to_energy",
}
_EXPECTED = {
    "is_parity": False,
    "self_connection_type": "linear",
    "use_bias_in_linear": False,
    "readout_as_fcn": False,
    "act_radial": "silu",
    "weight_nn_hidden_neurons": list(RADIAL_HIDDEN),
    "num_convolution_layer": BLOCKS,
}


def read_config(settings: Mapping[str, Any]) -> SevenNetConfig:
    """Settings of a network from those that its checkpoint holds.

    Args:
      settings: the checkpoint's `config`.

    Returns:
      What our network needs of them.

    Raises:
      WeightsError: if the checkpoint is of another architecture or of a later version.
    """
    strange = [name for name, value in _EXPECTED.items() if settings.get(name) != value]
    if tuple(map(int, settings["version"].split(".")[:2])) >= (0, 11):
        strange.append("version")
    if settings.get("use_modal_node_embedding"):
        strange.append("use_modal_node_embedding")
    if strange:
        found = ", ".join(f"{name} = {settings.get(name)!r}" for name in strange)
        raise WeightsError(
            f"this SevenNet differs from those that can be read in {found}; supported are networks "
            f"written before version 0.11 with {_EXPECTED}"
        )
    step = settings["cutoff_function"]
    smooth = step["cutoff_function_name"] == "XPLOR"
    by_species = sorted(settings["_type_map"], key=settings["_type_map"].get)
    return SevenNetConfig(
        channels=tuple(int(part.split("x")[0]) for part in settings["irreps_manual"][1].split("+")),
        elements=tuple(map(int, by_species)),
        cutoff=float(settings["cutoff"]),
        onset=float(step["cutoff_on"]) if smooth else None,
        # Not recorded by files of the first versions, which did not normalize.
        unit_vectors=bool(settings.get("_normalize_sph", False)),
    )


def convert_params(
    arrays: Mapping[str, np.ndarray], config: SevenNetConfig, *, modal: tuple[int, int] | None
) -> tuple[dict[str, Any], dict[int, float]]:
    """Arrays of a checkpoint to parameters of one modality.

    Args:
      arrays: the checkpoint's `model_state_dict`.
      config: of `read_config`.
      modal: number of the modality and how many there are; None for networks without.

    Returns:
      Parameters for `sevennet.block_states`, float64, and the reference energies in eV by atomic
      number.

    Raises:
      WeightsError: if an array is missing, unknown or of another shape.
    """
    state = StateDict(_renamed(arrays))
    last = config.channels[:1]
    hidden = (last[0] // 2,)
    first = _linear(state, "reduce_input_to_hidden", last, hidden, modal)
    second = _linear(state, "reduce_hidden_to_energy", hidden, (1,), None)["weights"][0]
    readout = {"weights": [first["weights"][0] @ second]}
    if modal is not None:
        readout["bias"] = first["bias"] @ second
    species = (len(config.elements),)
    shift = _double(state.take("rescale_atomic_energy.shift"))
    shift = shift if modal is None else shift[modal[0]]
    params = {
        "frequencies": _double(state.take("edge_embedding.basis_function.coeffs")),
        "embedding": _linear(state, "onehot_to_feature_x", species, last, None)["weights"][0],
        **join_blocks([_block(state, number, config, modal) for number in range(BLOCKS)]),
        "readout": readout,
        "scale": _double(state.take("rescale_atomic_energy.scale")),
    }
    state.require_all_taken()
    check_params(param_shapes(config, modal=modal is not None), params)
    return params, dict(zip(config.elements, shift.tolist(), strict=True))


def _block(
    state: StateDict, number: int, config: SevenNetConfig, modal: tuple[int, int] | None
) -> dict[str, Any]:
    inputs, sums, hidden = block_channels(config, number)
    name = f"{number}_convolution"
    radial = [_double(state.take(f"{name}.weight_nn.layer{n}.weight")) for n in range(3)]
    # Each activation is scaled, which the weights that follow it take over.
    first, second, columns = (w / math.sqrt(len(w)) for w in radial)
    columns = columns * (SILU_SCALE / float(state.take(f"{name}.denominator")[0]))
    paths = coupling_paths(len(inputs) - 1, config.degree, len(sums) - 1)
    ends = np.cumsum([inputs[path.left] for path in paths])
    signs = {path: _table_sign(state, name, path) for path in paths}
    parts = dict(zip(paths, np.split(columns, ends[:-1], axis=1), strict=True))
    return {
        "radial": [first, second * SILU_SCALE],
        "paths": [
            np.concatenate([parts[p] * signs[p] for p in paths if p.right == degree], axis=1)
            for degree in range(config.degree + 1)
            if any(p.right == degree for p in paths)
        ],
        "skip": _linear(state, f"{number}_self_connection_intro", inputs, hidden, None),
        "mix": _linear(state, f"{number}_self_interaction_1", inputs, inputs, modal),
        "update": _linear(state, f"{number}_self_interaction_2", sums, hidden, modal),
    }


def _table_sign(state: StateDict, name: str, path: Path) -> float:
    """+1 or −1: the file's coupling table is so many times ours."""
    if 0 in path:
        return 1.0  # plain products and dot products, for which e3nn keeps no table
    table = state.take(
        f"{name}.convolution._compiled_main_left_right._w3j_{'_'.join(map(str, path))}"
    )
    ours = coupling_tensor(path)
    sign = float(np.sign(np.sum(table * ours)))
    if np.abs(table - sign * ours).max() > 1e-6:
        raise WeightsError(f"the coupling table of {path} in the weight file is not that of e3nn")
    return sign


def _linear(
    state: StateDict,
    name: str,
    inputs: Sequence[int],
    outputs: Sequence[int],
    modal: tuple[int, int] | None,
) -> dict[str, Any]:
    """A linear map within degrees, stored as one flat array: the degrees, then the modalities."""
    flat, weights, start = _double(state.take(f"{name}.linear.weight")), [], 0
    extra = 0 if modal is None else modal[1]
    for degree, (n, m) in enumerate(zip(inputs, outputs, strict=False)):
        fan_in = n + (extra if degree == 0 else 0)
        weights.append(flat[start : start + n * m].reshape(n, m) / math.sqrt(fan_in))
        start += n * m
    if len(flat) != start + extra * outputs[0]:
        raise WeightsError(
            f"{name} has {len(flat)} weights, expected {start + extra * outputs[0]}; "
            "the file belongs to another architecture"
        )
    if modal is None:
        return {"weights": weights}
    rows = flat[start:].reshape(extra, outputs[0]) / math.sqrt(inputs[0] + extra)
    return {"weights": weights, "bias": rows[modal[0]]}


def _renamed(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Names as today's; without masks and the empty arrays of e3nn."""
    renamed = {}
    for name, array in arrays.items():
        parts = [part.replace(" ", "_") for part in name.split(".")]
        if array.size and parts[-1] != "output_mask":
            renamed[".".join(_RENAMED.get(part, part) for part in parts)] = array
    return renamed


def _double(array: np.ndarray) -> Float[np.ndarray, ...]:
    return np.asarray(array, np.float64)
