"""All searches of some models: device tiles in the cheapest precision that settles most rows.

Precisions are tried on a sample of rows, cheapest first. Rows that the chosen one leaves uncertain
are searched again in float64 on the host. The result is exact either way, so neither the choice nor
the speed of a device ever shows in it. Models on different columns of a mesh are searched at once.

Tried on two CPU cores with bfloat16 units, shared with other work (N = 20,480, D = 256, k = 25; CPU
time over that of the float32 product alone):

* bfloat16 product in column groups that stay in cache, reduced at once: 0.31. The product of
  all columns at once is no faster than float32: writing the result is then the whole cost.
* keeping the product, then block maxima and the blocks chosen: 0.9, and 1.3 with one call a
  tile, because every call faults its memory in again.
* keeping four values a block, the place packed into the value: 0.8.
* thresholds by bisection instead of heaps: cheaper threshold, but collecting what lies above it
  costs ten times the heap on CPU.
* gathers and float64 values of 40 candidates: 0.07.
* symmetric tiles: not built. They save half of a product that is no longer the largest part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxalign.pairwise.database import Member, fast_bfloat16, make_database
from jaxalign.pairwise.duplicates import Units
from jaxalign.pairwise.exhaustive import (
    Exhaustive,
    Lists,
    exchange_lists,
    join,
    search_shares,
    with_replaced,
)
from jaxalign.pairwise.ordering import padded_width
from jaxalign.pairwise.row_blocks import RowBlocks, column_means
from jaxalign.pairwise.search_calls import Found, SearchCalls, Searches
from jaxalign.pairwise.search_plan import search_plan
from jaxalign.parallel.columns import make_columns, place_columns
from jaxalign.parallel.multihost import exchange_objects, from_primary, my_share
from jaxalign.progress import Progress

# Up to this many values the host searches alone: it takes less time than compiling.
HOST_ROWS = 2048
_MEASURED_ROWS = 8192  # from here on, precisions are measured against each other
_MOST_UNCERTAIN = 0.02  # share of sampled rows beyond which the next precision is tried


class Task(NamedTuple):
    """The searches of one model.

    Attributes:
      rows: distinct rows of unit scale; a process reads those of its own devices.
      searches: query rows, ascending, and what they must avoid.
      k: values wanted of each search, at most the number of rows.
      whole_ties: whether a tie at the last place makes a search uncertain.
    """

    rows: RowBlocks
    searches: Units
    k: int
    whole_ties: bool


class Swept(NamedTuple):
    """Outcome of all searches of one model.

    Attributes:
      lists: nearest values of every search, nearest first, every tie with the k-th included.
      precision: of the proposals.
      rechecked: searches done again in float64.
      fully: searches done in float64 at once, without proposals.
    """

    lists: Lists
    precision: str
    rechecked: int
    fully: int


def sweep(
    tasks: Sequence[Task],
    *,
    euclidean: bool,
    tile: int,
    mesh: Mesh,
    gather: bool | None,
    progress: Progress,
) -> list[Swept]:
    """Searches everything; collective: every process gets the same lists.

    Args:
      tasks: models, at most one a column of the mesh.
      euclidean: distances instead of inner products.
      tile: query rows per tile.
      mesh: devices that work.
      gather: see `search_plan`.
      progress: advanced by searches.
    """
    swept: dict[int, Swept] = {}
    for number, task in enumerate(tasks):
        plan = search_plan(task.rows.n, task.rows.d, k=task.k, mesh=mesh)
        if task.rows.n <= HOST_ROWS or 2 * plan.candidates > task.rows.n:
            total = len(task.searches.value)
            swept[number] = Swept(_on_host(task, euclidean), "float64", 0, total)
            progress.advance(total)
    left = [number for number in range(len(tasks)) if number not in swept]
    if left:
        group = _Group([tasks[n] for n in left], euclidean, tile, mesh, gather)
        swept |= dict(zip(left, group.run(progress), strict=True))
    return [swept[number] for number in range(len(tasks))]


def _on_host(task: Task, euclidean: bool) -> Lists:
    # Few values: every process reads them all, and searches for its share of the rows.
    rows = task.rows.read(0, task.rows.n)
    host = Exhaustive(rows, task.searches.codes, euclidean=euclidean)
    mine = my_share(range(len(task.searches.value)))
    value, avoid = (part[mine.start : mine.stop] for part in task.searches[:2])
    return join(exchange_lists(host.search(rows[value], avoid, task.k)))


class _Group:
    """Models that are searched on the devices, one on each column of the mesh."""

    def __init__(self, tasks: Sequence[Task], euclidean: bool, tile: int, mesh: Mesh, gather):
        self._euclidean, self._mesh = euclidean, mesh
        self._columns = make_columns(mesh, [task.rows.n for task in tasks])
        self._tasks = [
            task._replace(rows=task.rows.kept(*column.kept))
            for task, column in zip(tasks, self._columns, strict=True)
        ]
        self._searches = [
            Searches.of(task.searches, column, task.k, task.whole_ties)
            for task, column in zip(tasks, self._columns, strict=True)
        ]
        self._plan = search_plan(
            max(task.rows.n for task in tasks),
            max(task.rows.d for task in tasks),
            k=max(task.k for task in tasks),
            mesh=mesh,
            queries=max(int(np.diff(searches.edges).max()) for searches in self._searches),
            tile=tile,
            gather=gather,
        )

    def run(self, progress: Progress) -> list[Swept]:
        precision, calls = self._choose()
        found = calls.all(progress)
        del calls  # the devices need the memory
        return [
            self._settle(*each, precision)
            for each in zip(self._tasks, self._columns, found, strict=True)
        ]

    def _settle(self, task: Task, column, found: Found, precision: str) -> Swept:
        """Searches again in float64 what the devices have left uncertain."""
        uncertain = np.flatnonzero(~found.certain)
        again = search_shares(
            task.rows,
            column.own,
            task.searches.codes,
            task.searches.value[uncertain],
            task.searches.avoid[uncertain],
            task.k,
            euclidean=self._euclidean,
        )
        counts = (found.keys > -np.inf).sum(axis=1)
        lists = with_replaced(found.keys, found.ids, counts, uncertain, again)
        return Swept(lists, precision, len(uncertain), 0)

    def _choose(self) -> tuple[str, SearchCalls]:
        """The first precision that settles nearly all rows of a sample, ready to search."""
        most = max(task.rows.n for task in self._tasks)
        fast = most >= _MEASURED_ROWS and from_primary(fast_bfloat16())
        ladder = ("bfloat16", "bfloat16x3") if fast else ("float32",)
        members = [
            Member(task.rows, task.searches.codes, column_means(task.rows), column)
            for task, column in zip(self._tasks, self._columns, strict=True)
        ]
        rows = self._place_rows()
        for precision in ladder:
            database, bounds = make_database(
                members, self._plan, self._mesh, euclidean=self._euclidean, precision=precision
            )
            calls = SearchCalls(
                self._searches,
                [task.rows for task in self._tasks],
                self._columns,
                self._plan,
                rows,
                database,
                bounds,
                euclidean=self._euclidean,
            )
            if precision == ladder[-1] or self._suffices(calls):
                break
        return precision, calls

    def _suffices(self, calls: SearchCalls) -> bool:
        tried = [[int(part.certain.sum()), len(part.certain)] for part in calls.sample()]
        right, total = np.sum(exchange_objects(tried), axis=0).T
        return bool((total - right <= _MOST_UNCERTAIN * total).all())

    def _place_rows(self) -> jax.Array:
        """Rows that decide, of one width in all columns: zeros add nothing to any value."""
        width = padded_width(max(task.rows.d for task in self._tasks))

        def read(task: Task):
            missing = width - task.rows.d
            return lambda a, b: np.pad(task.rows.read(a, b), ((0, 0), (0, missing)))

        return place_columns([read(task) for task in self._tasks], self._columns)
