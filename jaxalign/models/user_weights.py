"""Encoders from weights that users bring: one loader for each architecture.

    encoder = jaxalign.load_weights("mace-mp-0-medium.model", architecture="mace")
    jaxalign embed --models=mace:mace-mp-0-medium.model --dataset=crystals --workdir=W

Torch files (state dicts, training checkpoints, whole models), safetensors and npz are read; nothing
in a file is ever executed. What a file does not tell stands in a configuration, `NAME.json` or
`config.json` beside it. Where a whole model cannot be read, these lines make a file that can (they
run the code in the model's file: only for files that you trust):

    model = torch.load("x.model", map_location="cpu", weights_only=False)
    numpy.savez("x.npz", **{name: x.numpy() for name, x in model.state_dict().items()})
    json.dump({"avg_num_neighbors": model.interactions[0].avg_num_neighbors}, open("x.json", "w"))

The last line is for MACE; `mace_file.read_settings` says what else its configuration may hold.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.mace.mace_encoder import load_mace
from jaxalign.models.weight_files.user_file import UserFile, read_user_file

# Architecture → function that makes an encoder of a file. The card of the encoder says what the
# implementation was proven on.
LOADERS: Mapping[str, Callable[[UserFile], Encoder]] = MappingProxyType({"mace": load_mace})


def load_weights(
    path: str | Path,
    *,
    architecture: str,
    config: Mapping[str, Any] | str | Path | None = None,
) -> Encoder:
    """An encoder from a weight file of one's own.

    Args:
      path: torch file (state dict, training checkpoint or whole model), safetensors or npz.
      architecture: a key of `LOADERS`, such as `"mace"`.
      config: settings that the file does not tell, or the path of a JSON file with them; None looks
        for `NAME.json` and then `config.json` beside the file.

    Returns:
      An encoder for `jaxalign.embed`. The id on its card is the file's name without suffix.

    Raises:
      ValueError: if the architecture is not supported; the message lists those that are.
      CheckpointError: if the file is absent, damaged or of no known format.
      WeightsError: if the file does not belong to the architecture, or contradicts the
        configuration.
    """
    return _loader(architecture)(read_user_file(path, config=config))


def _loader(architecture: str) -> Callable[[UserFile], Encoder]:
    if architecture not in LOADERS:
        raise ValueError(
            f"architecture {architecture!r} is not supported; supported are {', '.join(LOADERS)}"
        )
    return LOADERS[architecture]


def is_user_model(model_id: str) -> bool:
    """Whether an id names a weight file: `"architecture:path"`."""
    return ":" in model_id


def user_entry(model_id: str) -> ModelEntry:
    """Registry entry of a weight file.

    Args:
      model_id: `"architecture:path"`, e.g. `"mace:mace-mp-0-medium.model"`.

    Returns:
      An entry without archives. Its id is the file's name without suffix.

    Raises:
      ValueError: if the architecture is not supported.
      JaxalignError: as `load_weights`.
    """
    architecture, _, name = model_id.partition(":")
    _loader(architecture)
    path = Path(name).expanduser()
    places = path, path.with_suffix(".json"), path.parent / "config.json"
    stamps = tuple(_stamp(place) for place in places)
    return _entry(architecture, path, stamps)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Changes when a file does, so that an encoder is not read again for every look at its card."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size


@functools.lru_cache(maxsize=16)
def _entry(architecture: str, path: Path, stamps: tuple[tuple[int, int] | None, ...]) -> ModelEntry:
    encoder = load_weights(path, architecture=architecture)
    return ModelEntry(card=encoder.card, archives=(), build=lambda entry: encoder)
