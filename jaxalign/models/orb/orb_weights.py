"""Parameters of Orb: from the arrays of the original, the layers stacked."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from ase.data import covalent_radii

from jaxalign.models.orb.orb_settings import BESSEL, CONDITION, EMBEDDING, HEAD, OrbSettings
from jaxalign.models.weight_files.weights import StateDict, WeightsError

ELEMENTS = 118
# What embeddings and energies do not need: other heads, the output of denoising, constants.
_OTHER = (
    "heads.",
    "model._decoder.",
    "model.rbf_transform.r_max",
    "grad_forces_normalizer.",
    "grad_stress_normalizer.",
    "pair_repulsion_fn.",
)
_OLDER_HEADS = {
    "node_head.": "heads.forces.",
    "graph_head.": "heads.energy.",
    "stress_head.": "heads.stress.",
}
_GNS = "model."


def current_names(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays by the names that the original has used since v3.

    Compiled models, models without heads, those pretrained for denoising, and the heads of v2 have
    other names.

    Args:
      arrays: name → array, as in a file.

    Returns:
      The same arrays.
    """
    named = {}
    for name, array in arrays.items():
        name = name.replace("_orig_mod.", "").removeprefix("module.")
        for old, new in _OLDER_HEADS.items():
            if name.startswith(old):
                name = new + name.removeprefix(old)
        named[name] = array
    if not any(name.startswith(("heads.", _GNS)) for name in named):
        named = {_GNS + name: array for name, array in named.items()}
    if any(name.startswith(_GNS * 2) for name in named):
        # What stands beside the network inside its wrapper is not needed.
        named = {
            name.removeprefix(_GNS): array
            for name, array in named.items()
            if name.startswith(_GNS * 2) or not name.startswith(_GNS)
        }
    return named


def convert_params(arrays: Mapping[str, np.ndarray], settings: OrbSettings) -> dict[str, Any]:
    """Parameters of the network.

    Args:
      arrays: of `current_names`.
      settings: of `read_settings`.

    Returns:
      Parameters for `orb_states`, of the dtype of the file. Those of the message passing layers
      are stacked.

    Raises:
      WeightsError: if arrays are missing, left over, or of other shapes than the settings want.
    """
    state = OrbArrays(arrays, settings)
    params = build_params(state, settings)
    state.require_all_taken(ignore=_OTHER)
    return params


def build_params(state: OrbArrays, settings: OrbSettings) -> dict[str, Any]:
    """What `convert_params` returns, from arrays that are asked for one by one."""
    latent = settings.latent
    layers = [_layer_params(state, settings, step) for step in range(settings.steps)]
    params: dict[str, Any] = {
        "embedding": state.shaped(EMBEDDING, ELEMENTS + 1, latent),
        "nodes": state.perceptron("model._encoder._node_fn", latent),
        "edges": state.perceptron("model._encoder._edge_fn", settings.edge_inputs),
        "layers": jax.tree.map(lambda *parts: np.stack(parts), *layers),
    }
    if settings.degree is not None:
        params["frequencies"] = state.shaped(BESSEL, settings.bases)
        params["prefactor"] = state.shaped("model.rbf_transform.prefactor")
    if settings.repulsion is not None:
        params["radii"] = np.asarray(covalent_radii, np.float64)
    if settings.head_depth is not None:
        params["energy"] = {
            "linears": state.linears(
                f"{HEAD}.mlp", latent, *(settings.head_hidden,) * settings.head_depth, 1
            ),
            "mean": state.shaped(f"{HEAD}.normalizer.bn.running_mean", 1)[0],
            "std": np.sqrt(state.shaped(f"{HEAD}.normalizer.bn.running_var", 1)[0]),
        }
    return params


def reference_energies(arrays: Mapping[str, np.ndarray]) -> dict[int, float]:
    """Atomic number → energy of such an atom, eV.

    Args:
      arrays: of `current_names`.

    Returns:
      The energies; empty if the file has none.

    Raises:
      WeightsError: if they are not one number for each of 118 classes.
    """
    name = f"{HEAD}.reference.linear.weight"
    if name not in arrays:
        return {}
    energies = np.asarray(arrays[name])
    if energies.shape not in ((ELEMENTS,), (1, ELEMENTS)):
        raise WeightsError(f"{name} has shape {energies.shape}, wanted is ({ELEMENTS},)")
    return dict(enumerate(map(float, energies.reshape(-1))))


class OrbArrays(StateDict):
    """Arrays of the original, by its names.

    Args:
      arrays: of `current_names`.
      settings: of `read_settings`.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], settings: OrbSettings):
        super().__init__(arrays)
        self._settings = settings

    def linear(self, name: str, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        """A linear map, stored `[out, in]`, as kernel `[in, out]` and bias."""
        kernel = self.shaped(f"{name}.weight", outputs, inputs).T
        return {"kernel": kernel, "bias": self.shaped(f"{name}.bias", outputs)}

    def linears(self, name: str, *widths: int) -> list[dict[str, np.ndarray]]:
        """The linear maps of a perceptron with these widths."""
        pairs = itertools.pairwise(widths)
        return [self.linear(f"{name}.NN-{n}", *pair) for n, pair in enumerate(pairs)]

    def perceptron(self, name: str, inputs: int) -> dict[str, Any]:
        """Linear maps and the normalization behind them."""
        settings = self._settings
        widths = (inputs, *(settings.hidden,) * settings.depth, settings.latent)
        norm = {"scale": self.shaped(f"{name}.layer_norm.weight", settings.latent)}
        if settings.layer_norm:
            norm["bias"] = self.shaped(f"{name}.layer_norm.bias", settings.latent)
        return {"linears": self.linears(f"{name}.mlp", *widths), "norm": norm}


def _layer_params(state: OrbArrays, settings: OrbSettings, step: int) -> dict[str, Any]:
    name, latent = f"model.gnn_stacks.{step}", settings.latent
    gates = [state.linear(f"{name}.{kind}_attn", latent, 1) for kind in ("_send", "_receive")]
    params = {
        "nodes": state.perceptron(f"{name}._node_mlp", 3 * latent),
        "edges": state.perceptron(f"{name}._edge_mlp", 3 * latent),
        "gates": {part: np.concatenate([g[part] for g in gates], -1) for part in gates[0]},
    }
    if settings.state is not None:
        projection = state.linear(f"{name}._cond_node_proj", latent, latent)
        condition = _state_features(state, settings) @ projection["kernel"] + projection["bias"]
        params["condition"] = condition.astype(projection["bias"].dtype)
    return params


def _state_features(state: OrbArrays, settings: OrbSettings) -> np.ndarray:
    """Sines and cosines of charge and spin, which are the same for all structures."""
    parts = []
    for value, name in zip(
        settings.state, (CONDITION, CONDITION.replace("charge", "spin")), strict=True
    ):
        phases = 2 * np.pi * value * state.shaped(name, settings.latent // 4).astype(np.float64)
        features = np.concatenate([np.sin(phases), np.cos(phases)])
        # Spin 0 stands for an unknown one.
        parts.append(features * 0 if "spin" in name and value == 0 else features)
    return np.concatenate(parts)
