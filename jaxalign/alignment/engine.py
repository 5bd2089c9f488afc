"""All pairs of all models: one graph a model and setting, then terms of pairs, then scores."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, Int32

from jaxalign.alignment.inputs import Inputs, ModelInput
from jaxalign.alignment.plan import GraphSettings, MetricPlan, graph_sizes
from jaxalign.alignment.resume import GraphCache, TermCache, content_key
from jaxalign.embeddings.record import order_hash
from jaxalign.metrics._pair import degenerate, model_graph
from jaxalign.pairwise.edges import GraphStatistics, shared_edges
from jaxalign.progress import Progress

_PAIRS = 64  # pairs of one device call: long enough to hide dispatch, short enough for progress


@dataclasses.dataclass(frozen=True)
class PairScore:
    """One score of one ordered pair of models."""

    plan: MetricPlan
    a: str
    b: str
    value: float
    reason: str


@dataclasses.dataclass
class Work:
    """Counts of what was computed and what an earlier run had left finished."""

    graphs_computed: int = 0
    graphs_reused: int = 0
    pairs_computed: int = 0
    pairs_reused: int = 0


class Engine:
    """Evaluates planned metrics over inputs. Knows no metric by name.

    Args:
      inputs: models over common ids.
      folder: where finished graphs and terms are kept; None keeps them in memory.
      tile_size: query rows per tile of the neighbor search.
      progress: print progress lines.
    """

    def __init__(self, inputs: Inputs, *, folder: Path | None, tile_size: int, progress: bool):
        self.inputs, self.tile_size, self.progress = inputs, tile_size, progress
        self.graphs = GraphCache(folder and folder / "graphs")
        self.terms = TermCache(folder and folder / "terms.json")
        self.work, self.seconds = Work(), {}
        self.model_diagnostics: dict[str, dict] = {}
        self._digests = {m.name: m.digest() for m in inputs.models}
        self._common = {
            "ids": order_hash(inputs.ids),
            "groups": None if inputs.groups is None else order_hash(tuple(map(str, inputs.groups))),
            "jax": jax.__version__,
        }

    def graph_key(self, model: str, settings: GraphSettings) -> str:
        """Content address of a model's graph under given settings; k is not part of it."""
        return content_key(
            values=self._digests[model], **self._common, **dataclasses.asdict(settings)
        )

    def run(self, plans: Sequence[MetricPlan]) -> list[PairScore]:
        """Scores of all pairs under all plans."""
        usable = [m for m in self.inputs.models if not m.reason]
        graphs: dict[GraphSettings, dict[str, GraphStatistics]] = {}
        with self._timed("neighbors"):
            for settings, k in graph_sizes(plans).items():
                graphs[settings] = {m.name: self._graph(m, settings, k) for m in usable}
        with self._timed("pairs"):
            return [s for plan in plans for s in self._scores(plan, graphs[plan.graph])]

    def _graph(self, model: ModelInput, settings: GraphSettings, k: int) -> GraphStatistics:
        key = self.graph_key(model.name, settings)
        found = self.graphs.get(key, k=k)
        if found is None:
            graph, diagnostics = model_graph(
                model.values,
                k=k,
                normalize=settings.normalize,
                similarity=settings.similarity,
                groups=self.inputs.groups,
                tile_size=self.tile_size,
                progress=f"neighbors of {model.name}" if self.progress else None,
            )
            self.graphs.put(key, graph, diagnostics)
            self.work.graphs_computed += 1
        else:
            graph, diagnostics = found
            self.work.graphs_reused += 1
        self.model_diagnostics.setdefault(model.name, {})[settings.label] = diagnostics
        return graph

    def _scores(self, plan: MetricPlan, graphs: dict[str, GraphStatistics]) -> list[PairScore]:
        names = [m.name for m in self.inputs.models]
        reasons = {
            m.name: m.reason or degenerate(self.model_diagnostics[m.name][plan.graph.label])
            for m in self.inputs.models
        }
        n = len(self.inputs.ids)
        terms = self._terms(plan, graphs)
        scores = []
        for a, b in _pairs(names, symmetric=plan.metric.symmetric):
            if blocked := reasons[a] or reasons[b]:
                culprit = a if reasons[a] else b
                scores.append(PairScore(plan, a, b, np.nan, f"{culprit}: {blocked}"))
                continue
            gamma = (terms[a, b], terms[a, a], terms[b, b])
            scores.append(PairScore(plan, a, b, *plan.metric.score(*gamma, n, plan.k)))
        return scores

    def _terms(self, plan: MetricPlan, graphs: dict[str, GraphStatistics]) -> dict:
        """Γ of all pairs, of which only those without a stored value are computed."""
        pairs = _pairs(list(graphs), symmetric=plan.metric.symmetric)
        keys = {pair: self._term_key(plan, *pair) for pair in pairs}
        terms = {pair: self.terms.get(key) for pair, key in keys.items()}
        missing = [pair for pair, value in terms.items() if value is None]
        self.work.pairs_computed += len(missing)
        self.work.pairs_reused += len(pairs) - len(missing)
        if missing:
            fresh = self._compute(plan, graphs, missing)
            self.terms.update({keys[pair]: value for pair, value in fresh.items()})
            terms |= fresh
        return terms

    def _term_key(self, plan: MetricPlan, a: str, b: str) -> str:
        sides = (self.graph_key(a, plan.graph), self.graph_key(b, plan.graph))
        # A symmetric term has one key whichever model comes first.
        sides = tuple(sorted(sides)) if plan.metric.symmetric else sides
        return content_key(metric=plan.metric.id, k=plan.k, sides=sides)

    def _compute(self, plan: MetricPlan, graphs, pairs) -> dict[tuple[str, str], float]:
        order = {name: i for i, name in enumerate(graphs)}
        rows = np.array([[order[a], order[b]] for a, b in pairs], np.int32)
        values = []
        with (
            jax.enable_x64(True),
            Progress(plan.metric.id, total=len(rows), unit="pairs", enabled=self.progress) as shown,
        ):
            stacked = _stack([g.first(plan.k) for g in graphs.values()])
            for start in range(0, len(rows), _PAIRS):
                part = rows[start : start + _PAIRS]
                filled = np.concatenate([part, np.repeat(part[:1], _PAIRS - len(part), 0)])
                found = _pair_terms(stacked, jnp.asarray(filled), term=plan.metric.term)
                values.extend(np.asarray(found)[: len(part)].tolist())
                shown.advance(len(part))
        return dict(zip(pairs, values, strict=True))

    def _timed(self, stage: str):
        return _Stage(self.seconds, stage)


class _Stage:
    """Adds the wall time of a block to a dictionary."""

    def __init__(self, seconds: dict[str, float], stage: str):
        self._seconds, self._stage = seconds, stage

    def __enter__(self):
        self._start = time.perf_counter()

    def __exit__(self, *_):
        spent = time.perf_counter() - self._start
        self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + spent


def _pairs(names: Sequence[str], *, symmetric: bool) -> list[tuple[str, str]]:
    """All pairs with the diagonal; both orders unless symmetric."""
    return [
        (a, b) for i, a in enumerate(names) for j, b in enumerate(names) if j >= i or not symmetric
    ]


def _stack(graphs: Sequence[GraphStatistics]) -> GraphStatistics:
    return GraphStatistics(*(jnp.asarray(np.stack(parts)) for parts in zip(*graphs, strict=True)))


@functools.partial(jax.jit, static_argnames=("term",))
def _pair_terms(
    stacked: GraphStatistics, pairs: Int32[Array, "p 2"], *, term: Callable
) -> Float64[Array, " p"]:
    def one(pair):
        a, b = (jax.tree.map(lambda part, i=i: part[pair[i]], stacked) for i in (0, 1))
        return term(a, b, shared_edges(a, b))

    return jax.lax.map(one, pairs)
