"""Which eSEN or UMA a weight file holds: read from the file, completed by a configuration.

Sizes follow from the shapes of the arrays. The cutoff, the kind of norm and what is asked of the
network (charge, spin, data set) do not; they come from the file if it is a published inference
checkpoint, which holds its configuration, or else from the user's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxalign.models.esen.checkpoint_config import FileConfig
from jaxalign.models.esen.esen_settings import (
    GATE,
    GRID,
    NORMS,
    SPECTRAL,
    SPHERE,
    EsenSettings,
    System,
)
from jaxalign.models.esen.system_embedding import MAX_CHARGE, MAX_SPIN
from jaxalign.models.weight_files.weights import WeightsError

# Arguments of the original that the shapes of the arrays tell too → name among the settings.
_TOLD = {
    "max_num_elements": "elements",
    "sphere_channels": "channels",
    "hidden_channels": "hidden",
    "lmax": "max_degree",
    "mmax": "max_order",
    "num_layers": "blocks",
    "num_distance_basis": "basis",
    "num_experts": "experts",
    "act_type": "activation",
    "ff_type": "feed_forward",
    "mlp_type": "feed_forward",
}
_ASKED = ("charge", "spin", "dataset", "head", "normalizer", "element_references")
_STATED = (
    "cutoff",
    "max_neighbors",
    "norm_type",
    "use_envelope",
    "grid_resolution",
    "model_id",
    "dataset_mapping",
    "charge_balanced_channels",
    "spin_balanced_channels",
)
# Other values of these arguments of the original make a function that is not supported.
_FIXED = {
    "distance_function": "gaussian",
    "moe_expert_coefficient_norm": "softmax",
    "moe_single": False,
    "reduce": "sum",
}
# The only generation whose mean over elements counts one atom too many.
_COUNTS_SELF = "UMA-S-1.2"
_OMOL = "omol"


def read_settings(
    arrays: Mapping[str, np.ndarray], config: Mapping[str, Any], *, head: Mapping[str, np.ndarray]
) -> EsenSettings:
    """Settings of the network in a weight file.

    Args:
      arrays: name → array of the backbone.
      config: of `merged_config`.
      head: name → array of the head that gives energies; empty if there is none.

    Returns:
      The settings. Whether all arrays fit them is checked on conversion.

    Raises:
      WeightsError: if the file is of another architecture or variant, contradicts the
        configuration, or does not tell a setting that the configuration does not state either.
    """
    for name, value in _FIXED.items():
        if config.get(name, value) != value:
            raise WeightsError(f"{name} is {config[name]!r}; only {value!r} is supported")
    if "distance_expansion.rbf.frequencies" in arrays:
        raise WeightsError("the file has Bessel functions of the distance; only Gaussians are read")
    table = _array(arrays, "sphere_embedding.weight")
    channels, ends = table.shape[1], _array(arrays, "source_embedding.weight").shape[1]
    inner = _array(arrays, "edge_degree_embedding.rad_func.net.6.weight")
    first = _array(arrays, "edge_degree_embedding.rad_func.net.0.weight")
    second = _map(arrays, "blocks.0.edge_wise.so2_conv_2.fc_m0")
    max_degree = inner.shape[0] // channels - 1
    hidden = second.shape[-1] // (max_degree + 1)
    settings = EsenSettings(
        elements=len(table),
        channels=channels,
        hidden=hidden,
        max_degree=max_degree,
        max_order=_count(arrays, r"blocks\.0\.edge_wise\.so2_conv_2\.so2_m_conv\.(\d+)\.fc\..*"),
        blocks=_count(arrays, r"blocks\.(\d+)\..*"),
        basis=first.shape[1] - 2 * ends,
        cutoff=_cutoff(arrays, config),
        max_neighbors=int(config.get("max_neighbors", 300)),
        activation=_activation(arrays, config, hidden=hidden, max_degree=max_degree),
        feed_forward=GRID if "blocks.0.atom_wise.grid_mlp.0.weight" in arrays else SPECTRAL,
        norm=_norm(arrays, config),
        envelope=_envelope(arrays, config),
        grid_resolution=config.get("grid_resolution"),
        experts=second.shape[0] if second.ndim == 3 else 0,
        composition="composition_embedding.weight" in arrays,
        count_self=config.get("model_id") == _COUNTS_SELF,
        charge_channels=_channels(config, "charge_balanced_channels"),
        spin_channels=_channels(config, "spin_balanced_channels"),
        head=_head_kind(head),
    )
    _compare(settings, config)
    return settings


def merged_config(file: FileConfig, own: Mapping[str, Any]) -> dict[str, Any]:
    """What the file's configuration and the user's say together; the user's goes before.

    Args:
      file: of `file_config`.
      own: what the user states: arguments of the original's backbone by their names, and `charge`,
        `spin`, `dataset`, `head` (name of the head to use), `normalizer` (`{"mean": …, "rmsd":
        …}`), `element_references` (energies of elements in eV, row Z for element Z).

    Returns:
      The configuration.

    Raises:
      WeightsError: if the user states something unknown.
    """
    known = (*_ASKED, *_STATED, *_TOLD, *_FIXED)
    if unknown := sorted(own.keys() - set(known)):
        raise WeightsError(
            f"the configuration states {', '.join(unknown)}; known are {', '.join(known)}"
        )
    told = {name: value for name, value in file.backbone.items() if name in known}
    return {**told, **own}


def read_system(arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> System:
    """Charge, spin and data set that are asked for.

    Args:
      arrays: name → array of the backbone.
      config: of `merged_config`.

    Returns:
      What the configuration states. Charge 0 is the default; spin 1 for `"omol"` and 0, "not
      stated", for others, as in the original; the data set if there is but one.

    Raises:
      WeightsError: if a number is out of range, or the data set is unknown or not stated.
    """
    known = dataset_names(arrays, config)
    dataset = config.get("dataset", known[0] if len(known) == 1 else None)
    if known and dataset not in known:
        raise WeightsError(
            f"the file has the data sets {', '.join(known)}; state one of them as 'dataset' in the "
            f"configuration (got {dataset!r})"
        )
    charge, spin = config.get("charge", 0), config.get("spin", int(dataset == _OMOL))
    for name, value, low, high in (
        ("charge", charge, -MAX_CHARGE, MAX_CHARGE),
        ("spin", spin, 0, MAX_SPIN),
    ):
        if not isinstance(value, int) or not low <= value <= high:
            raise WeightsError(f"{name} must be an integer from {low} to {high}, got {value!r}")
    if not known:
        return System(charge, spin)
    return System(charge, spin, config.get("dataset_mapping", {}).get(dataset, dataset))


def dataset_names(arrays: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, ...]:
    """Data sets that the network has an embedding of, sorted."""
    found = (re.fullmatch(r"dataset_embedding\.dataset_emb_dict\.(.+)\.weight", n) for n in arrays)
    names = {match.group(1) for match in found if match}
    return tuple(sorted(names | set(config.get("dataset_mapping", {}) if names else {})))


def _compare(settings: EsenSettings, config: Mapping[str, Any]) -> None:
    for stated, name in _TOLD.items():
        found = getattr(settings, name)
        if stated in config and config[stated] != found:
            raise WeightsError(
                f"the configuration states {stated} = {config[stated]!r}, and the arrays of the "
                f"file have {found!r}: it does not belong to this file"
            )


def _array(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise WeightsError(f"the file has no array {name!r}: it is no eSEN, or of another variant")
    return np.asarray(arrays[name])


def _map(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    experts = f"{name}.weights"
    return np.asarray(arrays[experts]) if experts in arrays else _array(arrays, f"{name}.weight")


def _count(arrays: Mapping[str, Any], pattern: str) -> int:
    """How many different numbers occur where a pattern has its group."""
    return len({m.group(1) for name in arrays if (m := re.fullmatch(pattern, name))})


def _cutoff(arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> float:
    centers = arrays.get("distance_expansion.offset")
    value = config.get("cutoff", None if centers is None else float(centers[-1]))
    if not isinstance(value, int | float) or not value > 0:
        raise WeightsError(
            'the file does not tell the cutoff; state it as {"cutoff": …} (Å) in the configuration'
        )
    return float(value)


def _activation(
    arrays: Mapping[str, np.ndarray], config: Mapping[str, Any], *, hidden: int, max_degree: int
) -> str:
    rows = _array(arrays, "blocks.0.edge_wise.so2_conv_1.fc_m0.bias").shape[0]
    extra = rows // hidden - (max_degree + 1)
    if max_degree == 1:
        return config.get("act_type", GATE)  # both have as many
    return SPHERE if extra == 1 else GATE


def _norm(arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> str:
    if "norm.norm_l0.weight" in arrays:
        return "layer_norm_sh"
    name = config.get("norm_type", NORMS[0])
    if name not in NORMS:
        raise WeightsError(f"norm_type {name!r} is unknown; known are {', '.join(NORMS)}")
    return name


def _envelope(arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> bool:
    """The first generation, which knows no charge, had the envelope as an option."""
    if "mix_csd.weight" in arrays:
        return True
    if not isinstance(config.get("use_envelope"), bool):
        raise WeightsError(
            "the arrays do not tell whether messages fall to 0 at the cutoff; state it as "
            '{"use_envelope": true} (or false) in the configuration: it is the argument of that '
            "name of the original's eSEN_Backbone"
        )
    return config["use_envelope"]


def _channels(config: Mapping[str, Any], name: str) -> tuple[int, int]:
    numbers = sorted(config.get(name) or [])
    if not numbers:
        return 0, 0
    if numbers != list(range(numbers[0], numbers[-1] + 1)):
        raise WeightsError(f"{name} must be consecutive numbers, got {numbers}")
    return numbers[0], numbers[-1] + 1


def _head_kind(head: Mapping[str, Any]) -> str | None:
    if not head:
        return None
    return "mlp" if any(name.startswith("energy_block.0.") for name in head) else "linear"
