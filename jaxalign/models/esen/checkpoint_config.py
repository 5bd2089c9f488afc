"""What a checkpoint of the original says of itself: arrays by part, configuration, tasks.

Published checkpoints are instances of a data class with four attributes: `model_config` (arguments
of backbone and heads), `model_state_dict`, `ema_state_dict` (running means of the weights, which
the original infers with) and `tasks_config` (normalizers and element references).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxalign.models.weight_files.weights import WeightsError

_ENERGY = "energy_block."
_HEADS = "output_heads."


@dataclasses.dataclass(frozen=True, eq=False)
class FileConfig:
    """Configuration inside a checkpoint; empty where there is none.

    Attributes:
      backbone: arguments of the original's backbone.
      heads: name → arguments of each head.
      tasks: name, property, data sets, normalizer and element references of each task.
    """

    backbone: Mapping[str, Any]
    heads: Mapping[str, Mapping[str, Any]]
    tasks: Sequence[Mapping[str, Any]]


def file_config(modules: Mapping[str, Mapping[str, Any]]) -> FileConfig:
    """Configuration of a file that is an inference checkpoint.

    Args:
      modules: of a `UserFile`: attributes of the outermost object under the name `""`.

    Returns:
      The configuration; empty for files that hold none.
    """
    whole = modules.get("", {})
    model, tasks = whole.get("model_config"), whole.get("tasks_config")
    model = model if isinstance(model, dict) else {}
    backbone = {**_dict(model.get("backbone")), "model_id": model.get("model_id")}
    heads = {name: _dict(value) for name, value in _dict(model.get("heads")).items()}
    return FileConfig(
        backbone={name: value for name, value in backbone.items() if value is not None},
        heads=heads,
        tasks=[task for task in tasks if isinstance(task, dict)] if tasks else (),
    )


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def split_arrays(
    arrays: Mapping[str, np.ndarray], *, head: str | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], str | None]:
    """Arrays of the backbone and of the head that gives energies.

    Args:
      arrays: name → array, with the names of the original; prefixes of wrappers do not matter.
      head: name of the head to use; None if there is but one that gives energies.

    Returns:
      Both, without the name of the part, and the name of the head.

    Raises:
      WeightsError: if several heads give energies and none is named, or the named one is absent.
    """
    bare = {_without_wrappers(name): array for name, array in arrays.items()}
    bare.pop("n_averaged", None)
    if not any(name.startswith("backbone.") for name in bare):
        return bare, {}, None
    backbone = {
        name.removeprefix("backbone."): a
        for name, a in bare.items()
        if name.startswith("backbone.")
    }
    heads: dict[str, dict[str, np.ndarray]] = {}
    for name, array in bare.items():
        if name.startswith(_HEADS) and _ENERGY in name:
            outer, _, inner = name.removeprefix(_HEADS).partition(".")
            heads.setdefault(outer, {})[_ENERGY + inner.partition(_ENERGY)[2]] = array
    if not heads and head is None:
        return backbone, {}, None
    chosen = head if head is not None else next(iter(heads)) if len(heads) == 1 else None
    if chosen not in heads:
        raise WeightsError(
            f"the heads {', '.join(sorted(heads)) or '(none)'} of the file give energies; state "
            f"one of them as 'head' in the configuration (got {head!r})"
        )
    return backbone, heads[chosen], chosen


def _without_wrappers(name: str) -> str:
    while name.startswith("module."):
        name = name.removeprefix("module.")
    return name


def head_row(config: Mapping[str, Any], datasets: Sequence[str], dataset: str | None) -> int:
    """Which of a head's maps belongs to a data set, if it has one for each.

    Args:
      config: arguments of the head.
      datasets: those that the backbone knows, sorted.
      dataset: the one that is asked for.

    Returns:
      Its number.

    Raises:
      WeightsError: if the head does not know the data set.
    """
    names = config.get("dataset_names") or datasets
    mapping = config.get("dataset_mapping") or {name: name for name in names}
    if dataset is None or not mapping:
        return 0
    if dataset not in mapping:
        raise WeightsError(f"the head knows {', '.join(sorted(mapping))}, and not {dataset!r}")
    return sorted(set(mapping.values())).index(mapping[dataset])


@dataclasses.dataclass(frozen=True)
class EnergyScale:
    """How the network's number becomes an energy: × rmsd + mean + Σ references.

    Attributes:
      mean: eV a structure.
      rmsd: eV.
      references: eV, row Z for element Z; empty for none.
    """

    mean: float = 0.0
    rmsd: float = 1.0
    references: tuple[float, ...] = ()


def energy_scale(
    file: FileConfig, config: Mapping[str, Any], *, dataset: str | None
) -> EnergyScale:
    """Normalizer and element references of the energies of a data set.

    Args:
      file: of `file_config`.
      config: of `merged_config`; goes before the file's tasks.
      dataset: the one that is asked for.

    Returns:
      The scale; the trivial one where nothing is stated.

    Raises:
      WeightsError: if what is stated are no numbers.
    """
    own = [
        task
        for task in file.tasks
        if task.get("property") == "energy"
        and (dataset is None or dataset in (task.get("datasets") or [dataset]))
    ]
    task = own[0] if own else {}
    normalizer = config.get("normalizer", task.get("normalizer")) or {}
    references = config.get("element_references", task.get("element_references"))
    return EnergyScale(
        mean=_number(normalizer.get("mean", 0.0), "normalizer mean"),
        rmsd=_number(normalizer.get("rmsd", 1.0), "normalizer rmsd"),
        references=_numbers(references),
    )


def _number(value: Any, name: str) -> float:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WeightsError(f"the {name} is no number: {value!r}")
    return float(value)


def _numbers(value: Any) -> tuple[float, ...]:
    """A list, or the call that makes one in the original's configuration."""
    for name in ("element_references", "_args_"):
        while isinstance(value, dict) and name in value:
            value = value[name]
            value = value[0] if name == "_args_" and len(value) == 1 else value
    if value is None:
        return ()
    if isinstance(value, np.ndarray):
        value = value.reshape(-1).tolist()
    if not isinstance(value, list | tuple):
        raise WeightsError(
            "the element references of the file are no list of numbers; state them as "
            "'element_references' in the configuration, energies in eV, row Z for element Z"
        )
    return tuple(_number(item, "element reference") for item in value)
