"""Reads torch files that hold a whole pickled model: its arrays and settings, none of its code.

`torch.save(model)` pickles the object itself, a tree of instances whose attributes are dicts. The
classes are neither imported nor looked at; every instance becomes a plain `Instance` dict.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxalign.models.weight_files.plain_values import (
    MAX_NAME,
    CheckpointError,
    Instance,
    Opaque,
)
from jaxalign.models.weight_files.torch_files import read_torch_zip
from jaxalign.models.weight_files.torch_tensors import constructors

_ARRAYS, _CHILDREN = ("_parameters", "_buffers"), "_modules"
_MAX_PLACES = 50_000
_STATES = ("ema_state_dict", "model_state_dict")
_PLAIN = (str, int, float, bool, type(None), list, tuple, Opaque)


def read_torch_module(data: bytes) -> dict[str, dict[str, Any]]:
    """Reads a file in torch's zip layout whose object is an instance of `torch.nn.Module`.

    Instead of a model it may be a record of one: an instance of any class with a state dict among
    its attributes, as some packages publish. Running means of the weights go before the weights.

    Args:
      data: the whole file.

    Returns:
      `"state_dict"`: dotted name → array, of all parameters and buffers. `"settings"`: plain
      attributes of the outermost module (numbers, text, lists, names of functions). `"modules"`:
      dotted name of every module (`""` for the outermost) → its plain attributes, the name of its
      class as `"class"` among them.

    Raises:
      CheckpointError: if the file is inconsistent or holds no model.
      Exception: damaged bytes make the standard library raise errors of many types.
    """
    model = read_torch_zip(data, make_table=_Table.of)
    for name in _STATES if isinstance(model, Instance) else ():
        if isinstance(model.get(name), dict):
            return _record(model, name)
    if not isinstance(model, Instance) or _CHILDREN not in model:
        raise CheckpointError(f"it holds a {type(model).__name__}, a whole model was expected")
    arrays: dict[str, np.ndarray] = {}
    modules: dict[str, dict[str, Any]] = {}
    _collect(model, "", arrays, modules)
    settings = {name: value for name, value in modules[""].items() if name != "class"}
    return {"state_dict": arrays, "settings": settings, "modules": modules}


def _record(model: Instance, chosen: str) -> dict[str, dict[str, Any]]:
    """A record of a model as `read_torch_module` returns it; its attributes keep their nesting."""
    arrays = {name: a for name, a in _named(model, chosen) if isinstance(a, np.ndarray)}
    settings = {name: value for name, value in model.items() if name not in _STATES}
    modules = {"": {**settings, "class": model.kind}}
    return {"state_dict": arrays, "settings": settings, "modules": modules}


class _Table(dict):
    """Calls of known names as always; a call of any other name makes an empty instance."""

    @classmethod
    def of(cls, *, file_bytes: int) -> _Table:
        return cls(constructors(file_bytes=file_bytes))

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(key, lambda *_: _instance(key))


def _instance(key: tuple[str, str]) -> Instance:
    instance = Instance()
    instance.kind = key[1]
    return instance


def _collect(
    module: Instance,
    prefix: str,
    arrays: dict[str, np.ndarray],
    modules: dict[str, dict[str, Any]],
) -> None:
    # Modules may be shared: short names can unfold into endless dotted ones.
    if len(prefix) > MAX_NAME or len(modules) + len(arrays) > _MAX_PLACES:
        raise CheckpointError(
            f"it has more than {_MAX_PLACES:,} modules and arrays, or names of more than "
            f"{MAX_NAME} characters"
        )
    plain = {name: value for name, value in module.items() if isinstance(value, _PLAIN)}
    modules[prefix.removesuffix(".")] = {**plain, "class": module.kind}
    # No cycles and few paths: the reader has checked the nesting of everything it returns.
    for kind in _ARRAYS:
        for name, value in _named(module, kind):
            if isinstance(value, np.ndarray):
                arrays[f"{prefix}{name}"] = value
    for name, child in _named(module, _CHILDREN):
        if isinstance(child, Instance):
            _collect(child, f"{prefix}{name}.", arrays, modules)


def _named(module: Instance, kind: str) -> list[tuple[str, Any]]:
    values = module.get(kind, {})
    if type(values) is not dict or not all(type(name) is str for name in values):
        raise CheckpointError(f"the {kind} of one of its modules are no dict with text as keys")
    return list(values.items())
