"""Batches of packed graphs: the atoms, edges and angles of many structures in flat arrays.

A batch of G structures has one array for each field, in which the structures follow one another:
`[atoms]`, `[edges, 3]`, … Its capacities are chosen from the data, so that little is padding:

1. examples are dealt to as many batches as the budget of the fullest axis asks for, the largest
   first, each to the batch that stays least full (largest processing time first);
2. the fullest batch sets the capacity of each axis for all of them, rounded up on a ladder whose
   steps grow by `LADDER`: so chunks of like structures share one shape, and on each axis at most
   the share 1 − 1/`LADDER`, beyond what an uneven deal leaves, is padding;
3. a structure above the budget gets a batch of its own.

Every axis ends in at least one slot of padding, which padded indices point to: the edges of the
padding join the last atom to itself, and whatever these compute reaches no real atom.

References:
  Graham, Bounds on multiprocessing timing anomalies, SIAM J. Appl. Math. 17, 416 (1969): the deal
  is at most 4/3 of the best one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Array, Float, Int

from jaxalign.models.encoder import Batch, BatchPlan, Example, NodeFeatures

LADDER = 1.15
_COARSE = 1.5  # of axes whose padding costs next to nothing
_STEP = 8
_NODES, _GRAPHS, _MOST = "atoms", "graphs", "most"

PackedShape = tuple[tuple[str, int], ...]  # (axis, capacity), the same axes in the same order


@dataclasses.dataclass(frozen=True)
class Field:
    """One array of a batch.

    Attributes:
      axis: what it runs along: `"atoms"`, `"edges"`, any other name, or `"graphs"` for one value
        a structure.
      points_to: axis whose elements its integers number, structure by structure; None for values.
      fill: value of the padding (a tuple for arrays with a second axis); of indices the last slot.
      dtype: of the batch's array.
      trailing: shape of one element, where `fill` is a single number that does not tell it.
    """

    axis: str
    points_to: str | None = None
    fill: float | tuple[float, ...] = 0
    dtype: Any = np.float32
    trailing: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class GraphPacking:
    """Packs many structures into flat arrays.

    Attributes:
      layout: name of each array of an example → what it is; one at least runs along `"atoms"`.
      budget: axis → about how many elements a batch may hold. Relative sizes matter too: work is
        counted in shares of the budget.
    """

    layout: Mapping[str, Field]
    budget: Mapping[str, int]

    @property
    def smallest(self) -> PackedShape:
        """Room for padding alone."""
        return self._shape(dict.fromkeys(self.budget, 0.0), graphs=1, most=1)

    def check(self, example: Example) -> None:
        """Accepts everything: an example above the budget has a batch of its own."""

    def counts(self, example: Example) -> dict[str, int]:
        """Elements of an example along each axis of the budget."""
        first = {field.axis: name for name, field in reversed(self.layout.items())}
        return {axis: len(example[first[axis]]) for axis in self.budget}

    def plan(self, examples: Sequence[Example]) -> tuple[BatchPlan, ...]:
        """Deals examples to batches as the module's docstring says.

        Args:
          examples: inputs of structures.

        Returns:
          Batches that together hold every example once; within a batch, in order.
        """
        if not examples:
            return ()
        counts = np.array([list(self.counts(example).values()) for example in examples], float)
        loads = counts / np.array([*self.budget.values()], float)
        over = loads.max(axis=1) > 1
        plans = [self._plan(np.array([row]), counts) for row in np.flatnonzero(over).tolist()]
        for plan in plans:
            logging.info("a structure above the usual size runs alone in %s", dict(plan.shape))
        usual = np.flatnonzero(~over)
        if not len(usual):
            return tuple(plans)
        batches = [usual[rows] for rows in _deal_evenly(loads[usual])]
        # One shape for all: that of the fullest along each axis.
        full = np.max([counts[rows].sum(axis=0) for rows in batches], axis=0)
        graphs, most = max(map(len, batches)), self._most(counts[usual])
        shape = self._shape(dict(zip(self.budget, full, strict=True)), graphs=graphs, most=most)
        return (*(self._plan(rows, counts, shape) for rows in batches), *plans)

    def collate(self, examples: Sequence[Example], shape: PackedShape) -> Batch:
        """Concatenates examples and pads to the capacities of `shape`.

        Args:
          examples: at most as many as fit.
          shape: of a plan.

        Returns:
          The fields of the layout, and `graph` `[atoms]` int32 (number of the structure of each
          atom; padding has the number of graphs), `slots` `[graphs, most]` int32 (atoms of each
          structure, −1 where there is none) and `{axis}_mask` for every axis of the budget.
        """
        room = dict(shape)
        counts = {
            axis: [self.counts(example)[axis] for example in examples] for axis in self.budget
        }
        starts = {axis: np.cumsum([0, *counts[axis]]) for axis in self.budget}
        batch = {
            name: _fill(name, field, examples, starts, room) for name, field in self.layout.items()
        }
        for axis in self.budget:
            batch[f"{axis}_mask"] = np.arange(room[axis]) < starts[axis][-1]
        atoms = counts[_NODES]
        graph = np.full(room[_NODES], room[_GRAPHS], np.int32)
        graph[: sum(atoms)] = np.repeat(np.arange(len(atoms)), atoms)
        slots = np.full((room[_GRAPHS], room[_MOST]), -1, np.int32)
        for number, (start, count) in enumerate(zip(starts[_NODES], atoms, strict=False)):
            slots[number, :count] = np.arange(start, start + count)
        return {**batch, "graph": graph, "slots": slots}

    def _plan(
        self, rows: np.ndarray, counts: np.ndarray, shape: PackedShape | None = None
    ) -> BatchPlan:
        total = dict(zip(self.budget, counts[rows].sum(axis=0), strict=True))
        most = self._most(counts[rows])
        shape = shape or self._shape(total, graphs=len(rows), most=most)
        work = [sum(n[a] / self.budget[a] for a in self.budget) for n in (total, dict(shape))]
        return BatchPlan(shape, rows, *map(float, work))

    def _most(self, counts: np.ndarray) -> int:
        return int(counts[:, [*self.budget].index(_NODES)].max())

    def _shape(self, total: Mapping[str, float], *, graphs: int, most: int) -> PackedShape:
        # One more than is needed: the slot of the padding.
        axes = [(axis, _round_up(int(count) + 1, LADDER)) for axis, count in total.items()]
        return ((_GRAPHS, _round_up(graphs, _COARSE)), (_MOST, _round_up(most, _COARSE)), *axes)


def _round_up(count: int, ratio: float) -> int:
    """The next size of a ladder of multiples of 8 that grow by about the ratio."""
    size = _STEP
    while size < count:
        size = max(size + _STEP, _STEP * round(size * ratio / _STEP))
    return size


def _deal_evenly(loads: Float[np.ndarray, "examples axes"]) -> list[Int[np.ndarray, " rows"]]:
    """Row numbers of each batch, ascending; no batch is empty."""
    count = max(1, int(np.ceil(loads.sum(axis=0).max())))
    sums = np.zeros((min(count, len(loads)), loads.shape[1]))
    batches: list[list[int]] = [[] for _ in sums]
    for row in np.argsort(-loads.max(axis=1), kind="stable").tolist():
        chosen = int(np.argmin((sums + loads[row]).max(axis=1)))
        sums[chosen] += loads[row]
        batches[chosen].append(row)
    return [np.sort(np.array(rows, np.int64)) for rows in batches if rows]


def _fill(
    name: str,
    field: Field,
    examples: Sequence[Example],
    starts: Mapping[str, np.ndarray],
    room: Mapping[str, int],
) -> np.ndarray:
    parts = [np.asarray(example[name]) for example in examples]
    if field.axis == _GRAPHS:
        parts = [part[None] for part in parts]
    if field.points_to is not None:
        offsets = starts[field.points_to][:-1]
        parts = [part + offset for part, offset in zip(parts, offsets, strict=True)]
    fill = room[field.points_to] - 1 if field.points_to is not None else field.fill
    # The padding tells the trailing shape, also of a batch without examples.
    trailing = field.trailing or np.shape(fill)
    array = np.empty((room[field.axis], *trailing), field.dtype)
    array[:] = fill
    if parts:
        joined = np.concatenate(parts)
        array[: len(joined)] = joined
    return array


def unpack_atoms(values: Float[Array, "atoms d"], batch: Mapping[str, Any]) -> NodeFeatures:
    """Features of the atoms of each structure, out of flat features of all atoms.

    Args:
      values: one row an atom of the batch.
      batch: what `GraphPacking.collate` gives.

    Returns:
      `[graphs, most, d]` values and their mask.
    """
    slots = jnp.asarray(batch["slots"])
    rows = values.at[jnp.maximum(slots, 0)].get(mode="promise_in_bounds")
    return NodeFeatures(rows, slots >= 0)


def sum_atoms(values: Float[Array, " atoms"], batch: Mapping[str, Any]) -> Float[Array, " graphs"]:
    """Sum over the atoms of each structure; padding does not enter, not even as 0 · NaN.

    Args:
      values: one number an atom of the batch.
      batch: what `GraphPacking.collate` gives.

    Returns:
      `[graphs]`; 0 for empty slots.
    """
    return jax.ops.segment_sum(
        values, jnp.asarray(batch["graph"]), len(batch["slots"]), indices_are_sorted=True
    )
