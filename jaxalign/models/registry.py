"""All encoders by id. Cards come without opening an archive; weights only when one is loaded."""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jaxalign.archives.fetch import fetch, is_fetched
from jaxalign.models.encoder import Encoder, HostEncoder
from jaxalign.models.entry import ModelEntry
from jaxalign.models.user_weights import is_user_model, user_entry

# Every module here defines `ENTRIES: tuple[ModelEntry, ...]`; order of modules = order of listings.
_MODULES = (
    "language.catalog_rxn",
    "dmpnn.catalog_admet",
    "minimol.catalog_minimol",
    "chython.catalog_chython",
    "ani.catalog_ani",
    "ani.catalog_ani2xt",
    "so3lr.catalog_so3lr",
    "chgnet.catalog_chgnet",
    "mace.catalog_mace",
    "esen.catalog_esen",
    "orb.catalog_orb",
    "sevennet.catalog_sevennet",
    "unirep.catalog_unirep",
    "near.catalog_near",
    "language.catalog_antiberty",
    "proteinmpnn.catalog_proteinmpnn",
    "proteinmpnn.catalog_ligandmpnn",
    "sceptr.catalog_sceptr",
    "language.catalog_minilm",
    "descriptors.controls",
    "descriptors.descriptors",
    "descriptors.descriptors_aev",
    "descriptors.strings",
    "descriptors.backbone",
)


# Weight files of the user, by id.
_own_entries: dict[str, ModelEntry] = {}


@functools.cache
def _entries() -> Mapping[str, ModelEntry]:
    entries: dict[str, ModelEntry] = {}
    for name in _MODULES:
        for entry in importlib.import_module(f"jaxalign.models.{name}").ENTRIES:
            if entry.card.id in entries:
                raise ValueError(
                    f"two registered models are called {entry.card.id!r}; the second is in "
                    f"jaxalign.models.{name}: rename one of them"
                )
            entries[entry.card.id] = entry
    return MappingProxyType(entries)


def list_models() -> tuple[ModelEntry, ...]:
    """All registered models in a stable order, without downloading anything.

    Returns:
      One entry a model.
    """
    return tuple(_entries().values())


def model_entry(model_id: str) -> ModelEntry:
    """The registry's entry of one model.

    Args:
      model_id: registry id, e.g. `"rxnfp-bert-pretrained"`, or `"architecture:path"` for a weight
        file of one's own (see `user_weights`), whose id it is known under from then on.

    Returns:
      Card, archives and builder.

    Raises:
      ValueError: if no model has this id; the message names similar ids.
      JaxalignError: if a weight file of one's own cannot be used.
    """
    if is_user_model(model_id):
        return _adopt(user_entry(model_id))
    entries = {**_entries(), **_own_entries}
    if model_id in entries:
        return entries[model_id]
    close = difflib.get_close_matches(model_id, entries, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(map(repr, close))}? " if close else ""
    raise ValueError(f"unknown model {model_id!r}; {hint}`jaxalign models list` shows all ids")


def _adopt(entry: ModelEntry) -> ModelEntry:
    """Makes a weight file of the user known under its id."""
    other = {**_entries(), **_own_entries}.get(entry.card.id)
    if other is not None and other.card != entry.card:
        raise ValueError(
            f"the weight file {entry.card.name} would be called {entry.card.id!r}, like another "
            "model: rename the file"
        )
    _own_entries[entry.card.id] = entry
    return entry


def load_model(model_id: str) -> Encoder | HostEncoder:
    """Builds an encoder with its weights, fetching its archives first if need be.

    Args:
      model_id: registry id.

    Returns:
      A network that runs under `jit`, or a descriptor that runs on the host.

    Raises:
      ValueError: if no model has this id.
      JaxalignError: if an archive cannot be fetched or is not the one that is expected.
    """
    entry = model_entry(model_id)
    fetch_model(model_id)
    return entry.build(entry)


def fetch_model(model_id: str) -> tuple[Path, ...]:
    """Downloads the archives of a model into the cache unless they are there.

    Args:
      model_id: registry id.

    Returns:
      Paths of the archives in the cache; empty for models without weights.

    Raises:
      ValueError: if no model has this id.
      JaxalignError: if an archive cannot be fetched or is not the one that is expected.
    """
    return tuple(fetch(archive) for archive in model_entry(model_id).archives)


def model_fetched(entry: ModelEntry) -> bool:
    """Whether all archives of a model are in the cache; true for models that need none."""
    return all(is_fetched(archive) for archive in entry.archives)


def describe_model(entry: ModelEntry) -> dict[str, Any]:
    """The row of a model in listings.

    Args:
      entry: a registry entry.

    Returns:
      `id`, `family`, `modality`, `pretrained`, `width`, `licence`, `verified`, `fetched`.
    """
    card = entry.card
    names = ("id", "family", "modality", "pretrained", "width", "licence", "verified")
    return {name: getattr(card, name) for name in names} | {"fetched": model_fetched(entry)}
