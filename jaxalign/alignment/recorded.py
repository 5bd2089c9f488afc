"""A finished run read back as what it was made of: its settings and its embeddings.

What is found again is compared by content, so that with the same versions nothing of the run is
computed again; see `reuse` of `align`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxalign.alignment.results import Alignment, ResultError
from jaxalign.embeddings.formats import read_embeddings
from jaxalign.embeddings.location import Location
from jaxalign.embeddings.manifest import is_store
from jaxalign.embeddings.record import Embeddings, order_hash
from jaxalign.embeddings.sources import ArrayRows, SelectedRows, StoredEmbeddings
from jaxalign.metrics._definition import GraphMetric, ModelMetric
from jaxalign.metrics.registry import metric_definition
from jaxalign.models.card import ModelCard
from jaxalign.types import JaxalignError
from jaxalign.validation import check_matrix

SOURCES = "sources"
"""Diagnostic: model → where its embeddings are, relative to the workdir if they are inside it."""

_KEY = 12  # characters of the content address in the name of a run's store


def source_paths(paths: Mapping[str, str | Path], workdir: str | Path) -> dict[str, str]:
    """The diagnostic `SOURCES` of a run.

    Args:
      paths: model → file or store of its embeddings, also remote.
      workdir: folder of the run.

    Returns:
      Paths below the workdir relative to it, so that the folder may be moved; others absolute.
    """
    return {name: _portable(path, workdir) for name, path in paths.items()}


def recorded_settings(result: Alignment) -> dict[str, Any]:
    """Arguments of `align` that repeat a run over its own structures.

    Args:
      result: a loaded result.

    Returns:
      `metrics` (those of pairs and of single models), `k`, `normalize`, `similarity`, `seed`,
      `groups`, `permute_within` and `permutations`.

    Raises:
      ResultError: the run kept groups apart, or permuted within labels, without recording them.
    """
    settings = result.diagnostics["metrics"]
    labels = _labels(result)
    sampled = result.diagnostics.get("sampled_nulls") or {}
    return {
        "metrics": tuple(settings),
        "k": {name: facts["k"] for name, facts in settings.items() if facts["k"] is not None},
        "normalize": _normalization(settings),
        "similarity": _similarity(settings),
        "seed": int(result.diagnostics["seed"]),
        "permutations": int(sampled.get("permutations") or 0),
        **labels,
    }


def recorded_embeddings(
    workdir: str | Path,
    result: Alignment,
    names: Sequence[str],
    given: Mapping[str, Any] | None = None,
) -> dict[str, StoredEmbeddings]:
    """Embeddings of models of a run, over its structures in its order.

    Args:
      workdir: folder of the run.
      result: what it left there.
      names: some of its models.
      given: embeddings by model, of a run that has not noted where they are.

    Returns:
      Model → embeddings, with the cards of the result; rows stay where they are.

    Raises:
      ResultError: embeddings are not where the run left them, or hold other structures; the message
        says which.
    """
    ids = tuple(result.diagnostics["ids"])
    found = {}
    for name in names:
        if given is not None:
            if name not in given:
                raise ResultError(f"the run has a model {name!r}, and models has not: add it")
            record = _as_record(given[name], result.cards[name])
            found[name] = over_ids(record, ids, name=name, card=result.cards[name])
            continue
        path = _source(Path(workdir), result, name, ids)
        try:
            stored = read_embeddings(path, in_memory=False)
        except (JaxalignError, OSError) as error:
            raise ResultError(
                f"the embeddings of {name!r} in {workdir} cannot be read again ({error}); put them "
                "back, or run the alignment again"
            ) from None
        found[name] = over_ids(stored, ids, name=name, card=result.cards[name])
    return found


def over_ids(
    embeddings: Embeddings | StoredEmbeddings,
    ids: tuple[str, ...],
    *,
    name: str,
    card: ModelCard | None = None,
) -> StoredEmbeddings:
    """Embeddings of the given structures in the given order.

    Rows without ids are taken by position, where there are as many as ids.

    Args:
      embeddings: of these structures at least.
      ids: wanted rows.
      name: for messages.
      card: replaces the card.

    Raises:
      ResultError: rows are missing.
    """
    stored = isinstance(embeddings, StoredEmbeddings)
    raw = embeddings.raw if stored else ArrayRows(embeddings.values)
    own, card = embeddings.ids, card or embeddings.card
    info = {key: value for key, value in embeddings.info.items() if key != "implicit_ids"}
    if own == ids or (embeddings.info.get("implicit_ids") and len(own) == len(ids)):
        return StoredEmbeddings(raw, ids, card, info)
    row = {identifier: number for number, identifier in enumerate(own)}
    if missing := [identifier for identifier in ids if identifier not in row]:
        raise ResultError(
            f"the embeddings of {name!r} lack {len(missing)} of {len(ids)} structures, e.g. "
            f"{missing[:3]}: they are not those that were compared; put these back, or run the "
            "alignment again"
        )
    index = np.array([row[identifier] for identifier in ids])
    return StoredEmbeddings(SelectedRows(raw, index), ids, card, info)


def _as_record(x: Any, card: ModelCard) -> Embeddings | StoredEmbeddings:
    if isinstance(x, Embeddings | StoredEmbeddings):
        return x
    values = check_matrix(x, name=f"embeddings of {card.id!r}")
    return Embeddings(values, tuple(map(str, range(len(values)))), card, {"implicit_ids": True})


def _portable(path: str | Path, workdir: str | Path) -> str:
    if Location(path).remote:
        return str(path)
    here, base = Path(path).resolve(), Path(workdir).resolve()
    return os.fspath(here.relative_to(base) if here.is_relative_to(base) else here)


def _source(workdir: Path, result: Alignment, name: str, ids: tuple[str, ...]) -> str:
    recorded = (result.diagnostics.get(SOURCES) or {}).get(name)
    if recorded:
        return recorded if Location(recorded).remote else str(workdir / recorded)
    stores = _stores(workdir / "embeddings", name, ids)
    if len(stores) == 1:
        return str(stores[0])
    what = f"{len(stores)} stores of these structures are" if stores else "nothing of the kind is"
    raise ResultError(
        f"{workdir} does not say where the embeddings of {name!r} are, and {what} in "
        f"{workdir / 'embeddings'}; run the same command again, which computes nothing that is "
        "finished, or in Python pass models={label: embeddings}"
    )


def _stores(folder: Path, name: str, ids: tuple[str, ...]) -> list[Path]:
    """Complete stores of a model by the name that `jaxalign run` gives; best of all ids."""
    places = [
        place
        for place in sorted(folder.glob(f"{_escaped(name)}-{'?' * _KEY}"))
        if is_store(Location(place))
    ]
    same = order_hash(ids)
    found = {place: read_embeddings(place, in_memory=False) for place in places}
    exact = [place for place, stored in found.items() if stored.order_hash == same]
    return exact or [place for place, stored in found.items() if set(ids) <= set(stored.ids)]


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _labels(result: Alignment) -> dict[str, dict[str, str] | None]:
    ids, known = result.diagnostics["ids"], result.diagnostics.get("labels") or {}
    sampled = result.diagnostics.get("sampled_nulls") or {}
    needed = {
        "groups": bool(result.diagnostics.get("grouped")),
        "permute_within": "within" in (sampled.get("exchanged") or ""),
    }
    for name, wanted in needed.items():
        if wanted and name not in known:
            raise ResultError(
                f"the run has {name} and did not record the labels (an earlier version); run the "
                "same command again, which computes nothing that is finished"
            )
    return {
        name: dict(zip(ids, known[name], strict=True)) if wanted else None
        for name, wanted in needed.items()
    }


def _normalization(settings: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The normalization that was asked for all metrics; None for each metric's own."""
    used = {name: facts["normalization"] for name, facts in settings.items()}
    if all(metric_definition(name).default_normalize == one for name, one in used.items()):
        return None
    return next(iter(used.values()))


def _similarity(settings: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The ordering of neighbors that was asked for; None for each metric's own."""
    for name, facts in settings.items():
        definition = metric_definition(name)
        if isinstance(definition, GraphMetric) and facts["similarity"] != definition.similarity:
            return facts["similarity"]
    return None


def pair_metrics(result: Alignment) -> list[str]:
    """Metrics of a result that compare two models."""
    return [m for m in result.metrics if not isinstance(metric_definition(m), ModelMetric)]
