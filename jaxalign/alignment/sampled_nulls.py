"""Sampled permutations of the scores that closed forms do not decide.

One permutation serves all pairs, metrics and layers. Pairs leave when they are decided: after
`EXCEEDANCES` null scores that are at least as good as the observed one.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from jaxalign.alignment import engine
from jaxalign.alignment.engine import PairScore
from jaxalign.alignment.permuted import PermutedState, digest_of, permuted
from jaxalign.alignment.plan import MetricPlan
from jaxalign.alignment.resume import content_key
from jaxalign.alignment.state import Pair, State
from jaxalign.metrics._definition import GraphMetric, ModelMetric
from jaxalign.progress import Progress
from jaxalign.significance.permutations import (
    EXCEEDANCES,
    Cells,
    SampledNull,
    draw_permutation,
    exceedances,
    sampled_null,
)

Cell = tuple[MetricPlan, str, str]
_KIND = "permuted-scores"


@dataclasses.dataclass(frozen=True, eq=False)
class Sampling:
    """How null scores are drawn.

    Attributes:
      cells: rows that may change places, see `exchangeable_cells`.
      permutations: most that are drawn.
      encoders: model → encoder, or None; where given, pairs of different encoders are sampled, and
        to the end: maxima over layers need the same permutations.
      words: what may change places, to follow "200 permutations".
    """

    cells: Cells
    permutations: int
    encoders: Mapping[str, str] | None
    words: str

    @property
    def to_the_end(self) -> bool:
        """Whether no score leaves early."""
        return self.encoders is not None


def sample_scores(
    state: State, scores: Sequence[PairScore], sampling: Sampling
) -> dict[Cell, np.ndarray]:
    """Null scores of the given scores, in the order of the permutations.

    Args:
      state: the finished run; its store keeps the null scores, so that an interrupted run resumes.
      scores: observed scores that shall have nulls, see `undecided`.
      sampling: the scheme.

    Returns:
      As many null scores of each (plan, a, b) as were drawn before it was decided.
    """
    tallies = {(s.plan, s.a, s.b): _Tally(s) for s in scores}
    active, involved = dict(tallies), set()
    with Progress(
        "permutations", total=sampling.permutations, unit="permutations", enabled=state.progress
    ) as shown:
        for number in range(sampling.permutations):
            if not active:
                break
            involved = _involved(active, involved)
            drawn = _one_permutation(state, list(active), involved, sampling, number)
            for cell, value in zip(list(active), drawn, strict=True):
                active[cell].add(value)
                if active[cell].decided and not sampling.to_the_end:
                    del active[cell]
            shown.advance(1)
    state.values.update(_KIND, {})
    return {cell: np.array(tally.samples) for cell, tally in tallies.items()}


def sampled_nulls(
    scores: Sequence[PairScore], samples: Mapping[Cell, np.ndarray], sampling: Sampling
) -> dict[Cell, SampledNull]:
    """What the drawn null scores say of each observed score."""
    found = {}
    for score in scores:
        cell = score.plan, score.a, score.b
        similarity = score.plan.metric.is_similarity
        drawn = samples[cell]
        full = exceedances(score.value, drawn, similarity=similarity) >= EXCEEDANCES
        stopped = full and not sampling.to_the_end
        found[cell] = sampled_null(score.value, drawn, similarity=similarity, stopped=stopped)
    return found


class _Tally:
    """Null scores of one score so far."""

    def __init__(self, score: PairScore):
        self._value, self._similarity = score.value, score.plan.metric.is_similarity
        self.samples: list[float] = []
        self._exceeding = 0

    def add(self, sample: float) -> None:
        self.samples.append(sample)
        self._exceeding += exceedances(self._value, np.array([sample]), similarity=self._similarity)

    @property
    def decided(self) -> bool:
        return self._exceeding >= EXCEEDANCES


def samplable(score: PairScore) -> bool:
    """Whether a null of this score can be drawn: of two models, and with a value."""
    single = isinstance(score.plan.metric, ModelMetric) or score.a == score.b
    return not single and not math.isnan(score.value)


def _involved(active: Mapping[Cell, _Tally], before: set[str]) -> set[str]:
    """Models of the active pairs; the former ones until half of them are idle.

    Sweeps are compiled for a number of models: that must not change at every decision.
    """
    names = {name for _, a, b in active for name in (a, b)}
    return names if not before or 2 * len(names) <= len(before) else before


def _one_permutation(
    state: State, active: Sequence[Cell], involved: set[str], sampling: Sampling, number: int
) -> list[float]:
    """Null scores of the active pairs under one permutation."""
    order = draw_permutation(sampling.cells, state.n, seed=state.seed, number=number)
    digests = {m.name: m.digest for m in state.usable}
    key = content_key(
        order=digest_of(order),
        seed=state.seed,
        ids=state.ids_hash,
        groups=state.groups_hash,
        cells=[
            [p.metric.id, p.k, p.normalize, p.similarity, digests[a], digests[b]]
            for p, a, b in active
        ],
    )
    stored = state.values.get(_KIND, key)
    if stored is not None:
        state.work.null_scores_reused += len(stored)
    else:
        stored = _compute(state, active, involved, order)
        state.work.null_scores_computed += len(stored)
        state.values.update(_KIND, {key: stored}, last=False)
    return [math.nan if value is None else value for value in stored]


def _compute(
    state: State, active: Sequence[Cell], involved: set[str], order: np.ndarray
) -> list[float | None]:
    found: dict[Cell, float] = {}
    for plans, wanted in _passes(active):
        run = PermutedState(state, order, wanted, involved)
        outcomes = engine.outcomes(run, plans)
        for plan, a, b in active:
            if plan in plans:
                found[plan, a, b] = outcomes[plan, a, permuted(b)][0]
    return [None if math.isnan(found[cell]) else found[cell] for cell in active]


def _passes(active: Sequence[Cell]) -> list[tuple[list[MetricPlan], set[Pair]]]:
    """Plans that are evaluated together, with their pairs.

    A sweep sums the products of all models in any case: its plans share it. Of neighbor graphs, no
    pair is compared that is decided.
    """
    by_plan: dict[MetricPlan, set[Pair]] = defaultdict(set)
    for plan, a, b in active:
        by_plan[plan].add((a, b))
    together: dict[object, list[MetricPlan]] = defaultdict(list)
    for plan, wanted in by_plan.items():
        listed = isinstance(plan.metric, GraphMetric)
        together[frozenset(wanted) if listed else type(plan.metric)].append(plan)
    return [(plans, set().union(*(by_plan[plan] for plan in plans))) for plans in together.values()]
