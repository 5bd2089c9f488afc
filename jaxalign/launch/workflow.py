"""Steps that verbs share: structures in, one store a model, facts for the report."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from absl import logging

from jaxalign import api
from jaxalign.alignment.resume import content_key
from jaxalign.archives.atomic import require_writable
from jaxalign.embeddings.input_counts import describe_counts
from jaxalign.embeddings.location import Location
from jaxalign.embeddings.record import Embeddings
from jaxalign.embeddings.sources import StoredEmbeddings
from jaxalign.launch.embedding_work import read_work, record_work
from jaxalign.models.registry import model_entry
from jaxalign.parallel.multihost import (
    DisagreementError,
    is_primary_process,
)
from jaxalign.types import JaxalignError

EMBEDDINGS = "embeddings"
REPORT = "report"


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
      unseen: model → what it did not see of the structures, if anything.
      stores: model → folder of its embeddings.
    """

    embeddings: dict[str, StoredEmbeddings]
    failed: dict[str, str]
    skipped: list[dict[str, str]]
    rows_computed: int
    seconds: float
    work: dict[str, str] = dataclasses.field(default_factory=dict)
    unseen: dict[str, str] = dataclasses.field(default_factory=dict)
    stores: dict[str, Path] = dataclasses.field(default_factory=dict)


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
        done.stores[model] = store
        done.rows_computed += embeddings.info.get("rows_computed", 0)
        record_work(store.parent, store.name, embeddings.info)
        if known := read_work(store.parent).get(store.name):
            done.work[model] = known
        done.unseen |= unseen_inputs({model: embeddings})
        done.skipped += [_skip_row(s, model) for s in embeddings.info.get("skipped", ())]
    done.seconds = time.perf_counter() - start
    return done


def unseen_inputs(embeddings: Mapping[str, Embeddings | StoredEmbeddings]) -> dict[str, str]:
    """Model → what it did not see of the structures: unknown tokens, ends that were cut off."""
    described = {model: describe_counts(found.info) for model, found in embeddings.items()}
    return {model: words for model, words in described.items() if words}


def _choice(model: str, *, layer: str | None, pooling: str | None) -> dict[str, str | None]:
    """Layer and pooling as far as a model has them: settings of a run are for its networks."""
    if model_entry(model).card.is_descriptor:
        layer = pooling = None
    return {"layer": layer, "pooling": pooling}


def _skip_row(skipped: Any, model: str) -> dict[str, str]:
    row = dict(skipped) if isinstance(skipped, Mapping) else dataclasses.asdict(skipped)
    return {**{key: str(value) for key, value in row.items()}, "model": model}


def command_line() -> str:
    """The command as the user gave it, for the report."""
    return " ".join(["jaxalign", *sys.argv[1:]])


def describe_work(work: Mapping[str, int], rows: int | None = None) -> str:
    """One sentence: what was computed and what an earlier run had left finished."""
    nulls = work["null_scores_computed"]
    computed = (rows or 0) + work["graphs_computed"] + work["pairs_computed"] + nulls
    reused = f"{work['graphs_reused']} neighbor graphs and {work['pairs_reused']} pair terms"
    if known := work["null_scores_reused"]:
        reused += f" and {known:,} null scores"
    if computed == 0:
        rest = "all embeddings, " if rows is not None else ""
        return f"nothing was computed again: {rest}{reused} were reused"
    made = f"{work['graphs_computed']} neighbor graphs, {work['pairs_computed']} pair terms"
    if rows is not None:
        made = f"{rows:,} embedding rows, {made}"
    if nulls:
        made += f", {nulls:,} null scores"
    return f"computed {made}; reused {reused}"
