"""Rotation drifts of all models of a run: finished ones are kept, one row a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from absl import logging

from jaxalign.alignment.resume import ValueCache, content_key
from jaxalign.analysis.rotation import (
    PERMUTATIONS,
    ROTATIONS,
    TOLERANCE,
    RotationDrift,
    rotation_drift,
)
from jaxalign.archives.atomic import atomic_write
from jaxalign.models.card import ModelCard
from jaxalign.models.registry import load_model, model_entry
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.multihost import DisagreementError, is_primary_process
from jaxalign.structures.structure import StructureSet
from jaxalign.types import JaxalignError

FOLDER = "rotation"
_KIND = "drifts"


def rotation_table(
    models: Sequence[str],
    structures: StructureSet,
    *,
    count: int,
    layer: str | None = None,
    pooling: str | None = None,
    seed: int = 0,
    workdir: Path | None = None,
) -> tuple[RotationDrift, ...]:
    """Measures each model on the first structures of a set, unless that is finished.

    Of a run of several processes all call this together.

    Args:
      models: registry ids.
      structures: the set that is aligned.
      count: structures to take, at least 2; 0 measures nothing.
      layer: layer of all networks; None for each card's default.
      pooling: pooling of all networks; None for each card's default.
      seed: of rotations and orders.
      workdir: folder; `rotation/rotation.csv` inside it gets the table, and finished drifts are
        kept beside it. None keeps nothing.

    Returns:
      One record a model, in order. A model that fails has the error as its `reason`.

    Raises:
      ValueError: if count is negative or 1.
    """
    if not check_count(count):
        return ()
    sample = structures[:count]
    cache = ValueCache(None if workdir is None else Path(workdir) / FOLDER)
    drifts = tuple(
        _of_model(model, sample, cache, layer=layer, pooling=pooling, seed=seed) for model in models
    )
    if workdir is not None and is_primary_process():
        with atomic_write(Path(workdir) / FOLDER / "rotation.csv", mode="w") as file:
            as_frame(drifts).to_csv(file, index=False)
    return drifts


def check_count(count: int) -> int:
    """Returns a number of structures to turn if it makes sense: 0 for none, or at least 2.

    Raises:
      ValueError: if it does not.
    """
    if count < 0 or count == 1:
        raise ValueError(
            f"rotation_test must be 0 (no test) or a number of structures, at least 2: got {count}"
        )
    return count


def as_frame(drifts: Sequence[RotationDrift]) -> pd.DataFrame:
    """One row a model: all fields, and what became of both claims (empty where not measured)."""
    rows = [
        dataclasses.asdict(drift)
        | {
            "holds_under_rotations": drift.holds_under_rotations,
            "holds_under_permutations": drift.holds_under_permutations,
        }
        for drift in drifts
    ]
    return pd.DataFrame(rows)


def _of_model(
    model: str,
    sample: StructureSet,
    cache: ValueCache,
    *,
    layer: str | None,
    pooling: str | None,
    seed: int,
) -> RotationDrift:
    card = model_entry(model).card
    if card.is_descriptor:  # settings of a run are for its networks
        layer = pooling = None
    key = _key(card, sample, layer=layer, pooling=pooling, seed=seed)
    if (known := cache.get(_KIND, key)) is not None:
        return RotationDrift.from_json(known)
    try:
        with stop_together():
            encoder = load_model(model)
        drift = rotation_drift(encoder, sample, layer=layer, pooling=pooling, seed=seed)
    except DisagreementError:
        raise
    except JaxalignError as error:
        logging.warning("rotations of %s were not measured: %s", model, error)
        return RotationDrift(
            model,
            layer or card.layer,
            pooling or card.pooling,
            card.symmetry,
            reason=str(error),
        )
    cache.update(_KIND, {key: drift.to_json()})
    return drift


def _key(card: ModelCard, sample: StructureSet, **settings) -> str:
    return content_key(
        card=card.to_json(),
        structures=sample.content_hash,
        copies=[ROTATIONS, PERMUTATIONS, TOLERANCE],
        versions=[version(name) for name in ("jaxalign", "jax")],
        **settings,
    )
