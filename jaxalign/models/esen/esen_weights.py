"""Parameters of eSEN and UMA from the arrays of the original.

Linear maps are stored `[out, in]` there, with experts `[experts, out, in]`. The embeddings of the
elements at both ends of an edge only ever pass the first map of a radial network; their product
with it is taken here, once for each element.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxalign.models.esen.esen_settings import EsenSettings, System
from jaxalign.models.esen.sphere import exchange_matrix
from jaxalign.models.esen.system_embedding import system_vector
from jaxalign.models.weight_files.weights import StateDict, WeightsError

# Constants of the original, which older files hold.
_DERIVED = re.compile(
    r"Jd_\d+|distance_expansion\.offset|.*\.?(expand_index|balance_degree_weight)"
    r"|(.*\.)?(SO3_grid|mappingReduced|wigner_data|out_mask|coefficient_index)(\..*)?"
)
_EXCHANGE_TOLERANCE = 1e-5


class EsenArrays(StateDict):
    """Arrays of the original, by its names."""

    def linear(self, name: str, inputs: int, outputs: int, *, bias: bool = True) -> dict[str, Any]:
        """A linear map as kernel `[in, out]`."""
        params = {"kernel": self.shaped(f"{name}.weight", outputs, inputs).T}
        if bias:
            params["bias"] = self.shaped(f"{name}.bias", outputs)
        return params

    def mixed(self, name: str, inputs: int, outputs: int, experts: int) -> np.ndarray:
        """A map `[in, out]`, or `[experts, in, out]`."""
        if experts and self.holds(f"{name}.weights"):
            array = self.shaped(f"{name}.weights", experts, outputs, inputs)
        else:
            array = self.shaped(f"{name}.weight", outputs, inputs)
        return np.swapaxes(array, -1, -2)


def convert_params(
    arrays: Mapping[str, np.ndarray],
    head: Mapping[str, np.ndarray],
    settings: EsenSettings,
    system: System,
    *,
    head_row: int = 0,
) -> dict[str, Any]:
    """Parameters of the network.

    Args:
      arrays: name → array of the backbone, with the names of the original.
      head: the same of the head that gives energies; empty if there is none.
      settings: of `read_settings`.
      system: charge, spin and data set.
      head_row: which of the head's maps is the data set's.

    Returns:
      Parameters for `esen_states` and `readout_energy`, of the dtype of the file.

    Raises:
      WeightsError: if arrays are missing, left over, of other shapes than the settings want, or
        belong to other harmonics.
    """
    _check_harmonics(arrays, settings.max_degree)
    state = EsenArrays({n: a for n, a in arrays.items() if not _DERIVED.fullmatch(n)})
    readout = EsenArrays({n: _row(a, n, head_row) for n, a in head.items()})
    params = build_params(state, readout, settings)
    params["system"] = system_vector(state, settings.channels, system)
    dtype = params["elements"].dtype
    params |= {"charge": np.asarray(system.charge, dtype)}
    params |= {"spin": np.asarray(system.spin - 1, dtype)}
    state.require_all_taken(ignore=("dataset_embedding.",))
    readout.require_all_taken()
    return params


def build_params(state: EsenArrays, head: EsenArrays, settings: EsenSettings) -> dict[str, Any]:
    """The parameters without those of the system, from arrays that are asked for one by one."""
    channels, degrees = settings.channels, settings.max_degree + 1
    elements = state.shaped("sphere_embedding.weight", settings.elements, channels)
    ends = [state.take(f"{name}_embedding.weight") for name in ("source", "target")]
    blocks = [_block_params(state, settings, t, ends) for t in range(settings.blocks)]
    name = "edge_degree_embedding.rad_func"
    params: dict[str, Any] = {
        "elements": elements,
        "degree": _radial_params(state, name, settings, ends, degrees * channels),
        "blocks": jax.tree.map(lambda *leaves: np.stack(leaves), *blocks),
        "norm": _norm_params(state, "norm", settings),
        "scale": np.ones((), elements.dtype),
        "shift": np.zeros((), elements.dtype),
    }
    if settings.experts:
        params |= _routing_params(state, settings)
    if settings.head:
        params["head"] = _head_params(head, settings)
    return params


def _row(array: np.ndarray, name: str, row: int) -> np.ndarray:
    """The data set's own map, where each has one."""
    return array[row] if name.endswith(".weights") else array


def _block_params(
    state: EsenArrays, settings: EsenSettings, block: int, ends: list[np.ndarray]
) -> dict[str, Any]:
    name, channels = f"blocks.{block}", settings.channels
    convolutions = f"{name}.edge_wise.so2_conv"
    inputs = sum(settings.degrees(m) for m in range(settings.max_order + 1)) * 2 * channels
    return {
        "norm_1": _norm_params(state, f"{name}.norm_1", settings),
        "norm_2": _norm_params(state, f"{name}.norm_2", settings),
        "radial": _radial_params(state, f"{convolutions}_1.rad_func", settings, ends, inputs),
        "messages": {
            "first": _convolution(
                state, f"{convolutions}_1", settings, 2 * channels, settings.hidden, settings.extra
            ),
            "second": _convolution(
                state, f"{convolutions}_2", settings, settings.hidden, channels, 0
            ),
        },
        "pointwise": _pointwise_params(state, f"{name}.atom_wise", settings),
    }


def _convolution(
    state: EsenArrays, name: str, settings: EsenSettings, inputs: int, outputs: int, extra: int
) -> dict[str, np.ndarray]:
    degrees, experts = settings.max_degree + 1, settings.experts
    width = degrees * outputs + extra
    params = {
        "order_0": state.mixed(f"{name}.fc_m0", degrees * inputs, width, experts),
        "bias": state.shaped(f"{name}.fc_m0.bias", width),
    }
    for order in range(1, settings.max_order + 1):
        count, own = settings.degrees(order), f"{name}.so2_m_conv.{order - 1}.fc"
        kernel = state.mixed(own, count * inputs, 2 * count * outputs, experts)
        params[f"order_{order}"] = kernel
    return params


def _radial_params(
    state: EsenArrays, name: str, settings: EsenSettings, ends: list[np.ndarray], width: int
) -> dict[str, Any]:
    neighbor, center = ends
    hidden, own = neighbor.shape[1], settings.basis
    for number, table in enumerate(ends):
        if table.shape != (settings.elements, hidden):
            raise WeightsError(
                f"{('source', 'target')[number]}_embedding.weight has shape {table.shape}, and the "
                f"settings want {(settings.elements, hidden)}"
            )
    first = state.linear(f"{name}.net.0", own + 2 * hidden, hidden)
    kernel = first["kernel"]
    return {
        "distance": kernel[:own],
        "neighbor": _product(neighbor, kernel[own : own + hidden]),
        "center": _product(center, kernel[own + hidden :]) + first["bias"],
        "norm_1": _layer_norm(state, f"{name}.net.1", hidden),
        "dense_2": state.linear(f"{name}.net.3", hidden, hidden),
        "norm_2": _layer_norm(state, f"{name}.net.4", hidden),
        "dense_3": state.linear(f"{name}.net.6", hidden, width),
    }


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(a.dtype)


def _layer_norm(state: EsenArrays, name: str, width: int) -> dict[str, np.ndarray]:
    return {
        "scale": state.shaped(f"{name}.weight", width),
        "bias": state.shaped(f"{name}.bias", width),
    }


def _norm_params(state: EsenArrays, name: str, settings: EsenSettings) -> dict[str, np.ndarray]:
    """Scales of each degree and channel, and shifts of the scalars."""
    channels, degrees = settings.channels, settings.max_degree + 1
    if settings.norm != "layer_norm_sh":
        scale = state.shaped(f"{name}.affine_weight", degrees, channels)
        return {"scale": scale, "bias": state.shaped(f"{name}.affine_bias", channels)}
    scalars = _layer_norm(state, f"{name}.norm_l0", channels)
    rest = state.shaped(f"{name}.affine_weight", degrees - 1, channels)
    return {"scale": np.concatenate([scalars["scale"][None], rest]), "bias": scalars["bias"]}


def _pointwise_params(state: EsenArrays, name: str, settings: EsenSettings) -> dict[str, Any]:
    channels, hidden = settings.channels, settings.hidden
    if settings.feed_forward == "grid":
        widths = ((channels, hidden), (hidden, hidden), (hidden, channels))
        return {
            f"dense_{n + 1}": state.linear(f"{name}.grid_mlp.{2 * n}", *width, bias=False)
            for n, width in enumerate(widths)
        }
    return {
        "gates": state.linear(f"{name}.scalar_mlp.0", channels, settings.max_degree * hidden),
        "first": _by_degree(state, f"{name}.so3_linear_1", settings, channels, hidden),
        "second": _by_degree(state, f"{name}.so3_linear_2", settings, hidden, channels),
    }


def _by_degree(
    state: EsenArrays, name: str, settings: EsenSettings, inputs: int, outputs: int
) -> dict[str, np.ndarray]:
    weight = state.shaped(f"{name}.weight", settings.max_degree + 1, outputs, inputs)
    bias = state.shaped(f"{name}.bias", outputs)
    return {"kernels": np.swapaxes(weight, 1, 2), "bias": bias}


def _routing_params(state: EsenArrays, settings: EsenSettings) -> dict[str, Any]:
    channels, experts = settings.channels, settings.experts
    inputs = channels * (1 + settings.composition)
    widths = ((inputs, 2 * experts), (2 * experts, 2 * experts), (2 * experts, experts))
    layers = [state.linear(f"routing_mlp.{2 * n}", *width) for n, width in enumerate(widths)]
    params: dict[str, Any] = {"routing": layers}
    if settings.composition:
        name = "composition_embedding.weight"
        params["composition"] = state.shaped(name, settings.elements, channels)
    return params


def _head_params(head: EsenArrays, settings: EsenSettings) -> list[dict[str, np.ndarray]]:
    channels, hidden = settings.channels, settings.hidden
    if settings.head == "linear":
        names, widths = ("energy_block",), ((channels, 1),)
    else:
        names = tuple(f"energy_block.{n}" for n in (0, 2, 4))
        widths = ((channels, hidden), (hidden, hidden), (hidden, 1))
    layers = []
    for name, (inputs, outputs) in zip(names, widths, strict=True):
        own = f"{name}.weights" if head.holds(f"{name}.weights") else f"{name}.weight"
        kernel = head.shaped(own, outputs, inputs).T
        layers.append({"kernel": kernel, "bias": head.shaped(f"{name}.bias", outputs)})
    return layers


def _check_harmonics(arrays: Mapping[str, Float[np.ndarray, ...]], max_degree: int) -> None:
    """The constants in a file must be those that are computed here."""
    for degree in range(max_degree + 1):
        table, own = arrays.get(f"Jd_{degree}"), exchange_matrix(degree)
        if table is None:
            continue
        if table.shape != own.shape or np.abs(table - own).max() > _EXCHANGE_TOLERANCE:
            raise WeightsError(
                f"Jd_{degree} of the file (shape {table.shape}) is not the exchange of two axes "
                f"among real harmonics of degree {degree} (shape {own.shape}); its features would "
                "have another meaning"
            )
