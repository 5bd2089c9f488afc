"""Gram metrics: centered inner products of the models' N×N matrices, all pairs in one sweep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from jaxalign.alignment.nulls import gram_nulls
from jaxalign.alignment.plan import MetricPlan
from jaxalign.alignment.resume import content_key
from jaxalign.alignment.state import Outcomes, Pair, State, covering, pick
from jaxalign.pairwise.grams import gram_terms

_FIELDS = ("biased", "debiased", "pairs")
_PRECISION = len(_FIELDS)


def gram_scores(state: State, plans: Sequence[MetricPlan]) -> Outcomes:
    """Scores of all pairs of usable models."""
    groups: dict[str, list[MetricPlan]] = defaultdict(list)
    for plan in plans:
        groups[plan.normalize].append(plan)
    outcomes: Outcomes = {}
    for normalize, group in groups.items():
        kernels = tuple(dict.fromkeys(plan.metric.kernel for plan in group))
        terms = _terms(state, normalize, kernels)
        for plan in group:
            found = terms[plan.metric.kernel]
            column = _FIELDS.index(plan.metric.statistic)
            state.precision[plan] = "/".join(sorted({term[_PRECISION] for term in found.values()}))
            for a, b in state.pairs(symmetric=True):
                sides = (found[a, b][column], found[a, a][column], found[b, b][column])
                outcomes[plan, a, b] = plan.metric.score(*sides, state.n)
            gram_nulls(state, plan, column, found)
    return outcomes


def _terms(state: State, normalize: str, kernels: Sequence[str]) -> dict[str, dict[Pair, list]]:
    """[biased, debiased, pairs, precision] of all pairs by kernel.

    Behind those of a model with itself stand its `RowSums`. Kernels that miss the same pairs share
    the tiles of one sweep.
    """
    sides = {m.name: state.rows_key(m, normalize) for m in state.usable}
    keys, terms, absent = {}, {}, {}
    together: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for kernel in kernels:
        keys[kernel] = {
            (a, b): content_key(gram=kernel, seed=state.seed, sides=sorted((sides[a], sides[b])))
            for a, b in state.pairs(symmetric=True)
        }
        terms[kernel], absent[kernel] = state.stored(f"gram-{kernel}", keys[kernel])
        if absent[kernel]:
            together[tuple(covering(absent[kernel], state.names))].append(kernel)
    for new, group in together.items():
        found = gram_terms(
            [state.rows(m, normalize) for m in state.usable],
            kernels=tuple(group),
            new=list(new),
            seed=state.seed,
            tile_size=state.tile_size,
            memory_budget=state.memory_budget,
            progress=state.label("tiles of all models"),
            mesh=state.mesh,
        )
        state.count_sweep(len(new) * len(state.usable))
        for kernel in group:
            values = np.stack([getattr(found[kernel], field) for field in _FIELDS], axis=-1)
            fresh = pick(values, new, state.names, absent[kernel])
            fresh = {pair: [*value, found[kernel].precision] for pair, value in fresh.items()}
            sums = np.transpose(found[kernel].row_sums).tolist()
            for name, own in zip(state.names, sums, strict=True):
                if (name, name) in fresh:
                    fresh[name, name] += own
            terms[kernel] |= fresh
            state.values.update(f"gram-{kernel}", {keys[kernel][p]: v for p, v in fresh.items()})
    return terms
