"""Training, validation and test structures: disjoint, whole groups, the same for every network."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator

from jaxalign.structures.structure import Structure, StructureSet


@dataclasses.dataclass(frozen=True, eq=False)
class Splits:
    """Three disjoint sets of structures.

    Attributes:
      train: what parameters are fitted to.
      validation: what decides when to stop, and which step was best.
      test: looked at once, in the end.
    """

    train: StructureSet
    validation: StructureSet
    test: StructureSet

    def __iter__(self) -> Iterator[tuple[str, StructureSet]]:
        for field in dataclasses.fields(self):
            yield field.name, getattr(self, field.name)


def split_structures(
    structures: StructureSet,
    *,
    validation: int,
    test: int,
    train: int | None = None,
    seed: int = 0,
) -> Splits:
    """Splits structures at random, by their ids.

    Groups (single structures, where there are none) are put into the order of
    SHA-256(seed, group); the first fill the test set, the next the validation set, and the others
    are for training. So a split does not depend on the order of the structures, a smaller training
    set is part of a larger one, and no group is in two sets.

    Args:
      structures: what is split.
      validation: structures wanted for validation; a group that exceeds the number goes there
        whole.
      test: structures wanted for the test, in the same sense.
      train: structures to train on; None for all that are left.
      seed: of the order.

    Returns:
      The three sets, each in the order of `structures`.

    Raises:
      ValueError: a set would be empty, or there are fewer structures than wanted.
    """
    wanted = {"test": test, "validation": validation, "train": train}
    if any(count is not None and count < 1 for count in wanted.values()):
        raise ValueError(
            f"every split needs at least one structure: got {_counts(wanted)}; choose positive "
            "numbers"
        )
    found = _fill(structures, wanted, seed)
    short = [name for name, count in wanted.items() if len(found[name]) < (count or 1)]
    if short:
        sizes = {name: len(rows) for name, rows in found.items()}
        raise ValueError(
            f"{structures.name} has {len(structures):,} structures, too few for the split "
            f"{_counts(wanted)}: {' and '.join(short)} would be left with too few "
            f"({_counts(sizes)}); ask for less, or load more structures"
        )
    sets = {
        name: StructureSet([structures[row] for row in sorted(rows)], name=structures.name)
        for name, rows in found.items()
    }
    return Splits(**sets)


def _fill(
    structures: StructureSet, wanted: dict[str, int | None], seed: int
) -> dict[str, list[int]]:
    """Row numbers of each set."""
    groups: dict[str, list[int]] = {}
    for row, structure in enumerate(structures):
        groups.setdefault(_unit(structure), []).append(row)
    order = sorted(groups, key=lambda unit: hashlib.sha256(f"{seed}\n{unit}".encode()).digest())
    found: dict[str, list[int]] = {name: [] for name in wanted}
    names = iter(wanted)
    name = next(names)
    for unit in order:
        while wanted[name] is not None and len(found[name]) >= wanted[name]:
            following = next(names, None)
            if following is None:
                return found
            name = following
        found[name] += groups[unit]
    return found


def _unit(structure: Structure) -> str:
    # The first letter keeps a group apart from an id of the same text.
    return f"i{structure.id}" if structure.group is None else f"g{structure.group}"


def _counts(sizes: dict[str, int | None]) -> str:
    return ", ".join(f"{name}={'the rest' if n is None else n}" for name, n in sizes.items())
