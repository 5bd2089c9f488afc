"""What a run notes to be repeated by: where its embeddings are, and how its structures were read.

Both go into the diagnostics of the alignment, so that a later model can be compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import logging

from jaxalign import api
from jaxalign.alignment.recorded import SOURCES, source_paths
from jaxalign.alignment.results import Alignment
from jaxalign.embeddings.location import Location
from jaxalign.launch import reading
from jaxalign.structures.datasets import list_datasets
from jaxalign.types import JaxalignError

RECIPE = "recipe"
_READ = ("name", "path", "n", "seed", "elements", "perturb")


class StructuresError(JaxalignError):
    """The structures of a run cannot be had again."""


def source_facts(paths: Mapping[str, str | Path], workdir: Path) -> dict[str, Any]:
    """Where the embeddings of every model are, for the diagnostics of a result."""
    return {SOURCES: source_paths(paths, workdir)}


def recipe_facts(settings: Mapping[str, Any]) -> dict[str, Any]:
    """How structures were read, for the diagnostics of a result.

    Args:
      settings: what `reading.read_dataset` was given.
    """
    recipe = {name: _plain(settings.get(name)) for name in _READ}
    if recipe["path"] and not Location(recipe["path"]).remote:
        recipe["path"] = str(Path(recipe["path"]).resolve())
    return {RECIPE: {name: value for name, value in recipe.items() if value is not None}}


def structures_of(result: Alignment) -> api.StructureSet:
    """The structures that a run compared.

    They are read as the run read them; of a run that has not noted how, they are looked up by their
    ids in the named data set.

    Args:
      result: a loaded result.

    Returns:
      Structures; some more than were compared, if models could not represent all.

    Raises:
      StructuresError: the run has not noted how to read them, or they have changed since.
    """
    facts = result.diagnostics
    recipe = facts.get(RECIPE)
    structures = reading.read_dataset(recipe, on_error="skip") if recipe else _looked_up(result)
    dataset = facts.get("dataset")
    expected = dataset.get("content_hash") if isinstance(dataset, Mapping) else None
    if expected and structures.content_hash != expected:
        raise StructuresError(
            f"the structures of {structures.name} are not those of the run: their contents differ; "
            "embed them with `jaxalign embed` where they are as they were, and compare the store"
        )
    return structures


def _looked_up(result: Alignment) -> api.StructureSet:
    dataset, ids = result.diagnostics.get("dataset"), result.diagnostics["ids"]
    name = dataset.get("name") if isinstance(dataset, Mapping) else dataset
    if name not in {card.name for card in list_datasets()}:
        raise StructuresError(
            "the run does not say how its structures were read, so that an encoder cannot embed "
            "them: embed them yourself with `jaxalign embed --structures=FILE`, and give the store "
            "or a file with the same ids"
        )
    logging.info("looking for the %d structures of the run in %s", len(ids), name)
    known = {structure.id: structure for structure in api.load_dataset(name)}
    missing = [identifier for identifier in ids if identifier not in known]
    if missing:
        raise StructuresError(
            f"{name} has no structure {missing[0]!r}, nor {len(missing) - 1} others of the run: "
            "they were perturbed or renamed; embed them yourself, and give the store"
        )
    return api.StructureSet([known[identifier] for identifier in ids], name=name)


def _plain(value: Any) -> Any:
    """Values of JSON; empty ones are not noted."""
    if isinstance(value, Mapping):
        found = {key: _plain(value[key]) for key in value}
        return found if found.get("kind") else None
    if isinstance(value, list | tuple):
        return list(value) or None
    return value if value or value == 0 else None
