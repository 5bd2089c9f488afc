"""Candidates and tasks of one data set over the same structures in the same order."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float64, Int64
from scipy.sparse.csgraph import connected_components

from jaxalign.alignment.inputs import collect_inputs
from jaxalign.embeddings.record import order_hash
from jaxalign.embeddings.sources import Readable, SelectedRows
from jaxalign.learning.selection.task import Task
from jaxalign.models.card import ModelCard
from jaxalign.structures.composition import fit_composition


@dataclasses.dataclass(frozen=True, eq=False)
class TaskValues:
    """A task over the structures of a pool.

    Attributes:
      name: of the task.
      values: `[n]` labels.
      counts: `[n, elements]`, or None where labels are predicted as they are.
    """

    name: str
    values: Float64[np.ndarray, " n"]
    counts: Float64[np.ndarray, "n elements"] | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of labels and counts."""
        state = hashlib.sha256(self.values.tobytes())
        if self.counts is not None:
            state.update(f"{self.counts.shape}".encode() + self.counts.tobytes())
        return state.hexdigest()

    def beyond_composition(
        self, train: Int64[np.ndarray, " train"]
    ) -> tuple[Float64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Labels less the composition model that is fitted on training rows alone.

            y − X β,  β = X_train⁺ y_train

        Args:
          train: row numbers.

        Returns:
          Residuals of all rows, and which rows have no element that is absent from the training
          rows: of others the model says nothing.
        """
        if self.counts is None:
            return self.values, np.ones(len(self.values), bool)
        fitted = fit_composition(self.values[train], self.counts[train])
        unseen = ~self.counts[train].any(axis=0)
        known = ~self.counts[:, unseen].any(axis=1)
        return self.values - self.counts @ fitted, known


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """Candidates and tasks that share their structures.

    Attributes:
      dataset: name of the data set.
      ids: sample ids, in order.
      rows: candidate → its embeddings `[n, d]`, read when needed.
      digests: candidate → SHA-256 of its rows.
      cards: candidate → facts.
      tasks: labels over the same rows.
      groups: `[n]` number of each structure's group.
      notes: sentences on what was left out.
    """

    dataset: str
    ids: tuple[str, ...]
    rows: Mapping[str, Readable]
    digests: Mapping[str, str]
    cards: Mapping[str, ModelCard]
    tasks: tuple[TaskValues, ...]
    groups: Int64[np.ndarray, " n"]
    notes: tuple[str, ...] = ()

    @property
    def order_hash(self) -> str:
        """SHA-256 of the ids in order."""
        return order_hash(self.ids)

    def families(self) -> dict[str, str]:
        """Candidate → family; one without a family is a family of its own."""
        return {name: card.family or f"({name})" for name, card in self.cards.items()}

    def embedding(self, candidate: str) -> Float64[np.ndarray, "n d"]:
        """Rows of one candidate."""
        return np.asarray(self.rows[candidate].take(np.arange(len(self.ids))), np.float64)


def make_pool(dataset: str, candidates: Mapping[str, Any], tasks: Sequence[Task]) -> Pool:
    """Matches candidates and tasks by sample id.

    Args:
      dataset: name of the data set.
      candidates: label → array, `Embeddings` or `StoredEmbeddings`; at least two.
      tasks: tasks of the data set.

    Returns:
      The structures that all candidates represent and all tasks label, in the order of the first
      candidate.

    Raises:
      ValueError: no structure in common, rows that are not finite (named), or a label that does not
        vary over what is left.
    """
    inputs = collect_inputs(candidates, ids=None, groups=None, on_nonfinite="error")
    kept = np.array([all(i in task.labels for task in tasks) for i in inputs.ids], bool)
    if not kept.any():
        raise ValueError(
            f"{dataset or 'the data set'}: no structure has both embeddings and labels; ids of "
            f"embeddings are like {inputs.ids[0]!r}, of labels like {next(iter(tasks[0].labels))!r}"
        )
    index = np.flatnonzero(kept)
    ids = tuple(inputs.ids[i] for i in index)
    notes = [
        f"{name} lacks {count} structures that others have"
        for name, count in _lacking(candidates, inputs.ids).items()
    ]
    if notes or len(ids) < max(len(task.labels) for task in tasks):
        notes.append(
            f"all candidates are compared on the {len(ids):,} structures that all represent and "
            "all tasks label"
        )
    return Pool(
        dataset=dataset,
        ids=ids,
        rows={model.name: SelectedRows(model.rows, index) for model in inputs.models},
        digests={model.name: model.digest for model in inputs.models},
        cards={model.name: model.card for model in inputs.models},
        tasks=tuple(_values(task, ids) for task in tasks),
        groups=_groups(tasks, ids),
        notes=tuple(notes),
    )


def _lacking(candidates: Mapping[str, Any], common: Sequence[str]) -> dict[str, int]:
    """Candidates that do not represent all structures that some candidate represents."""
    known = {name: x.ids for name, x in candidates.items() if hasattr(x, "ids")}
    every = set(common).union(*known.values())
    return {name: len(every) - len(ids) for name, ids in known.items() if len(ids) < len(every)}


def _values(task: Task, ids: tuple[str, ...]) -> TaskValues:
    values = np.array([task.labels[i] for i in ids], np.float64)
    if np.ptp(values) == 0:
        raise ValueError(
            f"{task.name}: all labels of the {len(ids)} structures that every candidate represents "
            "are equal: nothing tells candidates apart"
        )
    counts = None if task.counts is None else task.counts.loc[list(ids)].to_numpy(np.float64)
    return TaskValues(task.name, values, counts)


def _groups(tasks: Sequence[Task], ids: tuple[str, ...]) -> Int64[np.ndarray, " n"]:
    """Numbers of groups: structures that any task puts together stay together."""
    nodes: dict[tuple[int, Any], int] = {}
    links = [
        (row, len(ids) + nodes.setdefault((number, task.groups[i]), len(nodes)))
        for number, task in enumerate(tasks)
        if task.groups
        for row, i in enumerate(ids)
        if i in task.groups
    ]
    rows, groups = np.array(links, np.int64).reshape(-1, 2).T
    size = len(ids) + len(nodes)
    graph = scipy.sparse.coo_matrix((np.ones(len(rows), bool), (rows, groups)), shape=(size, size))
    return connected_components(graph, directed=False)[1][: len(ids)].astype(np.int64)
