"""Feature metrics: statistics of a model once, one shared product a pair, small matrices."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax

from jaxalign.alignment.inputs import ModelInput
from jaxalign.alignment.plan import MetricPlan
from jaxalign.alignment.resume import content_key
from jaxalign.alignment.state import Outcomes, Pair, State, block_pairs
from jaxalign.metrics._definition import FeatureMetric
from jaxalign.parallel.multihost import exchange_objects, my_share
from jaxalign.progress import Progress

_PAIRS = 32  # pairs of a process between two exchanges and looks at the clock


def feature_scores(state: State, plans: Sequence[MetricPlan]) -> Outcomes:
    """Scores of all pairs of usable models."""
    groups: dict[tuple, list[MetricPlan]] = defaultdict(list)
    for plan in plans:
        groups[plan.normalize, plan.metric.statistics, plan.metric.cross].append(plan)
        state.precision[plan] = "float64"
    outcomes: Outcomes = {}
    for (normalize, *_), group in groups.items():
        for plan, found in _terms(state, normalize, group).items():
            for (a, b), (value, reason, warning) in found.items():
                outcomes[plan, a, b] = (math.nan if value is None else value), reason
                if warning and a != b:
                    warnings = state.facts.setdefault("warnings", {})
                    warnings.setdefault(plan.metric.id, {})[f"{a} – {b}"] = warning
    return outcomes


class _Statistics:
    """Statistics of models, kept as long as the memory budget allows and made anew beyond."""

    def __init__(self, state: State, normalize: str, metric: FeatureMetric):
        self._state, self._normalize, self._metric = state, normalize, metric
        self._kept: OrderedDict[str, Any] = OrderedDict()
        sizes = [metric.bytes_per_model(state.n, m.rows.shape[1]) for m in state.usable]
        self.capacity = max(2, int(state.memory_budget // max(sizes, default=1)))

    def of(self, model: ModelInput) -> Any:
        if model.name not in self._kept:
            while len(self._kept) >= self.capacity:
                self._kept.popitem(last=False)
            rows = self._state.rows(model, self._normalize).load()
            self._kept[model.name] = self._metric.statistics(rows, self._state.seed)
        self._kept.move_to_end(model.name)
        return self._kept[model.name]


def _terms(
    state: State, normalize: str, plans: Sequence[MetricPlan]
) -> dict[MetricPlan, dict[Pair, list]]:
    """[value, reason, warning] of all pairs; metrics share one product a pair."""
    keys = {plan: _keys(state, normalize, plan.metric) for plan in plans}
    terms, wanted = {}, defaultdict(list)
    for plan in plans:
        terms[plan], missing = state.stored(plan.metric.id, keys[plan])
        for pair in missing:
            wanted[pair].append(plan)
    label = ", ".join(plan.metric.id for plan in plans)
    with Progress(label, total=len(wanted), unit="pairs", enabled=state.progress) as shown:
        for found in _portions(state, normalize, plans, wanted) if wanted else ():
            for a, b, number, entry in found:
                plan = plans[number]
                terms[plan][a, b] = entry
                state.values.update(plan.metric.id, {keys[plan][a, b]: entry}, last=False)
            shown.advance(len({(a, b) for a, b, *_ in found}))
    for plan in plans:
        state.values.update(plan.metric.id, {})
    return terms


def _portions(
    state: State, normalize: str, plans: Sequence[MetricPlan], wanted
) -> Iterator[list[tuple[str, str, int, list]]]:
    """Some finished terms after the other: model a, model b, number of the plan, entry.

    Processes divide the pairs of a portion among them, unless one sweep, which they make together,
    gives the products of many pairs.
    """
    metric = plans[0].metric
    statistics = _Statistics(state, normalize, metric)
    scheduled = _schedule(state, wanted, statistics)
    if metric.crosses is None:
        for batch in _batches(scheduled, _PAIRS * jax.process_count()):
            mine = [(pair, None) for pair in my_share(batch)]
            found = exchange_objects(_entries(state, plans, wanted, statistics, mine))
            yield [entry for part in found for entry in part]
    else:
        for batch in _with_crosses(state, normalize, metric, scheduled):
            yield _entries(state, plans, wanted, statistics, batch)


def _entries(state: State, plans, wanted, statistics: _Statistics, batch) -> list[tuple]:
    models = {m.name: m for m in state.usable}
    number = {plan: i for i, plan in enumerate(plans)}
    entries = []
    for (a, b), cross in batch:
        sides = statistics.of(models[a]), statistics.of(models[b])
        for pair, found in _evaluate((a, b), sides, cross, wanted):
            for plan, (value, reason, warning) in found.items():
                # NaN is no JSON number.
                entry = [None if math.isnan(value) else float(value), reason, warning]
                entries.append((*pair, number[plan], entry))
    return entries


def _keys(state: State, normalize: str, metric: FeatureMetric) -> dict[Pair, str]:
    rows = {m.name: state.rows_key(m, normalize) for m in state.usable}
    return {
        (a, b): content_key(
            metric=metric.id,
            seed=state.seed,
            sides=sorted((rows[a], rows[b])) if metric.symmetric else [rows[a], rows[b]],
        )
        for a, b in state.pairs(symmetric=metric.symmetric)
    }


def _schedule(state: State, wanted, statistics: _Statistics) -> Iterator[Pair]:
    """Unordered pairs that miss something, in an order that keeps few models in memory."""
    seen = set()
    for first, second in block_pairs(len(state.names), max(1, statistics.capacity // 2)):
        for i in first:
            for j in second:
                pair = tuple(state.names[index] for index in sorted((i, j)))
                if pair not in seen and (pair in wanted or pair[::-1] in wanted):
                    seen.add(pair)
                    yield pair


def _with_crosses(state: State, normalize: str, metric: FeatureMetric, scheduled):
    """Batches of pairs with their products, each batch from one sweep over its models."""
    place = {name: i for i, name in enumerate(state.names)}
    rows = [state.rows(model, normalize) for model in state.usable]
    at_once = max(1, state.memory_budget // metric.cross_bytes(state.n))
    for batch in _batches(scheduled, at_once):
        numbers = [(place[a], place[b]) for a, b in batch]
        used = sorted({i for pair in numbers for i in pair})
        inside = [(used.index(i), used.index(j)) for i, j in numbers]
        state.count_sweep(len(inside))
        label = state.label(f"{metric.id}: rows of {len(batch)} pairs")
        found = metric.crosses([rows[i] for i in used], inside, mesh=state.mesh, progress=label)
        yield list(zip(batch, found, strict=True))


def _batches(items: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def _evaluate(pair: Pair, sides: tuple[Any, Any], cross: Any, wanted):
    """Outcomes of (a, b) and, for directed metrics, of (b, a), from one product."""
    metric = next(iter(wanted.get(pair) or wanted[pair[::-1]])).metric
    if cross is None and metric.cross is not None:
        cross = metric.cross(*sides)
    if plans := wanted.get(pair):
        yield pair, {plan: _outcome(plan.metric, sides, cross) for plan in plans}
    if pair[0] != pair[1] and (plans := wanted.get(pair[::-1])):
        sides = sides[::-1]
        if cross is not None:
            cross = metric.flip(cross) if metric.flip is not None else metric.cross(*sides)
        yield pair[::-1], {plan: _outcome(plan.metric, sides, cross) for plan in plans}


def _outcome(metric: FeatureMetric, sides: tuple[Any, Any], cross: Any) -> tuple[float, str, str]:
    warning = metric.warning(*sides) if metric.warning is not None else ""
    return *metric.term(*sides, cross), warning
