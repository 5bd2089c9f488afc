"""Whether the alignments of a run are trivial: all tables in one call; finished ones are kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from absl import logging

from jaxalign.alignment.results import Alignment
from jaxalign.alignment.resume import content_key
from jaxalign.analysis.confounding.conditional import COLUMNS as CONDITIONAL_COLUMNS
from jaxalign.analysis.confounding.conditional import ConditionalAlignment, conditional_alignment
from jaxalign.analysis.confounding.explanations import explanations, pair_explanations
from jaxalign.analysis.confounding.noise_floors import noise_floors
from jaxalign.analysis.confounding.strata import strata
from jaxalign.archives.atomic import atomic_write, write_json
from jaxalign.embeddings.extract import embed_structures
from jaxalign.models.registry import load_model
from jaxalign.parallel.multihost import all_true, is_primary_process, wait_for_all
from jaxalign.structures.structure import StructureSet

FOLDER = "explanations"
METRICS = ("mutual_knn", "cka")
"""Metrics that are asked, of those of a run: one of neighbors, one of kernels."""

_LEAST = 50  # structures that may change places, below which a calibrated 0 says nothing
_TABLES = ("controls", "paths", "floors", "conditional")
_RECORD = "explanations.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """Tables about one run.

    Attributes:
      controls: the best trivial explanation of every model, see `explanations`.
      paths: the best path through a control of every pair, see `pair_explanations`.
      floors: noise floors and random twins, see `noise_floors`.
      conditional: scores of all pairs without controls given confounders, and given strata, see
        `conditional_alignment`.
      facts: one mapping a condition: `given`, `method`, `n`, `left_out`, `assumption`; where it
        could not be asked, `reason`.
    """

    controls: pd.DataFrame
    paths: pd.DataFrame
    floors: pd.DataFrame
    conditional: pd.DataFrame
    facts: tuple[Mapping[str, Any], ...]


def explain(
    models: Mapping[str, Any],
    result: Alignment,
    structures: StructureSet,
    *,
    given: Sequence[str] = (),
    by: str = "",
    metrics: Sequence[str] = (),
    permutations: int = 20,
    groups: Mapping[str, Any] | None = None,
    seed: int = 0,
    workdir: str | Path | None = None,
    progress: bool = False,
    **settings: Any,
) -> Explained:
    """Compares every alignment of a run with what trivial facts would give.

    Args:
      models: the embeddings that `result` compares.
      result: their alignment.
      structures: what was embedded.
      given: controls that are taken out of the embeddings, registry ids; () for composition and
        size, of atoms or of residues.
      by: kind of strata, see `strata`; "" for composition, or protein families.
      metrics: some of the run's; () for those of `METRICS` that it has, else its first.
      permutations: null draws of conditional alignments.
      groups: as in `align`.
      seed: of noise and permutations.
      workdir: folder; `explanations/` inside it gets the tables as parquet and csv, and a call for
        the same scores reads them back.
      progress: print progress lines.
      **settings: of `align`, as for the run.

    Returns:
      The tables. A condition that cannot be set (fewer than 50 structures with another one of
      equal composition, more confounders than structures) has its reason in `facts`.
    """
    given, by = given or default_confounders(structures), by or default_strata(structures)
    metrics = _metrics(result, metrics)
    chosen = {"given": given, "by": by, "metrics": metrics, "permutations": permutations}
    key = _key(result, structures, seed=seed, **chosen)
    folder = None if workdir is None else Path(workdir) / FOLDER
    known = None if folder is None else _read(folder, key)
    if all_true(known is not None):
        return known
    if isinstance(settings.get("k"), Mapping):
        settings["k"] = {metric: k for metric, k in settings["k"].items() if metric in metrics}
    asked = {"metrics": metrics, "seed": seed, **settings}
    drawn = {**asked, "permutations": permutations, "groups": groups, "progress": progress}
    encoders = {m: rows for m, rows in models.items() if result.cards[m].modality != "control"}
    conditions = (
        _given_controls(encoders, {g: models.get(g) for g in given}, structures, **drawn),
        _within_strata(encoders, by, structures, **drawn),
    )
    frames = [table for table, _ in conditions if len(table)]
    explained = Explained(
        controls=_joined([explanations(result, metric) for metric in metrics]),
        paths=_joined([pair_explanations(result, metric) for metric in metrics]),
        floors=noise_floors(models, result, **asked),
        conditional=_joined(frames) if frames else pd.DataFrame(columns=list(CONDITIONAL_COLUMNS)),
        facts=tuple(facts for _, facts in conditions),
    )
    if folder is not None:
        _write(folder, key, explained)
    return explained


def default_confounders(structures: StructureSet) -> tuple[str, ...]:
    """Controls that say what a structure is made of, and how large it is."""
    if _are_chains(structures):
        return "residue-composition", "sequence-length"
    return "composition", "atom-count"


def default_strata(structures: StructureSet) -> str:
    """The kind of strata of like structures."""
    return "protein_family" if _are_chains(structures) else "composition"


def _are_chains(structures: StructureSet) -> bool:
    return all(s.atomic_numbers is None and s.smiles is None for s in structures)


def _metrics(result: Alignment, wanted: Sequence[str]) -> tuple[str, ...]:
    of_pairs = [m for m in result.metrics if not result.metadata(m)["of_single_models"]]
    if unknown := sorted(set(wanted) - set(of_pairs)):
        raise ValueError(f"explain asks metrics that the run has not: {unknown}; it has {of_pairs}")
    usual = [metric for metric in METRICS if metric in of_pairs]
    return tuple(wanted or usual or of_pairs[:1])


def _given_controls(
    encoders: Mapping[str, Any], given: Mapping[str, Any], structures: StructureSet, **drawn: Any
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Given controls, which are embedded here if the run has them not."""
    controls = {
        name: embed_structures(load_model(name), structures, on_error="skip", progress=False)
        if rows is None
        else rows
        for name, rows in given.items()
    }
    asked = {"given": ", ".join(given), "method": "residual"}
    models = {**encoders, **controls}
    return _condition(asked, lambda: conditional_alignment(models, tuple(given), **drawn))


def _within_strata(
    encoders: Mapping[str, Any], by: str, structures: StructureSet, **drawn: Any
) -> tuple[pd.DataFrame, dict[str, Any]]:
    asked = {"given": by, "method": "strata"}
    return _condition(
        asked, lambda: conditional_alignment(encoders, strata(structures, by), **drawn)
    )


def _condition(
    asked: dict[str, str], ask: Callable[[], ConditionalAlignment]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Scores under a condition and its facts; a condition that cannot be set has a reason."""
    try:
        found = ask()
        if asked["method"] == "strata" and found.facts["n"] < _LEAST:
            raise ValueError(
                f"{found.facts['n']} structures have another one of equal {asked['given']}: fewer "
                f"than {_LEAST} say nothing about what remains"
            )
    except ValueError as error:
        logging.warning("no alignment given %s: %s", asked["given"], error)
        return pd.DataFrame(), {**asked, "reason": str(error)}
    return found.table, dict(found.facts)


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)


def _key(result: Alignment, structures: StructureSet, **settings: Any) -> str:
    scores = result.table[["model_a", "model_b", "metric", "k", "value", "calibrated", "q"]]
    return content_key(
        scores=hashlib.sha256(scores.to_csv().encode()).hexdigest(),
        structures=structures.content_hash,
        version=version("jaxalign"),
        **settings,
    )


def _write(folder: Path, key: str, explained: Explained) -> None:
    """The record comes last: it stands for tables that are all there."""
    if is_primary_process():
        for name in _TABLES:
            table = getattr(explained, name)
            with atomic_write(folder / f"{name}.parquet") as file:
                file.write(table.to_parquet(index=False))
            with atomic_write(folder / f"{name}.csv", mode="w") as file:
                table.to_csv(file, index=False)
        write_json(folder / _RECORD, {"key": key, "facts": list(explained.facts)})
    wait_for_all(f"tables in {folder}")


def _read(folder: Path, key: str) -> Explained | None:
    """Finished tables of the same question; None if there are none, or they are damaged."""
    try:
        record = json.loads((folder / _RECORD).read_text())
        if record["key"] != key:
            return None
        tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in _TABLES}
    except (OSError, ValueError, KeyError):
        return None
    return Explained(**tables, facts=tuple(record["facts"]))
