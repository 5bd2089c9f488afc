"""The files of a model's folder: read within bounds, hashed, never executed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from jaxalign.models.huggingface.config import MAX_CONFIG_BYTES, ModelConfig
from jaxalign.models.weight_files.checkpoints import CheckpointError, read_checkpoint
from jaxalign.models.weight_files.weights import WeightsError

CONFIG = "config.json"
# In the order in which they are looked for.
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
MAX_INDEX_BYTES = 2**26
_FILE_NAME = re.compile(r"[\w.+-]+", re.ASCII)


class ModelFolder:
    """A local folder in the Hugging Face layout. It remembers what was read from it.

    Args:
      path: of the folder.

    Raises:
      WeightsError: if there is no such folder, or no config.json in it.
    """

    def __init__(self, path: Path):
        self.path = path
        self._hashes: dict[str, str] = {}
        if not path.is_dir():
            raise WeightsError(
                f"{path} is no folder; wanted is one with {CONFIG}, weights and a tokenizer, as "
                "`save_pretrained` of transformers writes it"
            )
        if not self.has(CONFIG):
            raise WeightsError(f"the folder {path} has no {CONFIG}; it is no model of this layout")

    @property
    def hashes(self) -> Mapping[str, str]:
        """Name → SHA-256 of every file that was read."""
        return MappingProxyType(self._hashes)

    @property
    def sha256(self) -> str:
        """One hash for all files that were read: of the lines `name sha256`."""
        lines = "".join(f"{name} {digest}\n" for name, digest in sorted(self._hashes.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return (self.path / name).is_file()

    def read(self, name: str, *, max_bytes: int | None = None) -> bytes:
        """Content of a file.

        Raises:
          WeightsError: if it is absent, cannot be read or has more than `max_bytes`.
        """
        path = self.path / name
        try:
            size = path.stat().st_size
            if max_bytes is not None and size > max_bytes:
                raise WeightsError(f"{path} has {size:,} bytes; the limit is {max_bytes:,}")
            data = path.read_bytes()
        except OSError as error:
            raise WeightsError(f"cannot read {path}: {error.strerror}") from error
        self._hashes[name] = hashlib.sha256(data).hexdigest()
        return data

    def read_config(self) -> ModelConfig:
        """The config.json."""
        data = self.read(CONFIG, max_bytes=MAX_CONFIG_BYTES)
        return ModelConfig.from_json(data, source=str(self.path / CONFIG))

    def read_arrays(self) -> dict[str, np.ndarray]:
        """All tensors of the weights.

        Returns:
          Name → array.

        Raises:
          WeightsError: if there are no weights, or an index names files that are not there.
          CheckpointError: if a file is damaged.
        """
        name = next((name for name in WEIGHTS if self.has(name)), None)
        if name is None:
            raise WeightsError(
                f"the folder {self.path} holds no weights; wanted is {', '.join(WEIGHTS[:-1])} or "
                f"{WEIGHTS[-1]}"
            )
        return self._sharded(name) if name.endswith(".index.json") else self._single(name)

    def _single(self, name: str) -> dict[str, np.ndarray]:
        data = self.read(name)
        wanted = "safetensors" if name.endswith(".safetensors") else None
        try:
            content = read_checkpoint(data, format=wanted)
        except CheckpointError as error:
            raise CheckpointError(f"{self.path / name}: {error}") from error
        arrays = {key: value for key, value in content.items() if isinstance(value, np.ndarray)}
        if not arrays:
            raise WeightsError(f"{self.path / name} holds no tensors by name")
        return arrays

    def _sharded(self, index: str) -> dict[str, np.ndarray]:
        places = self._index(index)
        arrays: dict[str, np.ndarray] = {}
        for shard in sorted(set(places.values())):
            content = self._single(shard)
            wanted = [name for name, place in places.items() if place == shard]
            missing = [name for name in wanted if name not in content]
            if missing:
                raise WeightsError(
                    f"{self.path / shard} lacks {len(missing)} tensors that {index} places there, "
                    f"{missing[0]} among them"
                )
            arrays |= {name: content[name] for name in wanted}
        return arrays

    def _index(self, name: str) -> dict[str, str]:
        """Tensor → name of its file, each a file of this folder."""
        try:
            content = json.loads(self.read(name, max_bytes=MAX_INDEX_BYTES))
            places = content["weight_map"]
            pairs = [(str(key), str(place)) for key, place in places.items()]
        except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
            raise WeightsError(
                f"{self.path / name} is no index of shards ({type(error).__name__}: {error}); "
                "wanted is JSON with a weight_map from tensors to files"
            ) from error
        for shard in sorted({place for _, place in pairs}):
            if not _FILE_NAME.fullmatch(shard):
                raise WeightsError(f"{self.path / name} names {shard!r}, no file of its own folder")
            if not self.has(shard):
                raise WeightsError(
                    f"{self.path / name} names the shard {shard}, which is not in the folder; "
                    "download it or save the model anew"
                )
        return dict(pairs)
