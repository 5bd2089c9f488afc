"""Steps that verbs share: structures in, one store a model, facts for the report."""

from __future__ import annotations

import dataclasses
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from absl import logging

from jaxalign import api
from jaxalign.alignment.resume import content_key
from jaxalign.archives.atomic import require_writable
from jaxalign.embeddings.location import Location
from jaxalign.embeddings.sources import StoredEmbeddings
from jaxalign.launch.embedding_work import read_work, record_work
from jaxalign.models.registry import model_entry
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.multihost import (
    DisagreementError,
    from_primary,
    is_primary_process,
    require_agreement,
)
from jaxalign.types import JaxalignError

EMBEDDINGS = "embeddings"
REPORT = "report"
_PATIENCE = 15.0  # seconds until a file that another machine wrote must be seen


@dataclasses.dataclass
class Embedded:
    """Embeddings of all models that succeeded, and why the others did not.

    Attributes:
      embeddings: one entry a model that succeeded.
      failed: model → reason, for models left out under `on_error="skip"`.
      skipped: structures left out, as the report lists them.
      rows_computed: rows that this call computed (the rest was in the store).
      seconds: wall time of all models.
      work: model → what its embeddings cost when they were computed.
    """

    embeddings: dict[str, StoredEmbeddings]
    failed: dict[str, str]
    skipped: list[dict[str, str]]
    rows_computed: int
    seconds: float
    work: dict[str, str] = dataclasses.field(default_factory=dict)


def read_dataset(settings: Mapping[str, Any], *, on_error: str) -> api.StructureSet:
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


def _read(settings: Mapping[str, Any], *, on_error: str) -> api.StructureSet:
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


def _perturbed(
    structures: api.StructureSet, settings: Mapping[str, Any] | None
) -> api.StructureSet:
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


def folder(path: str, *, remote: bool = False) -> Path:
    """A folder from a flag, which all processes of a run must see.

    Args:
      path: the flag; an empty one (an unset shell variable) is refused.
      remote: whether a URL is taken too; it becomes a path that stores understand.

    Raises:
      ValueError: the flag is empty or names no place for results, or processes see other folders.
    """
    if not path:
        raise ValueError("--workdir is empty: name a folder")
    if Location(path).remote:
        if not remote:
            raise ValueError(
                f"--workdir={path} must be a folder that all processes mount: stores of embeddings "
                "may lie in a bucket (`jaxalign embed`, `jaxalign align --embeddings`), but not "
                "results"
            )
    elif jax.process_count() > 1:
        _require_shared(Path(path))
    return Path(path)


def _require_shared(path: Path) -> None:
    """Process 0 leaves a mark, and the others look for it: it takes a network disk some seconds."""
    mark = path / f".{from_primary(secrets.token_hex(8))}.seen"
    try:
        with stop_together():
            if is_primary_process():
                require_writable(path)
                mark.touch()
        with stop_together():
            limit = time.monotonic() + _PATIENCE
            # Listing a folder asks the server; looking for one name may be answered from a cache.
            while mark.name not in os.listdir(path) if path.is_dir() else True:
                if time.monotonic() > limit:
                    raise ValueError(
                        f"process {jax.process_index()} does not see what process 0 writes into "
                        f"{path}: the workdir must be one folder that all machines mount"
                    )
                time.sleep(0.2)
    finally:
        if is_primary_process():
            mark.unlink(missing_ok=True)


def require_same_files(paths: Sequence[str]) -> None:
    """Names of embedding files that processes are about to read together.

    Raises:
      DisagreementError: they see others than each other.
    """
    if jax.process_count() > 1:
        with stop_together():
            names = [_names(Location(path)) for path in paths]
        require_agreement(**{"files of --embeddings": str(names)})


def _names(place: Location) -> list[str]:
    names = [name for name in place.entries() if not name.startswith(".")]
    return names or [place.name]


def model_ids(names: Sequence[str]) -> list[str]:
    """Ids of models: of a weight file ("architecture:path") that of its card.

    Raises:
      ValueError: an unknown model.
      JaxalignError: a weight file that cannot be used.
    """
    return [model_entry(name).card.id for name in names]


def store_path(
    workdir: Path, model: str, structures: api.StructureSet, *, layer=None, pooling=None
) -> Path:
    """Where one model's embeddings of these structures live: addressed by all that decides them."""
    card = model_entry(model).card
    key = content_key(
        model=model,
        package=card.package,
        package_sha256=card.package_sha256,
        layer=layer or card.layer,
        pooling=pooling or card.pooling,
        structures=structures.content_hash,
        versions=[version(name) for name in ("jaxalign", "jax")],
    )
    return workdir / EMBEDDINGS / f"{model}-{key[:12]}"


def embed_models(
    models: Sequence[str],
    structures: api.StructureSet,
    workdir: Path,
    *,
    layer: str | None = None,
    pooling: str | None = None,
    on_error: str = "raise",
    progress: bool = True,
    mesh: Any = None,
) -> Embedded:
    """Embeds structures with each model into `workdir/embeddings`; finished rows are not redone.

    Args:
      models: registry ids.
      structures: what to embed.
      workdir: the run's folder.
      layer: layer of all networks; None for each card's default.
      pooling: pooling of all networks; None for each card's default.
      on_error: `"raise"`, or `"skip"` models and structures that fail (they are listed).
      progress: print progress lines.
      mesh: devices that work; None means all.

    Raises:
      ValueError: an unknown or repeated model, before anything is computed.
      JaxalignError: under `on_error="raise"`, the first failure.
    """
    if len(set(models)) < len(models) or not models:
        raise ValueError(f"models must name each encoder once, and at least one: got {models}")
    for model in models:
        model_entry(model)  # a misspelled name fails before the first model runs
    if not Location(workdir).remote and is_primary_process():
        require_writable(workdir)
    start = time.perf_counter()
    done = Embedded({}, {}, [_skip_row(s, "all models") for s in structures.skipped], 0, 0.0)
    for model in models:
        try:
            choice = _choice(model, layer=layer, pooling=pooling)
            store = store_path(workdir, model, structures, **choice)
            embeddings = api.embed(
                model,
                structures,
                **choice,
                store=store,
                on_error=on_error,
                progress=progress and is_primary_process(),
                mesh=mesh,
                in_memory=False,  # memory does not grow with the number of models
            )
        except DisagreementError:
            raise
        except JaxalignError as error:
            if on_error != "skip":
                raise
            logging.warning("%s is left out: %s", model, error)
            done.failed[model] = str(error)
            continue
        done.embeddings[model] = embeddings
        done.rows_computed += embeddings.info.get("rows_computed", 0)
        record_work(store.parent, store.name, embeddings.info)
        if known := read_work(store.parent).get(store.name):
            done.work[model] = known
        done.skipped += [_skip_row(s, model) for s in embeddings.info.get("skipped", ())]
    done.seconds = time.perf_counter() - start
    return done


def _choice(model: str, *, layer: str | None, pooling: str | None) -> dict[str, str | None]:
    """Layer and pooling as far as a model has them: settings of a run are for its networks."""
    if model_entry(model).card.is_descriptor:
        layer = pooling = None
    return {"layer": layer, "pooling": pooling}


def _skip_row(skipped: Any, model: str) -> dict[str, str]:
    row = dict(skipped) if isinstance(skipped, Mapping) else dataclasses.asdict(skipped)
    return {**{key: str(value) for key, value in row.items()}, "model": model}


def groups(structures: api.StructureSet) -> dict[str, str] | None:
    """Id → group of each structure, its own where it has none; None if no structure has one.

    Copies of one parent are never counted as each other's neighbors.
    """
    if not any(structure.group for structure in structures):
        return None
    return {structure.id: structure.group or structure.id for structure in structures}


def command_line() -> str:
    """The command as the user gave it, for the report."""
    return " ".join(["jaxalign", *sys.argv[1:]])


def describe_work(work: Mapping[str, int], rows: int | None = None) -> str:
    """One sentence: what was computed and what an earlier run had left finished."""
    computed = (rows or 0) + work["graphs_computed"] + work["pairs_computed"]
    reused = f"{work['graphs_reused']} neighbor graphs and {work['pairs_reused']} pair terms"
    if computed == 0:
        rest = "all embeddings, " if rows is not None else ""
        return f"nothing was computed again: {rest}{reused} were reused"
    made = f"{work['graphs_computed']} neighbor graphs, {work['pairs_computed']} pair terms"
    if rows is not None:
        made = f"{rows:,} embedding rows, {made}"
    return f"computed {made}; reused {reused}"
