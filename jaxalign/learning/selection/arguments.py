"""Checks of what a selection is asked for, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxalign.alignment.plan import plan_metrics
from jaxalign.learning.selection.alignment_criteria import NORMALIZE, SIMILARITY
from jaxalign.learning.selection.criteria import Criterion, list_criteria
from jaxalign.learning.selection.draws import Draw, check_sizes
from jaxalign.learning.selection.pool import Pool, make_pool
from jaxalign.learning.selection.task import Task

_ROUNDING = 1e-12  # labels that differ by less, relative to the largest, are equal


def criterion_of(criteria: Sequence[Criterion], name: str) -> Criterion:
    """The criterion of this id.

    Raises:
      ValueError: there is none; all ids are named.
    """
    for criterion in criteria:
        if criterion.id == name:
            return criterion
    raise ValueError(f"rank_by must be one of {', '.join(c.id for c in criteria)}: got {name!r}")


def make_pools(candidates: Mapping[str, Any], tasks: Sequence[Task]) -> list[Pool]:
    """One pool a data set, in the order of the tasks.

    Args:
      candidates: label → embeddings, or data set → label → embeddings.
      tasks: with different names.

    Raises:
      ValueError: no tasks, tasks of one name, fewer than two candidates, or a data set without; and
        as `make_pool`.
    """
    if not candidates or not tasks:
        raise ValueError(
            f"a selection needs candidates and tasks: got {len(candidates)} and {len(tasks)}"
        )
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise ValueError(f"tasks must have different names: got {names}")
    datasets = list(dict.fromkeys(task.dataset for task in tasks))
    by_dataset = _by_dataset(candidates, datasets)
    few = [name for name in datasets if len(by_dataset[name]) < 2]
    if few:
        raise ValueError(
            f"{few[0] or 'a selection'}: {len(by_dataset[few[0]])} candidate, and a choice needs 2"
        )
    return [
        make_pool(name, by_dataset[name], [task for task in tasks if task.dataset == name])
        for name in datasets
    ]


def _by_dataset(
    candidates: Mapping[str, Any], datasets: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    nested = all(isinstance(own, Mapping) for own in candidates.values())
    if not nested and len(datasets) > 1:
        raise ValueError(
            f"tasks of several data sets {datasets} need candidates by data set: pass "
            "{data set: {label: embeddings}}"
        )
    found = dict(candidates) if nested else {datasets[0]: candidates}
    if unknown := [name for name in datasets if name not in found]:
        raise ValueError(
            f"no candidates for the data sets {unknown} of tasks: there are {list(found)}"
        )
    return found


def check_settings(
    n: int,
    *,
    target: int | None,
    test: int,
    draws: int,
    metrics: Sequence[str],
    k: Any,
    rank_by: str,
    permutations: int,
    confidence: float,
) -> None:
    """Checks whatever can be checked without embeddings.

    Args:
      n: labelled structures.
      target: as in `select`, and so the rest.
      test: likewise.
      draws: likewise.
      metrics: likewise.
      k: likewise.
      rank_by: likewise.
      permutations: likewise.
      confidence: likewise.

    Raises:
      ValueError: sizes that do not fit, an unknown metric or criterion, a k that is too large, no
        permutation, or a confidence that is none.
    """
    if permutations < 1 or not 0 < confidence < 1:
        raise ValueError(
            "permutations must be at least 1 and confidence between 0 and 1: got "
            f"{permutations} and {confidence}"
        )
    criterion_of(list_criteria(metrics), rank_by)
    check_sizes(n, target=target, test=test, draws=draws)
    size = n if target is None else target
    plan_metrics(tuple(metrics), k=k, normalize=NORMALIZE, similarity=SIMILARITY, n=size)


def check_labels(pool: Pool, draws: Sequence[Draw]) -> None:
    """Checks that labels vary in every target set, beyond composition where that is taken off.

    Raises:
      ValueError: they do not.
    """
    for task in pool.tasks:
        for draw in draws:
            labels = task.beyond_composition(draw.target)[0][draw.target]
            if np.ptp(labels) <= _ROUNDING * np.abs(task.values[draw.target]).max():
                beyond = " beyond composition" if task.counts is not None else ""
                raise ValueError(
                    f"{task.name}: all labels of target set {draw.number} are equal{beyond} "
                    f"({len(labels)} structures): pass a larger target, or another label"
                )
