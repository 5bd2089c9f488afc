r"""What is learned: one label of structures, in standardized units without its composition part.

With y the label in eV and X the counts of elements (fractions, for labels per atom), a network
learns

    t = (y − X β − μ) / σ,

where β is the least-squares composition model of the training structures, and μ and σ are mean and
standard deviation of what it leaves of them. Nothing of validation or test structures enters.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from jaxalign.alignment.resume import content_key
from jaxalign.learning.training.splits import Splits, split_structures
from jaxalign.structures.composition import element_counts, energy_unit, fit_composition
from jaxalign.structures.structure import Structure, StructureSet

_SHOWN = 5  # ids in messages


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A label, standardized on the training structures.

    Attributes:
      label: name of the label.
      splits: structures to train on, to validate on and to test on; all have the label.
      coefficients: atomic number → its part of the label in eV (of the fraction of the element, for
        labels per atom); empty where composition is not taken out.
      composition: whether it is.
      mean: of the training labels without their composition part, in eV.
      std: their standard deviation, in eV: what an error of 1 in standardized units is.
      identity: SHA-256 of all of this, structures included.
    """

    label: str
    splits: Splits
    coefficients: Mapping[int, float]
    composition: bool
    mean: float
    std: float
    identity: str

    def targets(self, structures: Sequence[Structure]) -> Float64[np.ndarray, " n"]:
        """Standardized labels of structures, also of some that belong to no split.

        Raises:
          ValueError: structures without the label, or with elements that no training structure has.
        """
        left = _labels(structures, self.label)
        if self.composition:
            left = left - _composition_part(structures, self.label, self.coefficients)
        return (left - self.mean) / self.std


def make_task(
    structures: StructureSet,
    *,
    label: str,
    validation: int,
    test: int,
    train: int | None = None,
    composition: bool = True,
    seed: int = 0,
) -> Task:
    """Splits structures and standardizes a label.

    Args:
      structures: with the label.
      label: its name ends with the unit: `_hartree`, `_ev` or `_ev_per_atom`.
      validation: structures that decide when to stop.
      test: structures for the test.
      train: structures to train on; None for all others.
      composition: take out the least-squares composition model: for energies, which are sums over
        atoms, and not for gaps.
      seed: of the split.

    Returns:
      The task.

    Raises:
      ValueError: an empty split, structures without the label, elements that no training structure
        has, or a label that does not vary.
    """
    splits = split_structures(structures, validation=validation, test=test, train=train, seed=seed)
    left = _labels(splits.train, label)
    coefficients: dict[int, float] = {}
    if composition:
        coefficients = _fit(splits.train, label, left)
        left = left - _composition_part(splits.train, label, coefficients)
    mean, std = float(left.mean()), float(left.std())
    if not std > 1e-9 * max(1.0, abs(mean)):
        raise ValueError(
            f"{label} of the {len(left)} training structures does not vary"
            f"{' beyond composition' if composition else ''}: there is nothing to learn; choose "
            "another label or more structures"
        )
    facts = {"label": label, "composition": composition, "mean": mean, "std": std}
    task = Task(
        **facts,
        splits=splits,
        coefficients=coefficients,
        identity=content_key(**facts, **{name: _digest(part, label) for name, part in splits}),
    )
    for _, part in splits:
        task.targets(part)  # an element or label that is missing is known now, not in the end
    return task


def _labels(structures: Sequence[Structure], label: str) -> Float64[np.ndarray, " n"]:
    """Labels in eV, or in eV per atom."""
    factor, _ = energy_unit(label)
    missing = [s.id for s in structures if not np.isfinite(s.labels.get(label, np.nan))]
    if missing:
        known = sorted({name for s in structures for name in s.labels})
        raise ValueError(
            f"{len(missing)} of {len(structures)} structures have no finite label {label!r}: "
            f"{_some(missing)}; leave them out, or choose among {known}"
        )
    return factor * np.array([s.labels[label] for s in structures], np.float64)


def _fit(
    structures: Sequence[Structure], label: str, values: Float64[np.ndarray, " n"]
) -> dict[int, float]:
    counts, elements = _contents(structures, label)
    if len(counts) < len(elements):
        raise ValueError(
            f"{len(counts)} training structures are too few for a composition model of "
            f"{len(elements)} elements; use more, or composition=False"
        )
    return dict(zip(elements, fit_composition(values, counts).tolist(), strict=True))


def _composition_part(
    structures: Sequence[Structure], label: str, coefficients: Mapping[int, float]
) -> Float64[np.ndarray, " n"]:
    counts, elements = _contents(structures, label)
    foreign = [column for column, element in enumerate(elements) if element not in coefficients]
    if foreign:
        rows = np.flatnonzero(counts[:, foreign].any(axis=1)).tolist()
        raise ValueError(
            f"{len(rows)} structures have elements that no training structure has (atomic numbers "
            f"{[elements[column] for column in foreign]}), so that composition says nothing of "
            f"them: {_some([structures[row].id for row in rows])}; leave them out, or train on more"
        )
    return counts @ np.array([coefficients[element] for element in elements], np.float64)


def _contents(
    structures: Sequence[Structure], label: str
) -> tuple[Float64[np.ndarray, "n elements"], list[int]]:
    """Counts of elements, or their fractions for labels per atom, and atomic numbers."""
    without = [s.id for s in structures if s.atomic_numbers is None]
    if without:
        raise ValueError(
            f"{len(without)} structures have no atoms to count: {_some(without)}; leave them out, "
            "or use composition=False"
        )
    table = element_counts(structures)
    counts = table.to_numpy(np.float64)
    if energy_unit(label)[1]:
        counts = counts / counts.sum(axis=1, keepdims=True)
    return counts, [int(element) for element in table.columns]


def _digest(structures: StructureSet, label: str) -> str:
    labels = np.array([s.labels[label] for s in structures], "<f8")
    return hashlib.sha256(structures.content_hash.encode() + labels.tobytes()).hexdigest()


def _some(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more
