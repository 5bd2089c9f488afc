"""Encoders from weights that users bring: one loader for each architecture.

    encoder = jaxalign.load_weights("mace-mp-0-medium.model", architecture="mace")
    jaxalign embed --models=mace:mace-mp-0-medium.model --dataset=crystals --workdir=W
    jaxalign embed --models='hf:FOLDER,hf:org/name?input=selfies' --dataset=qm9 --workdir=W

"huggingface", in ids "hf", takes a folder in the Hugging Face layout or a name of its hub; see
`huggingface.encoder`. The other architectures take one file:

Torch files (state dicts, training checkpoints, whole models), safetensors and npz are read; nothing
in a file is ever executed. What a file does not tell stands in a configuration, `NAME.json` or
`config.json` beside it. Where a whole model cannot be read, these lines make a file that can (they
run the code in the model's file: only for files that you trust):

    model = torch.load("x.model", map_location="cpu", weights_only=False)
    numpy.savez("x.npz", **{name: x.numpy() for name, x in model.state_dict().items()})
    json.dump({"avg_num_neighbors": model.interactions[0].avg_num_neighbors}, open("x.json", "w"))

The last line is for MACE; `mace_file.read_settings` says what else its configuration may hold, and
`orb_settings.read_settings` what that of an Orb may.
"""

from __future__ import annotations

import functools
import importlib
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxalign.models.encoder import Encoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.weight_files.user_file import read_user_file

# Architecture → module and function that makes an encoder of a `UserFile`; imported when it is
# needed, so that no command waits for networks it does not run. The card of the encoder says what
# the implementation was proven on.
LOADERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "mace": ("mace.mace_encoder", "load_mace"),
        "orb": ("orb.orb_encoder", "load_orb"),
        "esen": ("esen.esen_encoder", "load_esen"),
        "uma": ("esen.esen_encoder", "load_uma"),
    }
)
# The same for folders: of path and settings.
FOLDER_LOADERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"huggingface": ("huggingface.encoder", "load_huggingface")}
)
_SHORT_NAMES = MappingProxyType({"hf": "huggingface"})


def load_weights(
    path: str | Path,
    *,
    architecture: str,
    config: Mapping[str, Any] | str | Path | None = None,
) -> Encoder:
    """An encoder from weights of one's own.

    Args:
      path: torch file (state dict, training checkpoint or whole model), safetensors or npz; for
        `"huggingface"` a folder, or `org/name` of the hub.
      architecture: a key of `LOADERS` or `FOLDER_LOADERS`, such as `"mace"`.
      config: settings that the file does not tell, or the path of a JSON file with them; None looks
        for `NAME.json` and then `config.json` beside the file. Those of `"huggingface"` say how
        structures are read; see `huggingface.reading`.

    Returns:
      An encoder for `jaxalign.embed`. The id on its card is the file's name without suffix.

    Raises:
      ValueError: if the architecture is not supported; the message lists those that are.
      CheckpointError: if a weight file is absent, damaged or of no known format.
      WeightsError: if the file does not belong to the architecture, or contradicts the
        configuration.
      JaxalignError: if a model of the hub cannot be fetched, or a package is missing.
    """
    architecture = _known(architecture)
    if architecture in FOLDER_LOADERS:
        return _imported(*FOLDER_LOADERS[architecture])(path, config)
    return _imported(*LOADERS[architecture])(read_user_file(path, config=config))


def _imported(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"jaxalign.models.{module}"), name)


def _known(architecture: str) -> str:
    name = _SHORT_NAMES.get(architecture, architecture)
    if name not in LOADERS and name not in FOLDER_LOADERS:
        raise ValueError(
            f"architecture {architecture!r} is not supported; supported are "
            f"{', '.join((*LOADERS, *FOLDER_LOADERS))}"
        )
    return name


def is_user_model(model_id: str) -> bool:
    """Whether an id names weights of one's own: `"architecture:path"`."""
    return ":" in model_id


def user_entry(model_id: str) -> ModelEntry:
    """Registry entry of weights of one's own.

    Args:
      model_id: `"architecture:path"`, e.g. `"mace:mace-mp-0-medium.model"`, or `"hf:folder"` or
        `"hf:org/name"`, which may be followed by settings: `"hf:folder?input=selfies"`.

    Returns:
      An entry without archives. Its id is the file's name without suffix.

    Raises:
      ValueError: if the architecture is not supported.
      JaxalignError: as `load_weights`.
    """
    given, _, name = model_id.partition(":")
    architecture = _known(given)
    if architecture in FOLDER_LOADERS:
        name, _, query = name.partition("?")
        settings = tuple(urllib.parse.parse_qsl(query, keep_blank_values=True))
        folder = Path(name).expanduser()
        files = _imported("huggingface.encoder", "READ_FILES")
        stamps = tuple(_stamp(folder / file) for file in files)
        return _entry(architecture, name, settings, stamps)
    path = Path(name).expanduser()
    places = path, path.with_suffix(".json"), path.parent / "config.json"
    return _entry(architecture, str(path), None, tuple(_stamp(place) for place in places))


def _stamp(path: Path) -> tuple[int, int] | None:
    """Changes when a file does, so that an encoder is not read again for every look at its card."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size


@functools.lru_cache(maxsize=16)
def _entry(
    architecture: str,
    path: str,
    settings: tuple[tuple[str, str], ...] | None,
    stamps: tuple[tuple[int, int] | None, ...],
) -> ModelEntry:
    config = None if settings is None else dict(settings)
    encoder = load_weights(path, architecture=architecture, config=config)
    return ModelEntry(card=encoder.card, archives=(), build=lambda entry: encoder)
