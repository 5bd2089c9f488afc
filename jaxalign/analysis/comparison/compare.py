"""A new model beside the models of a finished run: only what concerns the new one is computed."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxalign.alignment.align import align
from jaxalign.alignment.recorded import (
    over_ids,
    pair_metrics,
    recorded_embeddings,
    recorded_settings,
)
from jaxalign.alignment.results import Alignment, ResultError, load
from jaxalign.analysis.comparison.beyond import DRAWS, Beyond, beyond_composition
from jaxalign.analysis.comparison.newcomer import matched, same_rows
from jaxalign.analysis.comparison.placement import Placement, placement
from jaxalign.analysis.comparison.row_intervals import row_intervals
from jaxalign.analysis.comparison.score_rows import completed, pairs_with, with_intervals
from jaxalign.analysis.halves import check_halves, half_facts
from jaxalign.analysis.relations.model_labels import compared_models
from jaxalign.embeddings.record import Embeddings
from jaxalign.embeddings.sources import StoredEmbeddings
from jaxalign.significance.p_values import ALPHA

FOLDER = "compare"
"""Folder in the workdir of a run, with one folder a model that was compared with it."""

_PREFERRED = ("cknna", "mutual_knn")
_ASKED = 3  # models about which is asked what composition explains
_DECIDE = ("jaxalign", "jax")  # packages whose versions decide numbers


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """One model among those of a run.

    Attributes:
      name: label of the model.
      alignment: scores of all pairs, the new ones included; the run itself is left as it was.
      scores: the tidy table's rows of pairs with the model, with intervals.
      rows: metric → its scores with the others, best first, and how surely the best is nearest;
        see `row_intervals` and `score_rows.completed`.
      metric: the metric that leads: of the run's, CKNNA, mutual kNN, or its first one.
      matching: `n` structures, of `n_run` of the run and `n_new` of the model; `by_position` where
        the model brought no ids; `in_run` where the run already had the model.
      same: other model → how far its rows are the same: `"identical"`, or `"up to rotation and
        scale"`.
      placement: where the model sits in the tree; None where there is no tree.
      beyond: what remains of its nearest alignments given composition; None if not asked.
      notes: sentences on what readers must know.
      confidence: probability that an interval covers.
    """

    name: str
    alignment: Alignment
    scores: pd.DataFrame
    rows: Mapping[str, pd.DataFrame]
    metric: str
    matching: Mapping[str, Any]
    same: Mapping[str, str]
    placement: Placement | None = None
    beyond: Beyond | None = None
    notes: tuple[str, ...] = ()
    confidence: float = 1 - ALPHA


def compare(
    new: Embeddings | StoredEmbeddings | np.ndarray | str,
    against: str | Path,
    *,
    name: str | None = None,
    models: Mapping[str, Any] | None = None,
    metric: str | None = None,
    workdir: str | Path | None = None,
    confidence: float | None = None,
    draws: int = DRAWS,
    halves: int = 0,
    on_nonfinite: str = "error",
    **settings: Any,
) -> Comparison:
    """Compares a model with those of a finished run.

    Args:
      new: embeddings of the run's structures, or of some of them: with ids in any order; an array,
        or embeddings without ids, must have the run's rows in the run's order. The label of a model
        of the run places that one among the others.
      against: workdir of `jaxalign run` or of `align`.
      name: label of the new model; None for the id on its card.
      models: label → embeddings of the run's models, as `align` got them; None for a run of the
        command line, which has noted where they are.
      metric: the metric that leads; None chooses.
      workdir: folder for finished work and the table; None for `against/compare/NAME`.
      confidence: None for intervals from contributions of structures, which cost nothing further;
        e.g. 0.95 for those of 40 runs of all models over half of the structures, which serve all
        metrics.
      draws: null draws of what remains of the alignments with the three nearest models when
        composition is given, at least 19; 0 does not ask.
      halves: runs of the metric that leads over halves of the structures, an even number of at
        least 4, which tell how well the branches of the tree are supported; 0 does not ask.
      on_nonfinite: as in `align`.
      **settings: further arguments of `align`: `mesh`, `tile_size`, `memory_budget`, `progress`.

    Returns:
      The comparison.

    Raises:
      ResultError: no result in `against`, one without scores of pairs, or its embeddings are gone.
      ValueError: rows that cannot be matched, a label that the run has already, an unknown metric.
    """
    check_halves(halves)
    result = load(against)
    lead = _lead(result, metric)
    name, rows, matching = _models(new, against, result, name=name, given=models)
    asked = recorded_settings(result)
    _require_enough(asked["k"], matching["n"])
    folder = Path(workdir) if workdir is not None else Path(against) / FOLDER / folder_name(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # structures left out are in `matching`
        alignment = align(
            rows,
            **asked,
            **settings,
            confidence=confidence,
            on_nonfinite=on_nonfinite,
            workdir=folder,
            reuse=against,
        )
    common = {**asked, **settings, "on_nonfinite": on_nonfinite, "workdir": folder}
    facts = half_facts(rows, _of_scores(common), halves=halves, metric=lead)
    alignment = alignment.with_facts(**_facts_of_run(result, name, against), **facts)
    alignment.save(folder)
    matching |= {"n": int(alignment.diagnostics["n"])}
    found = _concluded(result, alignment, name, lead, matching, confidence)
    if not draws:
        return found
    nearest = nearest_encoders(found)[:_ASKED]
    settings = {key: value for key, value in settings.items() if key != "progress"}
    beyond = beyond_composition(alignment, lead, name, nearest, draws=draws, **settings)
    return dataclasses.replace(found, beyond=beyond)


def _models(
    new: Embeddings | StoredEmbeddings | np.ndarray | str,
    against: str | Path,
    result: Alignment,
    *,
    name: str | None,
    given: Mapping[str, Any] | None,
) -> tuple[str, dict[str, StoredEmbeddings], dict[str, Any]]:
    """Label of the new model, rows of all models over common structures, what was matched."""
    kept = [m for m in result.models if m not in result.diagnostics.get("failed_models", {})]
    known = recorded_embeddings(against, result, kept, given)
    if isinstance(new, str):
        if new not in known:
            raise ValueError(f"{new!r} is no model of {against}: it has {', '.join(known)}")
        n = len(result.diagnostics["ids"])
        return new, known, {"n": n, "n_run": n, "in_run": True}
    name, record, ids, matching = matched(new, result, name=name)
    common = {model: over_ids(rows, ids, name=model) for model, rows in known.items()}
    return name, {**common, name: record}, matching


def _of_scores(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `align` without those of its nulls."""
    return {name: value for name, value in settings.items() if name != "permutations"}


def nearest_encoders(found: Comparison, metric: str | None = None) -> list[str]:
    """Pretrained models other than controls, nearest first, under the metric that leads."""
    encoders = set(compared_models(found.alignment.cards))
    return [name for name in found.rows[metric or found.metric]["other"] if name in encoders]


def folder_name(name: str) -> str:
    """A label as the name of a folder."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name).lstrip(".") or "model"


def _concluded(
    result: Alignment,
    alignment: Alignment,
    name: str,
    lead: str,
    matching: Mapping[str, Any],
    confidence: float | None,
) -> Comparison:
    failed = alignment.diagnostics["failed_models"]
    if name in failed:
        raise ValueError(f"{name!r} cannot be scored: {failed[name]}")
    others = [m for m in alignment.models if m != name and m not in failed]
    labels = alignment.diagnostics["labels"].get("groups")
    level = 1 - ALPHA if confidence is None else confidence
    encoders = set(compared_models(alignment.cards))
    among = [other for other in others if other in encoders]
    common = {"among": among, "groups": labels, "confidence": level}
    rows = {m: row_intervals(alignment, m, name, others, **common) for m in pair_metrics(alignment)}
    scores = pairs_with(alignment.table, name)
    if confidence is None:
        scores = with_intervals(scores, rows, name)
    return Comparison(
        name=name,
        alignment=alignment,
        scores=scores,
        rows={m: completed(row, scores, name) for m, row in rows.items()},
        metric=lead,
        matching=matching,
        same=same_rows(alignment, name, others),
        placement=placement(alignment, lead, name),
        notes=tuple(_notes(result, alignment, matching)),
        confidence=level,
    )


def _lead(result: Alignment, metric: str | None) -> str:
    found = pair_metrics(result)
    if not found:
        raise ResultError(
            f"the run has no scores of pairs of models (its metrics: {', '.join(result.metrics)}); "
            "run align with a metric such as cknna"
        )
    if metric is not None and metric not in found:
        raise ValueError(f"metric {metric!r} is not of the run: choose one of {', '.join(found)}")
    return metric or next((m for m in _PREFERRED if m in found), found[0])


def _require_enough(k: Mapping[str, Any], n: int) -> None:
    largest = max((max(v) if isinstance(v, list) else v for v in k.values()), default=0)
    if largest >= n:
        raise ValueError(
            f"the run compares k = {largest} neighbors, and only {n} structures are common to it "
            f"and the new model; embed at least {largest + 1} of the run's structures"
        )


def _facts_of_run(result: Alignment, name: str, against: str | Path) -> dict[str, Any]:
    known = result.diagnostics
    kept = {key: known[key] for key in ("dataset", "recipe") if key in known}
    return kept | {"compared": {"model": name, "against": str(against)}}


def _notes(result: Alignment, alignment: Alignment, matching: Mapping[str, Any]) -> list[str]:
    notes = []
    before, now = (r.diagnostics["versions"] for r in (result, alignment))
    differ = [f"{p} {before.get(p)}, here {now[p]}" for p in _DECIDE if before.get(p) != now[p]]
    if differ:
        notes.append(
            f"The run was made by other versions ({'; '.join(differ)}): what depends on them was "
            "computed again."
        )
    if failed := result.diagnostics.get("failed_models"):
        notes.append(f"Left out, as the run has no scores of them: {', '.join(failed)}.")
    if matching["n"] < matching["n_run"]:
        notes.append(
            f"The model has numbers for {matching['n']:,} of the {matching['n_run']:,} structures "
            "of the run: all models were scored again over these, and scores differ from the run's."
        )
        return notes
    keys, own = alignment.diagnostics["graph_keys"], result.diagnostics.get("graph_keys", {})
    changed = [m for m, found in own.items() if not differ and m in keys and keys[m] != found]
    if changed:
        notes.append(
            f"The embeddings of {', '.join(changed)} are not those that the run compared: they "
            "were scored as they are now."
        )
    return notes
