"""Settings and parameters of CHGNet: shapes, random ones, and those of its checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxalign.models.initializers import torch_linear_params
from jaxalign.models.weight_files.weights import StateDict, check_params

WIDTH = 64  # of all states
BLOCKS = 4  # atom convolutions; all but the last are followed by one of bonds
ELEMENTS = 94
# Po, At, Rn, Fr and Ra are in no training set: their embeddings are still the random start.
KNOWN = (*range(1, 84), *range(89, ELEMENTS + 1))


@dataclasses.dataclass(frozen=True)
class Settings:
    """What differs between the released networks.

    Attributes:
      atom_cutoff: largest length of a bond, Å.
      bond_cutoff: largest length of a bond that encloses angles, Å.
      power: exponent p of the envelope of the radial basis.
      radial: number of radial functions.
      frequencies: number of angular frequencies, each with a sine and a cosine.
      norms: whether gated maps and the readout normalize.
      output_bias: whether the output maps of convolutions have a bias.
      readout: widths of the hidden layers of the readout.
    """

    atom_cutoff: float
    bond_cutoff: float
    power: int
    radial: int
    frequencies: int
    norms: bool
    output_bias: bool
    readout: tuple[int, ...]

    @property
    def angular(self) -> int:
        """Number of angular functions: the sines, the cosines and a constant."""
        return 2 * self.frequencies + 1


FIRST = Settings(5.0, 3.0, 5, 9, 4, norms=False, output_bias=True, readout=(WIDTH,) * 2)
SECOND = Settings(6.0, 3.0, 8, 31, 15, norms=True, output_bias=False, readout=(WIDTH,) * 3)

# Linear maps from the functions of a length or an angle, as named here and in checkpoints.
_BASIS_MAPS = {
    "bond_embedding": "bond_embedding",
    "atom_weights": "bond_weights_ag",
    "bond_weights": "bond_weights_bg",
    "angle_embedding": "angle_embedding",
}
_FREQUENCIES = {
    "atom_frequencies": "bond_basis_expansion.rbf_expansion_ag.frequencies",
    "bond_frequencies": "bond_basis_expansion.rbf_expansion_bg.frequencies",
    "angle_frequencies": "angle_basis_expansion.fourier_expansion.frequencies",
}


def _gated_maps() -> dict[str, tuple[str, int, bool]]:
    """Gated maps: name → name in checkpoints, number of inputs, whether with a hidden layer."""
    maps = {}
    for block in range(1, BLOCKS + 1):
        old = f"atom_conv_layers.{block - 1}.twoBody_atom"
        maps[f"atom_conv_{block}"] = old, 3 * WIDTH, True
    for block in range(1, BLOCKS):
        old = f"bond_conv_layers.{block - 1}.twoBody_bond"
        maps[f"bond_conv_{block}"] = old, 4 * WIDTH, True
        maps[f"angle_update_{block}"] = f"angle_layers.{block - 1}.twoBody_bond", 4 * WIDTH, False
    return maps


def _linear_shapes(settings: Settings) -> dict[str, tuple[int, int, bool]]:
    """All linear maps: name → inputs, outputs, whether with a bias."""
    shapes = {name: (settings.radial, WIDTH, False) for name in _BASIS_MAPS}
    shapes["angle_embedding"] = settings.angular, WIDTH, False
    for name, (_, inputs, hidden) in _gated_maps().items():
        for part in ("core", "gate"):
            shapes[f"{name}/{part}_1"] = inputs, WIDTH, True
            if hidden:
                shapes[f"{name}/{part}_2"] = WIDTH, WIDTH, True
        if hidden:
            shapes[f"{name}/output"] = WIDTH, WIDTH, settings.output_bias
    widths = (WIDTH, *settings.readout, 1)
    for number in range(1, len(widths)):
        shapes[f"readout_{number}"] = widths[number - 1], widths[number], True
    return shapes


def _norm_names(settings: Settings) -> dict[str, str]:
    """All layer normalizations: name → name in checkpoints."""
    if not settings.norms:
        return {}
    names = {"readout_norm": "readout_norm"}
    for name, (old, _, _) in _gated_maps().items():
        # They are called batch norms there.
        names |= {f"{name}/core_norm": f"{old}.bn1", f"{name}/gate_norm": f"{old}.bn2"}
    return names


def param_shapes(settings: Settings) -> dict[str, Any]:
    """Names and shapes of all parameters, without computing any.

    Args:
      settings: of the network.

    Returns:
      Name → the arrays of that part.
    """
    array = jax.ShapeDtypeStruct
    shapes: dict[str, Any] = {"embedding": {"embedding": array((ELEMENTS, WIDTH), np.float32)}}
    for name, (inputs, outputs, bias) in _linear_shapes(settings).items():
        shapes[name] = {"kernel": array((inputs, outputs), np.float32)}
        if bias:
            shapes[name]["bias"] = array((outputs,), np.float32)
    for name in _norm_names(settings):
        shapes[name] = {part: array((WIDTH,), np.float32) for part in ("scale", "bias")}
    counts = (settings.radial, settings.radial, settings.frequencies)
    for name, count in zip(_FREQUENCIES, counts, strict=True):
        shapes[name] = {"frequencies": array((count,), np.float32)}
    return shapes


def init_params(seed: int, settings: Settings = SECOND) -> dict[str, Any]:
    """Random parameters as the original draws them before training.

    Args:
      seed: seed of the random numbers.
      settings: of the network.

    Returns:
      Flax parameters.
    """
    shapes = param_shapes(settings)
    linear = {name: parts for name, parts in shapes.items() if "kernel" in parts}
    params: dict[str, Any] = torch_linear_params(linear, seed=seed)
    for name in _norm_names(settings):
        params[name] = {"scale": np.ones(WIDTH, np.float32), "bias": np.zeros(WIDTH, np.float32)}
    for name in _FREQUENCIES:
        count = shapes[name]["frequencies"].shape[0]
        unit = 1.0 if name == "angle_frequencies" else np.pi
        params[name] = {"frequencies": (unit * np.arange(1, count + 1)).astype(np.float32)}
    table = np.random.default_rng([seed, 1]).normal(size=(ELEMENTS, WIDTH))
    return params | {"embedding": {"embedding": table.astype(np.float32)}}


def convert_params(arrays: Mapping[str, np.ndarray], settings: Settings) -> dict[str, Any]:
    """Arrays of a CHGNet checkpoint to Flax parameters.

    Args:
      arrays: the checkpoint's `state_dict`, name → array.
      settings: of the network.

    Returns:
      Parameters for `apply_chgnet`.

    Raises:
      WeightsError: if an array is missing, unknown or of another shape.
    """
    state = StateDict(arrays)
    params: dict[str, Any] = {"embedding": state.embedding("atom_embedding.embedding")}
    for name, old in _BASIS_MAPS.items():
        params[name] = {"kernel": state.take(f"{old}.weight").T}
    for name, old in _FREQUENCIES.items():
        params[name] = {"frequencies": state.take(old)}
    for name, old in _norm_names(settings).items():
        params[name] = state.layer_norm(old)
    for name, (old, _, hidden) in _gated_maps().items():
        # Without a hidden layer a dropout comes first, and takes number 0.
        numbers = {1: 0, 2: 3} if hidden else {1: 1}
        for layer, number in numbers.items():
            for part in ("core", "gate"):
                params[f"{name}/{part}_{layer}"] = state.dense(f"{old}.mlp_{part}.layers.{number}")
        if hidden:
            output = f"{old.rsplit('.', 1)[0]}.mlp_out.layers.1"
            params[f"{name}/output"] = {"kernel": state.take(f"{output}.weight").T}
            if settings.output_bias:
                params[f"{name}/output"]["bias"] = state.take(f"{output}.bias")
    for number in range(1, len(settings.readout) + 2):
        params[f"readout_{number}"] = state.dense(f"mlp.layers.{_readout_place(number, settings)}")
    # Magnetic moments are not predicted here; energies of elements: `reference_energies`.
    state.require_all_taken(ignore=("site_wise.", "composition_model."))
    check_params(param_shapes(settings), params)
    return params


def _readout_place(number: int, settings: Settings) -> int:
    """Place of a linear map among the layers of the readout: maps alternate with activations."""
    is_last = number == len(settings.readout) + 1
    return 2 * (number - 1) + is_last  # a dropout before the last


def reference_energies(arrays: Mapping[str, np.ndarray]) -> dict[int, float]:
    """Energy of an atom of each element in a CHGNet checkpoint, which interactions add to.

    Args:
      arrays: the checkpoint's `state_dict`, name → array.

    Returns:
      Atomic number → eV.
    """
    table = StateDict(arrays).take("composition_model.fc.weight")
    return {number: float(energy) for number, energy in enumerate(table[0], start=1)}
