"""A weight file that a user brings: its arrays, what it says of itself, what the user states."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxalign.models.weight_files.checkpoints import CheckpointError, read_checkpoint
from jaxalign.models.weight_files.weights import WeightsError

# Where training frameworks keep the arrays inside a checkpoint.
_NESTED = ("ema_state_dict", "state_dict", "model_state_dict", "model")


@dataclasses.dataclass(frozen=True, eq=False)
class UserFile:
    """One weight file, read.

    Attributes:
      path: where it is.
      sha256: of its bytes.
      arrays: name → array.
      modules: of a file that holds a whole model: dotted name of each module → its attributes.
      config: what the user states about it.
    """

    path: Path
    sha256: str
    arrays: Mapping[str, np.ndarray]
    modules: Mapping[str, Mapping[str, Any]]
    config: Mapping[str, Any]

    def card_facts(self) -> dict[str, Any]:
        """The facts of a model card that follow from the file alone."""
        stated = json.dumps(dict(self.config), sort_keys=True) if self.config else ""
        return {
            "id": re.sub(r"[^\w.+-]+", "-", self.path.stem).strip("-.") or "weights",
            "name": self.path.name,
            "pretrained": True,
            "training_data": "not stated: weights of the user",
            "label_level": "not stated",
            "licence": "user's own",
            "package": f"{self.path.name} {stated}".strip(),
            "package_sha256": self.sha256,
        }


def read_user_file(
    path: str | Path, *, config: Mapping[str, Any] | str | Path | None = None
) -> UserFile:
    """Reads a weight file and the configuration beside it.

    Args:
      path: torch file (a state dict, a training checkpoint or a whole model), safetensors, npz or
        ONNX (by its suffix).
      config: what the file does not tell, or the path of a JSON file with it; None looks for
        `NAME.json` and then `config.json` in the folder of the weights.

    Returns:
      The file's content.

    Raises:
      CheckpointError: if the file is absent, damaged or of no known format.
      WeightsError: if it holds no arrays, or the configuration cannot be read.
    """
    path = Path(path).expanduser()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the weight file {path}: {error.strerror}") from error
    arrays, modules = _read(data, path)
    return UserFile(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        arrays=arrays,
        modules=modules,
        config=_read_config(path, config),
    )


def _read(data: bytes, path: Path) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    try:
        content = read_checkpoint(data, format="onnx" if path.suffix.lower() == ".onnx" else None)
    except CheckpointError as error:
        # A whole model is an object where others have a dict of arrays.
        if not data.startswith(b"PK"):
            raise CheckpointError(f"{path}: {error}") from error
        try:
            whole = read_checkpoint(data, format="torch-module")
        except CheckpointError as second:
            raise CheckpointError(f"{path}: {error}; as a whole model: {second}") from second
        return whole["state_dict"], whole["modules"]
    for name in _NESTED:
        if isinstance(content.get(name), dict):
            content = content[name]
    arrays = {name: a for name, a in content.items() if isinstance(a, np.ndarray)}
    if not arrays:
        raise WeightsError(f"{path} holds no arrays by name; save the state dict of the model")
    return arrays, {}


def _read_config(path: Path, config: Mapping[str, Any] | str | Path | None) -> dict[str, Any]:
    if isinstance(config, Mapping):
        return dict(config)
    if config is None:
        places = [path.with_suffix(".json"), path.parent / "config.json"]
        config = next((place for place in places if place.is_file()), None)
        if config is None:
            return {}
    try:
        content = json.loads(Path(config).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"cannot read the configuration {config}: {error}") from error
    if not isinstance(content, dict):
        raise WeightsError(
            f"the configuration {config} holds a {type(content).__name__}, no object"
        )
    return content
