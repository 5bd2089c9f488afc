"""The structures of a run: a named data set or a file, a subset of it, perturbed copies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from absl import logging
from ml_collections import ConfigDict

from jaxalign import api
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.multihost import require_agreement

Settings = ConfigDict | Mapping[str, Any]


def read_dataset(settings: Settings, *, on_error: str) -> api.StructureSet:
    """Structures of a named data set, or of a file; all processes of a run must read the same.

    Args:
      settings: `path` (file) or `name` (data set; a path goes first); `n` and `seed` draw a random
        subset; `elements` filters named data sets before the draw; `perturb` (`kind`, `amplitudes`,
        `copies`, `seed`) makes perturbed copies of what was drawn, if it names a kind.
      on_error: `"raise"` or `"skip"` records that cannot be parsed.

    Raises:
      ValueError: neither name nor path, more structures asked for than there are, or a perturbation
        that cannot be made.
      DisagreementError: processes read other structures than each other.
    """
    with stop_together():
        structures = _perturbed(_read(settings, on_error=on_error), settings.get("perturb"))
    require_agreement(
        **{"number of structures": str(len(structures)), "structures": structures.content_hash[:16]}
    )
    return structures


def _read(settings: Settings, *, on_error: str) -> api.StructureSet:
    name, path = settings.get("name"), settings.get("path")
    if path:
        if settings.get("elements"):
            logging.warning("elements filters named data sets only; %s is used as it is", path)
        structures = api.read_structures(path, on_error=on_error)
        n = settings.get("n")
        return structures.subset(n, seed=settings.get("seed", 0)) if n else structures
    if not name:
        raise ValueError("say what to embed: the name of a data set, or the path of a file")
    return api.load_dataset(
        name,
        n=settings.get("n") or None,
        seed=settings.get("seed", 0),
        elements=settings.get("elements") or None,
    )


def _perturbed(structures: api.StructureSet, settings: Settings | None) -> api.StructureSet:
    given = dict(settings or {})
    if unknown := sorted(set(given) - {"kind", "amplitudes", "copies", "seed"}):
        raise ValueError(
            f"dataset.perturb takes kind, amplitudes, copies and seed: got {', '.join(unknown)} too"
        )
    if not given.get("kind"):
        return structures
    return api.perturb(
        structures,
        kind=given["kind"],
        amplitudes=given.get("amplitudes") or None,
        copies=given.get("copies", 1),
        seed=given.get("seed", 0),
    )


def groups(structures: api.StructureSet) -> dict[str, str] | None:
    """Id → group of each structure, its own where it has none; None if no two share one.

    Copies of one parent are never counted as each other's neighbors.
    """
    found = {structure.id: structure.group or structure.id for structure in structures}
    return found if len(set(found.values())) < len(found) else None
