"""Which Orb a weight file holds: read from its arrays, completed by a small configuration."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxalign.models.atomistic.spherical_harmonics import MAX_DEGREE
from jaxalign.models.weight_files.weights import WeightsError

EMBEDDING = "model.atom_emb.embeddings.weight"
BESSEL = "model.rbf_transform.bessel_weights"
CONDITION = "model.conditioner.charge_embedding.W"
CONSERVATIVE = "grad_forces_normalizer."
HEAD = "heads.energy"
_NODES, _EDGES = "model._encoder._node_fn", "model._encoder._edge_fn"

ACTIVATIONS = ("ssp", "silu", "gelu")
_REPULSIONS = {False: None, None: None, "sum": "sum", "mean": "mean"}
# Sizes that the arrays tell; stated, they are checked against them.
_SIZES = {
    "latent_dim": "latent",
    "num_message_passing_steps": "steps",
    "base_mlp_depth": "depth",
    "base_mlp_hidden_dim": "hidden",
    "head_mlp_depth": "head_depth",
    "head_mlp_hidden_dim": "head_hidden",
}
_CONFIG = (
    *_SIZES,
    "max_num_neighbors",
    "activation",
    "pair_repulsion",
    "charge",
    "spin",
    "elements",
)
# Of MPtraj, Alexandria and OMat24; OMol25 ends at bismuth.
KNOWN = (*range(1, 84), *range(89, 95))
_LARGEST = 117  # classes of the original's one-hot vectors, 0 included
# Names of the released files that tell the largest number of neighbors.
_RELEASED = (
    (re.compile(r"orb-(mptraj-only-|d3-|d3-sm-|d3-xs-)?v2\b.*"), 20),
    (re.compile(r"orb-v3-(conservative|direct)-20-.*"), 20),
    (re.compile(r"orb-v3-(conservative|direct)-(inf|omol)\b.*"), 120),
    (re.compile(r"separate-d[34]-.*"), 120),
)


@dataclasses.dataclass(frozen=True)
class OrbSettings:
    """Everything about an Orb that is no array.

    Attributes:
      latent: width of nodes and edges.
      steps: number of message passing layers.
      depth: hidden layers of every perceptron of the network.
      hidden: their width.
      activation: `"ssp"` (softplus(x) − ln 2), `"silu"` or `"gelu"`.
      layer_norm: whether perceptrons end in a layer normalization; otherwise it is that of the root
        mean square.
      bases: number of radial functions.
      degree: largest degree of the harmonics that multiply Bessel functions (v3); None for Gaussian
        functions beside the unit vector (v2).
      neighbors: largest number of neighbors that an atom sends to.
      repulsion: whether the short-ranged ZBL energy enters as the `"sum"` over the atoms, as their
        `"mean"`, or, with None, not at all.
      elements: atomic numbers that are accepted.
      state: charge and spin multiplicity that all structures are taken to have, if the network sees
        them.
      head_depth: hidden layers of the energy's perceptron; None if the file has no energies.
      head_hidden: their width.
    """

    latent: int
    steps: int
    depth: int
    hidden: int
    activation: str
    layer_norm: bool
    bases: int
    degree: int | None
    neighbors: int
    repulsion: str | None
    elements: tuple[int, ...] = KNOWN
    state: tuple[float, float] | None = None
    head_depth: int | None = None
    head_hidden: int = 0

    @property
    def edge_inputs(self) -> int:
        """Width of what is known of an edge at first."""
        return self.bases + 3 if self.degree is None else self.bases * (self.degree + 1) ** 2

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers, in the order of the network."""
        return ("encoder", *(f"layer_{step + 1}" for step in range(self.steps)))


def read_settings(
    arrays: Mapping[str, np.ndarray], config: Mapping[str, Any] | None = None, *, name: str = ""
) -> OrbSettings:
    """Settings of the Orb in a weight file.

    Args:
      arrays: name → array, as `orb_weights.current_names` gives them.
      config: what the user states. Known are `max_num_neighbors`, `activation`, `pair_repulsion`
        (true, false, or how it is reduced: `"sum"`, `"mean"`), `charge` and `spin` (multiplicity)
        of all structures, for networks that see them, `elements` (atomic numbers to accept; those
        of the original's training data unless stated), and the sizes `latent_dim`,
        `num_message_passing_steps`, `base_mlp_depth`, `base_mlp_hidden_dim`, `head_mlp_depth` and
        `head_mlp_hidden_dim`, with the names and meanings of the original.
      name: of the file without suffix; the released ones tell `max_num_neighbors`.

    Returns:
      The settings. Whether the arrays fit them is checked on conversion.

    Raises:
      WeightsError: if the file is no Orb, or does not tell a setting that the configuration does
        not state either.
    """
    config = config or {}
    if unknown := sorted(config.keys() - set(_CONFIG)):
        raise WeightsError(
            f"the configuration states {', '.join(unknown)}; known are {', '.join(_CONFIG)}"
        )
    for wanted in (EMBEDDING, f"{_NODES}.mlp.NN-0.weight", f"{_EDGES}.mlp.NN-0.weight"):
        if np.ndim(arrays.get(wanted)) != 2:
            raise WeightsError(
                f"the file has no matrix {wanted!r}: it is no Orb v2 or v3, or its names were "
                "changed"
            )
    latent = arrays[EMBEDDING].shape[1]
    bases, degree = _edge_functions(arrays)
    found = {
        "latent": latent,
        "steps": _count(arrays, r"model\.gnn_stacks\.(\d+)\..*"),
        "depth": _count(arrays, rf"{re.escape(_NODES)}\.mlp\.NN-(\d+)\.weight") - 1,
        "hidden": arrays[f"{_NODES}.mlp.NN-0.weight"].shape[0],
    }
    if f"{HEAD}.mlp.NN-0.weight" in arrays:
        found["head_depth"] = _count(arrays, rf"{re.escape(HEAD)}\.mlp\.NN-(\d+)\.weight") - 1
        found["head_hidden"] = arrays[f"{HEAD}.mlp.NN-0.weight"].shape[0]
    found |= {own: _integer(config, stated) for stated, own in _SIZES.items() if stated in config}
    return OrbSettings(
        **found,
        activation=_activation(config, older=degree is None),
        layer_norm=f"{_NODES}.layer_norm.bias" in arrays,
        bases=bases,
        degree=degree,
        neighbors=_neighbors(config, name, older=degree is None),
        repulsion=_repulsion(arrays, config, older=degree is None),
        elements=_elements(config),
        state=_state(arrays, config),
    )


def _count(arrays: Mapping[str, Any], pattern: str) -> int:
    """How many different numbers occur where a pattern has its group."""
    return len({m.group(1) for name in arrays if (m := re.fullmatch(pattern, name))})


def _integer(config: Mapping[str, Any], name: str) -> int:
    value = config[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise WeightsError(f"{name} must be a positive integer, the configuration has {value!r}")
    return value


def _edge_functions(arrays: Mapping[str, np.ndarray]) -> tuple[int, int | None]:
    """Number of radial functions, and the largest degree of harmonics if there are any."""
    name = f"{_EDGES}.mlp.NN-0.weight"
    width = arrays[name].shape[1]
    if BESSEL not in arrays:
        if width <= 3:
            raise WeightsError(f"{name} has shape {arrays[name].shape}: no room for unit vectors")
        return width - 3, None
    bases = len(np.atleast_1d(arrays[BESSEL]))
    degree = round((width / bases) ** 0.5) - 1
    if bases * (degree + 1) ** 2 != width or not 0 <= degree <= MAX_DEGREE:
        raise WeightsError(
            f"{name} has shape {arrays[name].shape}, which is no product of {bases} Bessel "
            f"functions ({BESSEL}) with all harmonics up to a degree of at most {MAX_DEGREE}"
        )
    return bases, degree


def _activation(config: Mapping[str, Any], *, older: bool) -> str:
    activation = config.get("activation", "ssp" if older else "silu")
    if activation not in ACTIVATIONS:
        raise WeightsError(
            f"activation {activation!r} is not supported; supported are {', '.join(ACTIVATIONS)}"
        )
    return activation


def _neighbors(config: Mapping[str, Any], name: str, *, older: bool) -> int:
    if "max_num_neighbors" in config:
        return _integer(config, "max_num_neighbors")
    for pattern, neighbors in _RELEASED:
        if pattern.fullmatch(name):
            return neighbors
    if older:
        return 20
    raise WeightsError(
        "the file does not tell to how many neighbors an atom sends at most; state it as "
        '{"max_num_neighbors": …} in the configuration: 20, or 120 for the variants called "inf"'
    )


def _repulsion(
    arrays: Mapping[str, np.ndarray], config: Mapping[str, Any], *, older: bool
) -> str | None:
    """The ZBL energy has no arrays. Conservative models of the original average it over atoms."""
    stated = config.get("pair_repulsion", not older)
    if stated is True:
        return "mean" if any(name.startswith(CONSERVATIVE) for name in arrays) else "sum"
    if not isinstance(stated, str | bool | None) or stated not in _REPULSIONS:
        raise WeightsError(
            f"pair_repulsion must be true, false, 'sum' or 'mean'; the configuration has {stated!r}"
        )
    return _REPULSIONS[stated]


def _elements(config: Mapping[str, Any]) -> tuple[int, ...]:
    stated = config.get("elements", KNOWN)
    known = isinstance(stated, list | tuple) and len(stated)
    if not known or any(type(z) is not int or not 0 < z <= _LARGEST for z in stated):
        raise WeightsError(f"elements must be atomic numbers from 1 to {_LARGEST}, got {stated!r}")
    return tuple(sorted(stated))


def _state(
    arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> tuple[float, float] | None:
    """Charge and spin, for networks that see them; neutral singlets unless stated."""
    if CONDITION not in arrays:
        if stated := sorted({"charge", "spin"} & config.keys()):
            raise WeightsError(
                f"the configuration states {' and '.join(stated)}, and the file has no array "
                f"{CONDITION!r}: this Orb does not see them"
            )
        return None
    charge, spin = config.get("charge", 0), config.get("spin", 1)
    if not all(isinstance(value, int | float) for value in (charge, spin)):
        raise WeightsError(f"charge and spin must be numbers, got {charge!r} and {spin!r}")
    return float(charge), float(spin)
