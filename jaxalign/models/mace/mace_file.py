"""Which MACE a weight file holds: read from the file, completed by a small configuration.

Almost everything follows from the names and shapes of the arrays. Files that hold the whole model
(`torch.save(model)`, as the released ones do) also tell the rest. For a file of bare arrays the
mean number of neighbors, by which messages are divided, must come from a configuration.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxalign.models.atomistic.spherical_harmonics import MAX_DEGREE
from jaxalign.models.mace.mace_settings import MaceSettings, parse_irreps
from jaxalign.models.weight_files.plain_values import Opaque
from jaxalign.models.weight_files.weights import WeightsError

# Class → (skip connection around the block, learned density of neighbors).
_INTERACTIONS = {
    "RealAgnosticInteractionBlock": (False, False),
    "RealAgnosticResidualInteractionBlock": (True, False),
    "RealAgnosticDensityInteractionBlock": (False, True),
    "RealAgnosticDensityResidualInteractionBlock": (True, True),
}
_MODELS = ("ScaleShiftMACE", "MACE")
_CONFIG = (
    "avg_num_neighbors",
    "hidden_irreps",
    "interaction",
    "interaction_first",
    "apply_cutoff",
    "heads",
    "head",
    "gate",
)


def read_settings(
    arrays: Mapping[str, np.ndarray],
    modules: Mapping[str, Mapping[str, Any]] | None = None,
    config: Mapping[str, Any] | None = None,
) -> MaceSettings:
    """Settings of the model in a weight file.

    Args:
      arrays: name → array, with the names of the original.
      modules: name of a module → its attributes, if the file holds the whole model.
      config: what the user states; goes before what the file tells. Known are
        `avg_num_neighbors` (a number, or one a block), `hidden_irreps` (such as
        `"128x0e + 128x1o"`), `interaction` and `interaction_first` (names of classes),
        `apply_cutoff`, `heads` (names), `head` (the one to use) and `gate`, which have the names
        and meanings of the original.

    Returns:
      The settings. Whether the arrays fit them is checked on conversion.

    Raises:
      WeightsError: if the file is of another architecture or variant, or does not tell a setting
        that the configuration does not state either.
    """
    modules, config = modules or {}, config or {}
    if unknown := sorted(config.keys() - set(_CONFIG)):
        raise WeightsError(
            f"the configuration states {', '.join(unknown)}; known are {', '.join(_CONFIG)}"
        )
    _require_known_variant(arrays, modules, config)
    blocks = _count(arrays, r"products\.(\d+)\.linear\.weight")
    first = "products.0.symmetric_contractions.contractions.0"
    width = _array(arrays, f"{first}.U_matrix_1").shape[-2]
    weights = _array(arrays, f"{first}.weights_max")
    heads, head = _heads(arrays, modules, config)
    numbers = tuple(_array(arrays, "atomic_numbers").reshape(-1).tolist())
    partial = MaceSettings(
        atomic_numbers=numbers,
        cutoff=float(_array(arrays, "r_max")),
        smoothness=int(_array(arrays, "radial_embedding.cutoff_fn.p")),
        channels=weights.shape[-1],
        max_degree=round(width**0.5) - 1,
        degrees=_degrees(arrays, config, blocks=blocks, channels=weights.shape[-1]),
        correlation=tuple(
            _count(arrays, rf"products\.{t}\..*\.contractions\.0\.U_matrix_(\d+)")
            for t in range(blocks)
        ),
        residual=(True,) * blocks,
        density=tuple(
            f"interactions.{t}.density_fn.layer0.weight" in arrays for t in range(blocks)
        ),
        neighbors=(1.0,) * blocks,
        radial_widths=tuple(_radial_widths(arrays, t) for t in range(blocks)),
        transform=_transform(arrays),
        repulsion="pair_repulsion_fn.a_exp" in arrays,
        shared_product=len(weights) == 1 != len(numbers),
        cutoff_last=not config.get("apply_cutoff", modules.get("", {}).get("apply_cutoff", True)),
        readouts=_last_readout(arrays) + 1,
        readout_width=_readout_width(arrays, channels=weights.shape[-1]),
        heads=heads,
        head=head,
    )
    if partial.max_degree > MAX_DEGREE:
        raise WeightsError(
            f"the file has degrees up to {partial.max_degree}, at most {MAX_DEGREE} are supported"
        )
    residual = tuple(_is_residual(arrays, modules, config, partial, block=t) for t in range(blocks))
    neighbors = tuple(_neighbors(modules, config, partial, block=t) for t in range(blocks))
    return dataclasses.replace(partial, residual=residual, neighbors=neighbors)


def _require_known_variant(
    arrays: Mapping[str, Any], modules: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any]
) -> None:
    """Refuses what changes the function but not the names of the arrays, or has other names."""
    model = modules.get("", {}).get("class", _MODELS[0])
    if model not in _MODELS:
        raise WeightsError(f"the file holds a {model}; supported are {' and '.join(_MODELS)}")
    for name, facts in modules.items():
        kind = facts.get("class")
        if re.fullmatch(r"interactions\.\d+", name) and kind not in _INTERACTIONS:
            raise WeightsError(
                f"{name} of the file is a {kind}; supported are {', '.join(_INTERACTIONS)}"
            )
        gate = facts.get("f")
        if name.endswith("acts.0") and isinstance(gate, Opaque):
            _require_silu(gate.name)
    _require_silu(config.get("gate", "silu"))
    outer = modules.get("", {})
    if outer.get("use_so3") or outer.get("edge_irreps") is not None:
        raise WeightsError("models with use_so3 or edge_irreps are not supported")
    foreign = ("joint_embedding.", "embedding_readout.", "radial_embedding.bessel_fn.n")
    if found := sorted(n for n in arrays if n.startswith(foreign)):
        raise WeightsError(f"the file has {found[0]}, which belongs to an unsupported variant")
    if "radial_embedding.bessel_fn.bessel_weights" not in arrays:
        raise WeightsError(
            "the file has no array 'radial_embedding.bessel_fn.bessel_weights': it is no MACE "
            "with Bessel functions, or its names were changed"
        )


def _require_silu(gate: str) -> None:
    if gate != "silu":
        raise WeightsError(f"the last readout has the activation {gate}; only silu is supported")


def _array(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise WeightsError(f"the file has no array {name!r}: it is no MACE, or of another variant")
    return np.asarray(arrays[name])


def _count(arrays: Mapping[str, Any], pattern: str) -> int:
    """How many different numbers occur where a pattern has its group."""
    return len({m.group(1) for name in arrays if (m := re.fullmatch(pattern, name))})


def _degrees(
    arrays: Mapping[str, np.ndarray], config: Mapping[str, Any], *, blocks: int, channels: int
) -> tuple[tuple[int, ...], ...]:
    if "hidden_irreps" in config:
        hidden = parse_irreps(config["hidden_irreps"], channels=channels)
        return (*(hidden,) * (blocks - 1), hidden[:1])
    found = []
    for t in range(blocks):
        prefix = f"products.{t}.symmetric_contractions.contractions"
        tables = (
            _array(arrays, f"{prefix}.{n}.U_matrix_1")
            for n in range(_count(arrays, rf"{re.escape(prefix)}\.(\d+)\.U_matrix_1"))
        )
        # L = 0 has no axis of its own.
        found.append(tuple((len(u) - 1) // 2 if u.ndim == 3 else 0 for u in tables))
    return tuple(found)


def _correlation(arrays: Mapping[str, Any], *, block: int) -> int:
    return _count(arrays, rf"products\.{block}\..*\.contractions\.0\.U_matrix_(\d+)")


def _radial_widths(arrays: Mapping[str, np.ndarray], block: int) -> tuple[int, ...]:
    prefix = f"interactions.{block}.conv_tp_weights.layer"
    count = _count(arrays, rf"{re.escape(prefix)}(\d+)\.weight")
    return tuple(_array(arrays, f"{prefix}{n}.weight").shape[-1] for n in range(max(count - 1, 0)))


def _transform(arrays: Mapping[str, Any]) -> str | None:
    names = [n for n in arrays if n.startswith("radial_embedding.distance_transform.")]
    if not names:
        return None
    return "Soft" if any(n.endswith(".alpha") for n in names) else "Agnesi"


def _last_readout(arrays: Mapping[str, Any]) -> int:
    """Number of the readout with a hidden layer, which stands behind the linear ones."""
    for name in arrays:
        if found := re.fullmatch(r"readouts\.(\d+)\.linear_1\.weight", name):
            return int(found.group(1))
    raise WeightsError("the file has no readout with a hidden layer: it is no MACE")


def _readout_width(arrays: Mapping[str, np.ndarray], *, channels: int) -> int:
    name = f"readouts.{_last_readout(arrays)}.linear_1.weight"
    return _array(arrays, name).size // channels


def _heads(
    arrays: Mapping[str, np.ndarray],
    modules: Mapping[str, Mapping[str, Any]],
    config: Mapping[str, Any],
) -> tuple[tuple[str, ...], int]:
    energies = np.atleast_2d(_array(arrays, "atomic_energies_fn.atomic_energies"))
    stated = config.get("heads", modules.get("", {}).get("heads"))
    heads = tuple(map(str, stated or (f"head_{n}" for n in range(len(energies)))))
    if len(heads) != len(energies):
        raise WeightsError(
            f"{len(heads)} heads are named ({', '.join(heads)}), and atomic_energies_fn."
            f"atomic_energies has shape {energies.shape}: one row a head is wanted"
        )
    chosen = config.get("head", heads[0] if len(heads) == 1 else None)
    if chosen not in heads:
        raise WeightsError(
            f"the file has the heads {', '.join(heads)}; state one of them as 'head' in the "
            f"configuration (got {chosen!r})"
        )
    return heads, heads.index(chosen)


def _is_residual(
    arrays: Mapping[str, np.ndarray],
    modules: Mapping[str, Mapping[str, Any]],
    config: Mapping[str, Any],
    settings: MaceSettings,
    *,
    block: int,
) -> bool:
    kind = modules.get(f"interactions.{block}", {}).get("class")
    stated = config.get("interaction" if block else "interaction_first", kind)
    if stated is not None:
        if stated not in _INTERACTIONS:
            raise WeightsError(
                f"interaction {stated!r} is not supported; supported are {', '.join(_INTERACTIONS)}"
            )
        return _INTERACTIONS[stated][0]
    size = _array(arrays, f"interactions.{block}.skip_tp.weight").size
    matrix = settings.channels**2 * len(settings.atomic_numbers)
    around = len(set(settings.inputs[block]) & set(settings.degrees[block]))
    if around == settings.max_degree + 1:
        raise WeightsError(
            f"the arrays do not tell whether interactions.{block} is residual; state its class as "
            f"'interaction' or 'interaction_first' in the configuration: {', '.join(_INTERACTIONS)}"
        )
    return size == around * matrix


def _neighbors(
    modules: Mapping[str, Mapping[str, Any]],
    config: Mapping[str, Any],
    settings: MaceSettings,
    *,
    block: int,
) -> float:
    if settings.density[block]:
        return 1.0
    value = modules.get(f"interactions.{block}", {}).get("avg_num_neighbors")
    value = config.get("avg_num_neighbors", value)
    if isinstance(value, Sequence) and len(value) == settings.blocks:
        value = value[block]
    if not isinstance(value, int | float) or not value > 0:
        raise WeightsError(
            "the file does not tell the mean number of neighbors that messages are divided by; "
            'state it as {"avg_num_neighbors": …} in the configuration: it is the attribute '
            f"model.interactions[{block}].avg_num_neighbors of the original"
        )
    return float(value)
