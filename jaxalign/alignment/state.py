"""What every family of metrics needs of a run: rows, graphs, finished terms, counts of work."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int32

from jaxalign.alignment.graph_cache import GraphCache, NeighborIds
from jaxalign.alignment.inputs import Inputs, ModelInput
from jaxalign.alignment.plan import GraphSettings, MetricPlan
from jaxalign.alignment.resume import ValueCache, content_key
from jaxalign.embeddings.record import order_hash
from jaxalign.embeddings.sources import ModelRows, model_rows
from jaxalign.metrics._definition import Outcome
from jaxalign.metrics._pair import model_graphs
from jaxalign.pairwise.diagnostics import row_diagnostics
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.parallel.columns import choose_columns, deal
from jaxalign.parallel.mesh import choose_mesh
from jaxalign.profiling import traces

MANY_TIES = 0.01
"""Share of rows with a tie for the last neighbor, above which relabelled graphs are no null."""

Pair = tuple[str, str]
Outcomes = dict[tuple[MetricPlan, str, str], Outcome]


@dataclasses.dataclass
class Work:
    """Counts of what was computed and what an earlier run had left finished.

    Attributes:
      graphs_computed: neighbor searches.
      graphs_reused: graphs taken from the store.
      pairs_computed: terms of pairs (and of single models) that were computed.
      pairs_reused: terms taken from the store.
      sweeps: passes over the tiles of all models.
      accumulated: pairs of models whose products those passes summed.
      null_scores_computed: scores under sampled permutations that were computed.
      null_scores_reused: those taken from the store.
    """

    graphs_computed: int = 0
    graphs_reused: int = 0
    pairs_computed: int = 0
    pairs_reused: int = 0
    sweeps: int = 0
    accumulated: int = 0
    null_scores_computed: int = 0
    null_scores_reused: int = 0


class State:
    """A run in progress.

    Args:
      inputs: models over common ids.
      folder: where finished graphs and terms are kept; None keeps them in memory.
      tile_size: query rows per tile of the sweeps; None for each sweep's own.
      memory_budget: bytes that a sweep may hold.
      progress: print progress lines.
      keep_graphs: without a folder, keep graphs in memory; else they go to a temporary one.
      seed: of the random subsets that some metrics draw.
      mesh: devices that do the work; None means the default for so many structures and models.
      nulls: note the closed-form nulls of the scores.
      reuse: folder of another run like `folder`; its finished work is read, and left as it is.

    Attributes:
      given_mesh: the mesh that was asked for.
      grid: the mesh of neighbor searches, with several models at once on its columns.
      mesh: rows over all devices: the mesh of everything else.
    """

    def __init__(
        self,
        inputs: Inputs,
        *,
        folder: Path | None,
        tile_size: int | None,
        memory_budget: int,
        progress: bool,
        keep_graphs: bool = True,
        seed: int = 0,
        mesh: Mesh | None = None,
        nulls: bool = True,
        reuse: Path | None = None,
    ):
        self.inputs, self.tile_size, self.progress = inputs, tile_size, progress
        self.memory_budget, self.seed = memory_budget, seed
        self.usable = tuple(m for m in inputs.models if not m.reason)
        self.given_mesh, self.mesh = mesh, choose_mesh(mesh, len(inputs.ids))
        self.grid = choose_columns(mesh, len(inputs.ids), models=len(self.usable))
        self.names = tuple(m.name for m in self.usable)
        self.graphs = GraphCache(
            folder and folder / "graphs",
            temporary=not keep_graphs,
            beneath=reuse and reuse / "graphs",
        )
        self.values = ValueCache(folder and folder / "terms", beneath=reuse and reuse / "terms")
        self.work, self.seconds = Work(), {}
        self.model_diagnostics: dict[str, dict[str, dict]] = {}
        self.precision: dict[MetricPlan, str] = {}
        self.facts: dict[str, Any] = {}
        self.nulls: dict[tuple[MetricPlan, str, str], Any] | None = {} if nulls else None
        self.ids_hash = order_hash(inputs.ids)
        labels = inputs.groups
        self.groups_hash = None if labels is None else order_hash(tuple(map(str, labels)))
        self._rows: dict[tuple[str, str], ModelRows] = {}

    @property
    def n(self) -> int:
        """Number of structures."""
        return len(self.inputs.ids)

    def pairs(self, *, symmetric: bool) -> list[Pair]:
        """Pairs of usable models that are scored, models with themselves included."""
        return pairs(self.names, symmetric=symmetric)

    def label(self, words: str) -> str | None:
        """Label of a progress line, or None if none is wanted."""
        return words if self.progress else None

    def rows(self, model: ModelInput, normalize: str) -> ModelRows:
        """Normalized rows of a model, read in blocks."""
        key = model.name, normalize
        if key not in self._rows:
            self._rows[key] = model_rows(model.rows, normalize)
        return self._rows[key]

    def rows_key(self, model: ModelInput, normalize: str) -> str:
        """Content address of a model's normalized rows."""
        return content_key(
            values=model.digest, ids=self.ids_hash, jax=jax.__version__, normalize=normalize
        )

    def graph_key(self, model: ModelInput, settings: GraphSettings) -> str:
        """Content address of a model's graph under given settings; k is not part of it."""
        rows = self.rows_key(model, settings.normalize)
        return content_key(rows=rows, similarity=settings.similarity, groups=self.groups_hash)

    def build_graphs(self, settings: GraphSettings, k: int) -> None:
        """Sees to it that the store has a graph of every model: searches those that it lacks."""
        missing = []
        for model in self.usable:
            found = self.graphs.get(self.graph_key(model, settings), k=k)
            if found is None:
                missing.append(model)
            else:
                self.work.graphs_reused += 1
                self.model_diagnostics.setdefault(model.name, {})[settings.label] = found[1]
        for group, grid in deal(self.grid, [model.rows.shape[1] for model in missing]):
            searched = [missing[number] for number in group]
            names = searched[0].name if len(searched) == 1 else f"{len(searched)} models"
            graphs = model_graphs(
                [self.rows(model, settings.normalize) for model in searched],
                k=k,
                similarity=settings.similarity,
                groups=self.inputs.groups,
                tile_size=self.tile_size,
                progress=self.label(f"neighbors of {names}"),
                mesh=grid,
            )
            for number, graph, facts in graphs:
                model = searched[number]
                facts |= {"dtype": str(model.rows.dtype)}
                self.graphs.put(self.graph_key(model, settings), graph, facts)
                self.model_diagnostics.setdefault(model.name, {})[settings.label] = facts
                self.work.graphs_computed += 1

    def graph(self, model: ModelInput, settings: GraphSettings, k: int) -> GraphStatistics:
        """Neighbor graph of a model, which `build_graphs` has seen to."""
        key = self.graph_key(model, settings)
        found = self.graphs.get(key, k=k)
        if found is None:  # changed on disk meanwhile
            self.build_graphs(settings, k)
            found = self.graphs.get(key, k=k)
        return found[0]

    def neighbor_ids(
        self, model: ModelInput, settings: GraphSettings, k: int
    ) -> Int32[np.ndarray, "n k"] | NeighborIds:
        """Neighbor ids alone of a graph that is there: read by rows where graphs are stored."""
        return self.graphs.ids(self.graph_key(model, settings), k=k)

    def inspect(self, model: ModelInput, normalize: str) -> None:
        """Diagnostics of a model whose rows are compared without any graph."""
        # On every process in the same order: column moments are taken together.
        self.rows(model, normalize)
        seen = self.model_diagnostics.setdefault(model.name, {})
        if any(label.split("/")[0] == normalize for label in seen):
            return
        key = self.rows_key(model, normalize)
        found = self.values.get("rows", key)
        if found is None:
            found = row_diagnostics(self.rows(model, normalize))
            found |= {"dtype": str(model.rows.dtype)}
            self.values.update("rows", {key: found})
        seen[normalize] = found

    def stored(self, kind: str, keys: Mapping[Pair, str]) -> tuple[dict[Pair, Any], list[Pair]]:
        """Finished terms of pairs, and the pairs that have none yet; counts both."""
        found = {pair: self.values.get(kind, key) for pair, key in keys.items()}
        finished = {pair: value for pair, value in found.items() if value is not None}
        self.work.pairs_computed += len(keys) - len(finished)
        self.work.pairs_reused += len(finished)
        return finished, [pair for pair in keys if pair not in finished]

    def count_sweep(self, accumulated: int) -> None:
        """Counts a pass over the tiles of all models, and the pairs of models that it summed."""
        self.work.sweeps += 1
        self.work.accumulated += accumulated

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the wall time of a block to `seconds`, and names it in profiler traces."""
        start = time.perf_counter()
        with traces.stage(stage):
            yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start


def is_tied(state: State, name: str, settings: GraphSettings) -> bool:
    """Whether which neighbors count is decided by row number in too many rows of this model."""
    return state.model_diagnostics[name][settings.label]["tie_fraction"] > MANY_TIES


def pairs(names: Sequence[str], *, symmetric: bool) -> list[Pair]:
    """All pairs with the diagonal; both orders unless symmetric."""
    return [
        (a, b) for i, a in enumerate(names) for j, b in enumerate(names) if j >= i or not symmetric
    ]


def covering(missing: Iterable[Pair], names: Sequence[str]) -> list[int]:
    """Numbers of models such that every missing pair has one of them: the new ones of a sweep.

    A model without its own term is new; what then remains is a pair of two known models, of which
    the later one is taken.
    """
    missing = list(missing)
    new = {a for a, b in missing if a == b}
    for pair in missing:
        if not new.intersection(pair):
            new.add(max(pair, key=names.index))
    return [i for i, name in enumerate(names) if name in new]


def block_pairs(count: int, size: int) -> Iterator[tuple[list[int], list[int]]]:
    """Pairs of blocks of at most `size` of `count` models, that together hold every pair of models.

    Blocks are as equal as possible; with `count <= 2 * size` there is one single block.
    """
    if count <= 2 * size:
        yield list(range(count)), list(range(count))
        return
    number = -(-count // size)
    edges = [round(i * count / number) for i in range(number + 1)]
    blocks = [list(range(a, b)) for a, b in itertools.pairwise(edges)]
    for i, first in enumerate(blocks):
        for second in blocks[i:]:
            yield first, second


def pick(
    values: np.ndarray, new: Sequence[int], names: Sequence[str], wanted: Sequence[Pair]
) -> dict[Pair, Any]:
    """Entries of symmetric sums [new models, all models] at the wanted pairs."""
    row = {names[i]: r for r, i in enumerate(new)}
    column = {name: i for i, name in enumerate(names)}
    found = {}
    for a, b in wanted:
        first, second = (a, b) if a in row else (b, a)
        found[a, b] = values[row[first], column[second]].tolist()
    return found
