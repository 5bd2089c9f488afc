"""Repeated draws of a small target set, and of training and test rows to judge the choice by.

The target set is part of the training rows and never of the test rows; a group is on one side.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from jaxtyping import Int64

LEAST_TARGET = 20
"""Structures that cross-validated probes need."""


@dataclasses.dataclass(frozen=True, eq=False)
class Draw:
    """One target set with its held-out split.

    Attributes:
      number: of the draw, from 0.
      target: rows whose labels the criteria see.
      train: rows that probes of the held-out error are trained on, the target set among them;
        empty if nothing is held out.
      test: rows that they are judged on.
    """

    number: int
    target: Int64[np.ndarray, " target"]
    train: Int64[np.ndarray, " train"]
    test: Int64[np.ndarray, " test"]

    @property
    def digest(self) -> str:
        """SHA-256 of all rows."""
        state = hashlib.sha256()
        for rows in (self.target, self.train, self.test):
            state.update(f"{len(rows)}:".encode() + rows.tobytes())
        return state.hexdigest()


def repeated_draws(
    groups: Int64[np.ndarray, " n"], *, target: int | None, test: int, draws: int, seed: int
) -> tuple[Draw, ...]:
    """Seeded draws, each with its own target set and split.

    Args:
      groups: number of each structure's group.
      target: structures of the target set, each of another group; None for all structures, of
        which then none is held out.
      test: least number of test rows (whole groups are drawn until they are reached); 0 holds
        nothing out.
      draws: how many; a single one where the target set is everything.
      seed: of all draws.

    Returns:
      The draws.

    Raises:
      ValueError: too few structures or groups for these sizes, with sizes that fit.
    """
    check_sizes(len(groups), target=target, test=test, draws=draws)
    if target is None:
        rows = np.arange(len(groups), dtype=np.int64)
        return (Draw(0, rows, rows[:0], rows[:0]),)
    return tuple(_draw(groups, target, test, number, seed) for number in range(draws))


def check_sizes(n: int, *, target: int | None, test: int, draws: int) -> None:
    """Checks that target sets and test sets fit.

    Args:
      n: labelled structures.
      target: as in `repeated_draws`.
      test: likewise.
      draws: likewise.

    Raises:
      ValueError: they do not.
    """
    if draws < 1 or test < 0:
        raise ValueError(f"draws must be at least 1 and test at least 0: got {draws} and {test}")
    size = n if target is None else target
    if size < LEAST_TARGET:
        raise ValueError(
            f"a target set needs at least {LEAST_TARGET} labelled structures for cross-validation: "
            f"got {size}"
        )
    if target is None and (test > 0 or draws > 1):
        raise ValueError(
            "with target=None all labelled structures are the target set, and nothing can be held "
            f"out: pass test=0 and draws=1, got test={test} and draws={draws}"
        )
    if target is not None and target + test > n:
        raise ValueError(
            f"{target} target and {test} test structures were asked for of {n} labelled ones: pass "
            "smaller numbers, or test=0 and target=None (0 on the command line), which ranks alone"
        )


def _draw(groups: np.ndarray, target: int, test: int, number: int, seed: int) -> Draw:
    rng = np.random.default_rng([seed, number])
    kinds, group = np.unique(groups, return_inverse=True)
    place = rng.permutation(len(kinds))[group]  # of each row's group in a random order
    reached = np.cumsum(np.bincount(place, minlength=len(kinds)))
    tested = int(np.searchsorted(reached, test)) + 1 if test else 0
    held_out = place < tested
    rows = rng.permutation(len(groups))
    rows = rows[~held_out[rows]]
    # Of every other group one row, groups in their random order.
    _, first = np.unique(place[rows], return_index=True)
    chosen = rows[first[:target]]
    if len(chosen) < target:
        raise ValueError(
            f"{target} target structures of different groups were asked for, but beside {test} "
            f"test structures there are {len(chosen)} groups: pass a smaller target or test"
        )
    train = np.sort(rows) if test else rows[:0]
    return Draw(number, np.sort(chosen), train, np.flatnonzero(held_out))
