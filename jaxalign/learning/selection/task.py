"""A task: a number for every structure, predicted from embeddings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxalign.structures.composition import element_counts
from jaxalign.structures.structure import StructureSet

_NAMED = 3  # ids that a message names
MISSING = ("error", "drop")


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """Labels of structures, and what they are predicted beyond.

    Attributes:
      name: as results call it, unique within a selection.
      labels: sample id → finite number; the unit is in the name.
      dataset: name of the candidates' embeddings it is asked of; "" where there are only one.
      counts: `[structures, elements]` atoms of every element by id. The composition model of the
        training rows is then subtracted from the labels; None leaves them as they are.
      groups: id → group; structures of one group are never on both sides of a split. None, and ids
        that are absent: a group of its own.

    Raises:
      ValueError: a label that is not finite (ids are named), all labels equal, or no composition
        for a labelled structure.
    """

    name: str
    labels: Mapping[str, float]
    dataset: str = ""
    counts: pd.DataFrame | None = None
    groups: Mapping[str, Any] | None = None

    def __post_init__(self):
        wrong = [i for i, value in self.labels.items() if not math.isfinite(value)]
        if wrong:
            raise ValueError(
                f"{self.name}: {len(wrong)} labels are not finite, e.g. of {wrong[:_NAMED]}; leave "
                "these structures out, or mend their labels"
            )
        if len(set(self.labels.values())) < 2:
            raise ValueError(
                f"{self.name}: all {len(self.labels)} labels are equal: nothing tells candidates "
                "apart; choose another label"
            )
        if self.counts is not None:
            known = set(self.counts.index)
            absent = [i for i in self.labels if i not in known]
            if absent:
                raise ValueError(
                    f"{self.name}: no composition for {len(absent)} labelled structures, e.g. "
                    f"{absent[:_NAMED]}; pass counts=None to predict the label as it is"
                )


def labeled_task(
    structures: StructureSet,
    label: str,
    *,
    name: str | None = None,
    dataset: str | None = None,
    labels: Mapping[str, float] | None = None,
    beyond_composition: bool = False,
    groups: Mapping[str, Any] | None = None,
    on_missing: str = "error",
) -> Task:
    """The task of predicting a label of structures.

    Args:
      structures: with atoms, where composition is to be taken off.
      label: name of the label.
      name: of the task; None for that of the label.
      dataset: as in `Task`; None for the name of the structures.
      labels: id → number in place of the structures' own; it may cover a part of them.
      beyond_composition: predict what the counts of elements leave, as total energies need.
      groups: id → group; None for the structures' own.
      on_missing: structures without the label, or with NaN: `"error"` names them, `"drop"` leaves
        them out.

    Returns:
      The task.

    Raises:
      ValueError: no structure has the label, or some have not; and as `Task`.
    """
    if on_missing not in MISSING:
        raise ValueError(f"on_missing must be one of {MISSING}: got {on_missing!r}")
    own = {s.id: s.labels[label] for s in structures if label in s.labels}
    own = own if labels is None else {i: labels[i] for i in structures.ids if i in labels}
    own = {i: float(value) for i, value in own.items()}
    if not own:
        known = sorted({key for s in structures for key in s.labels})
        raise ValueError(
            f"no structure of {structures.name} has the label {label!r}: its labels are {known}"
        )
    missing = [i for i in structures.ids if not math.isfinite(own.get(i, math.nan))]
    missing = [i for i in missing if labels is None or i in own]
    if missing and on_missing == "error":
        raise ValueError(
            f"{len(missing)} of {len(structures)} structures have no finite {label!r}, e.g. "
            f"{missing[:_NAMED]}; leave them out, or pass on_missing='drop'"
        )
    own = {i: value for i, value in own.items() if np.isfinite(value)}
    return Task(
        name=name or label,
        labels=own,
        dataset=structures.name if dataset is None else dataset,
        counts=element_counts(structures) if beyond_composition else None,
        groups=groups or {s.id: s.group for s in structures if s.group is not None},
    )
