"""Which stored tensor becomes which parameter, and of which shape it must be.

A layout is written once for an architecture and serves three ends: it tells by names and shapes
where a config.json contradicts the weights, it finds tensors without a place, and it converts.
Shapes come from the configuration, arrays from the file: nothing is allocated by what a
configuration says.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxalign.models.weight_files.weights import WeightsError

_SHOWN = 6


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One stored tensor, or one of each layer.

    Attributes:
      name: in the file; `{}` stands for the number of the layer.
      shape: as stored.
      transposed: whether the parameter is its transpose.
    """

    name: str
    shape: tuple[int, ...]
    transposed: bool = False


# Path of a parameter, such as "layers/query/kernel" → where it comes from.
Layout = Mapping[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Naming:
    """How the tensors of an architecture are named.

    Attributes:
      anchor: a tensor that every file has; what precedes it is a prefix of all names.
      layers: what precedes the number of a layer; None where all layers share their parameters.
      roots: beginnings of all names that belong to the network and not to a head.
      ignored: parts of such names that hidden states do not need.
      aliases: other names of tensors → the name in the layout.
    """

    anchor: str
    layers: str | None
    roots: tuple[str, ...]
    ignored: tuple[str, ...] = ()
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict)


def dense(path: str, name: str, inputs: int, outputs: int, *, bias: bool = True) -> Layout:
    """A linear map: stored `[out, in]`, Flax wants the kernel as `[in, out]`."""
    kernel = {f"{path}/kernel": Tensor(f"{name}.weight", (outputs, inputs), transposed=True)}
    return kernel | ({f"{path}/bias": Tensor(f"{name}.bias", (outputs,))} if bias else {})


def norm(path: str, name: str, width: int, *, bias: bool = True) -> Layout:
    """Scale and bias of a normalization."""
    scale = {f"{path}/scale": Tensor(f"{name}.weight", (width,))}
    return scale | ({f"{path}/bias": Tensor(f"{name}.bias", (width,))} if bias else {})


def table(path: str, name: str, rows: int, width: int) -> Layout:
    """An embedding table."""
    return {f"{path}/embedding": Tensor(f"{name}.weight", (rows, width))}


def own_names(arrays: Mapping[str, np.ndarray], naming: Naming) -> dict[str, np.ndarray]:
    """The network's tensors under their plain names, without prefix and without heads.

    Args:
      arrays: name → array, as stored.
      naming: of the architecture.

    Returns:
      Name → array.

    Raises:
      WeightsError: if the file holds no such network.
    """
    anchors = [
        name for name in arrays if name == naming.anchor or name.endswith(f".{naming.anchor}")
    ]
    if not anchors:
        shown = ", ".join(sorted(arrays)[:_SHOWN])
        raise WeightsError(
            f"the weights have no tensor {naming.anchor!r}; they belong to another architecture "
            f"than config.json says (they hold {shown}, …)"
        )
    prefix = min(anchors, key=len).removesuffix(naming.anchor)
    own = {}
    for name, array in arrays.items():
        plain = name.removeprefix(prefix) if name.startswith(prefix) else ""
        # The names of scale and bias in files from before 2019.
        plain = re.sub(r"LayerNorm\.(gamma|beta)$", _new_name, plain)
        plain = naming.aliases.get(plain, plain)
        needed = not any(part in plain for part in naming.ignored)
        if plain.startswith(naming.roots) and needed:
            own[plain] = array
    return own


def _new_name(match: re.Match[str]) -> str:
    return "LayerNorm.weight" if match[1] == "gamma" else "LayerNorm.bias"


def check_depth(arrays: Mapping[str, np.ndarray], naming: Naming, depth: int, *, key: str) -> None:
    """Makes sure that there are as many layers as the configuration says.

    Args:
      arrays: of `own_names`.
      naming: of the architecture.
      depth: what the configuration says.
      key: under which name.

    Raises:
      WeightsError: if there are more or fewer.
    """
    if naming.layers is None:
        return
    pattern = re.compile(re.escape(naming.layers) + r"(\d{1,9})\.")
    numbers = {int(match[1]) for name in arrays if (match := pattern.match(name))}
    if len(numbers) != depth or (numbers and max(numbers) != depth - 1):
        last = f", the last is {naming.layers}{max(numbers)}" if numbers else ""
        raise WeightsError(
            f"config.json contradicts the weights: it says {key} = {depth}, and the weights hold "
            f"{len(numbers)} layers{last}"
        )


def convert(arrays: Mapping[str, np.ndarray], layout: Layout, depth: int) -> dict[str, Any]:
    """Stored tensors to Flax parameters in float32; every tensor must be accounted for.

    Args:
      arrays: of `own_names`.
      layout: of the architecture, sizes filled in.
      depth: number of layers, of `check_depth`.

    Returns:
      Nested parameters; those of layers are stacked.

    Raises:
      WeightsError: if a tensor is missing, left over, of another shape or no float.
    """
    _check(arrays, layout, depth)
    params: dict[str, Any] = {}
    for path, tensor in layout.items():
        parts = [_parameter(arrays[name], tensor) for name in _names(tensor, depth)]
        *folders, last = path.split("/")
        place = params
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = np.stack(parts) if "{}" in tensor.name else parts[0]
    return params


def _parameter(array: np.ndarray, tensor: Tensor) -> np.ndarray:
    array = np.asarray(array, np.float32)
    return array.T if tensor.transposed else array


def _names(tensor: Tensor, depth: int) -> Sequence[str]:
    if "{}" not in tensor.name:
        return (tensor.name,)
    return [tensor.name.format(number) for number in range(depth)]


def _check(arrays: Mapping[str, np.ndarray], layout: Layout, depth: int) -> None:
    wanted = {name: t.shape for t in layout.values() for name in _names(t, depth)}
    faults = [f"tensor {name} {wanted[name]} is missing" for name in wanted if name not in arrays]
    for name in wanted.keys() & arrays.keys():
        if arrays[name].shape != wanted[name]:
            came = f"has shape {arrays[name].shape}, by config.json {wanted[name]} is wanted"
            faults.append(f"tensor {name} {came}")
        elif arrays[name].dtype.kind != "f":
            faults.append(f"tensor {name} holds {arrays[name].dtype}, no floats (quantized?)")
    left = arrays.keys() - wanted.keys()
    faults += [f"tensor {name} {arrays[name].shape} has no place in it" for name in sorted(left)]
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise WeightsError(
            f"config.json contradicts the weights: {'; '.join(sorted(faults)[:_SHOWN])}{more}"
        )
