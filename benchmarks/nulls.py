"""What nulls cost: closed forms beside the scores themselves, and sampled permutations a pair.

Usage:
    python benchmarks/nulls.py --output=nulls.json
    python benchmarks/nulls.py --parts=sampled --n=10000 --sampled_models=8 --permutations=2

Parts:
    closed   z and p of all pairs of `--models` models as a share of the time of their scores
    sampled  one permutation of one pair, metric by metric
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator, Sequence
from unittest import mock

from absl import app, flags, logging
from measuring import report, synthetic_models

from jaxalign.alignment import engine, gram_scores, graph_scores, rank_scores, sampled_nulls
from jaxalign.alignment.inputs import collect_inputs
from jaxalign.alignment.plan import MetricPlan, plan_metrics
from jaxalign.alignment.sampled_nulls import Sampling, sample_scores
from jaxalign.alignment.significance_columns import significance_columns
from jaxalign.alignment.state import State
from jaxalign.profiling.timing import seconds
from jaxalign.significance.permutations import exchangeable_cells

_PARTS = flags.DEFINE_list("parts", ["closed", "sampled"], "What to run.")
_N = flags.DEFINE_integer("n", 10000, "Structures.")
_D = flags.DEFINE_integer("d", 256, "Columns.")
_MODELS = flags.DEFINE_integer("models", 60, "Models of the closed forms.")
_METRICS = flags.DEFINE_list(
    "metrics",
    ["mutual_knn", "cknna", "cka", "cka:biased", "dcor", "dcor:v", "rsa", "information_imbalance"],
    "Metric ids, each with a closed form.",
)
_SAMPLED_MODELS = flags.DEFINE_integer("sampled_models", 6, "Models of the permutations.")
_PERMUTATIONS = flags.DEFINE_integer("permutations", 3, "Permutations of every pair.")
_TARGET = flags.DEFINE_float("target", 0.05, "Largest share of the closed forms.")
_OUTPUT = flags.DEFINE_string("output", None, "Also write the JSON here.")

_CLOSED_FORMS = (
    (graph_scores, "graph_nulls"),
    (gram_scores, "gram_nulls"),
    (rank_scores, "rank_nulls"),
)


def closed() -> list[dict]:
    """All closed forms of a run, from the sums of every model to the columns of the table."""
    _run(2)  # compiles
    spent: dict[str, float] = {}
    with _stopwatches(spent):
        found: dict = {}
        whole = seconds(lambda: found.update(run=_run(_MODELS.value)))
    state, _, scores = found["run"]
    spent["columns"] = seconds(lambda: significance_columns(scores, state.nulls, state.n))
    own = whole - sum(value for name, value in spent.items() if name != "columns")
    settings = {"part": "closed", "n": state.n, "d": _D.value, "models": _MODELS.value}
    parts = [
        {**settings, "what": name, "seconds": value, "ratio": value / own}
        for name, value in spent.items()
    ]
    total = sum(spent.values())
    return [
        {**settings, "what": f"scores, {len(_METRICS.value)} metrics", "seconds": own},
        *parts,
        {**settings, "what": f"z and p of {len(state.nulls)} scores", "seconds": total}
        | {"ratio": total / own, "target": _TARGET.value},
    ]


def sampled() -> list[dict]:
    """Permutations of all pairs of a few models, one metric after the other."""
    rows = []
    for metric in _METRICS.value:
        state, _, scores = _run(_SAMPLED_MODELS.value, metrics=[metric])
        wanted = [score for score in scores if sampled_nulls.samplable(score)]
        cells = exchangeable_cells(state.n)
        # All of them for every pair: none leaves early.
        encoders = {model.name: model.name for model in state.usable}
        warm, full = (
            Sampling(cells, permutations=count, encoders=encoders, words="")
            for count in (1, 1 + _PERMUTATIONS.value)
        )
        sample_scores(state, wanted, warm)  # compiles; its permutation is stored and free below
        spent = seconds(
            lambda state=state, wanted=wanted, full=full: sample_scores(state, wanted, full)
        )
        each = spent / (_PERMUTATIONS.value * len(wanted))
        rows.append(
            {"part": "sampled", "n": state.n, "d": _D.value, "models": _SAMPLED_MODELS.value}
            | {"what": metric, "scores": len(wanted), "permutations": _PERMUTATIONS.value}
            | {"seconds": spent, "ms_each": 1e3 * each}
        )
        logging.info("%s", rows[-1])
    return rows


def _run(count: int, metrics: Sequence[str] | None = None):
    """State, plans and scores of a run in memory."""
    chosen = tuple(_METRICS.value if metrics is None else metrics)
    models = synthetic_models(count, _N.value, _D.value)
    inputs = collect_inputs(models, ids=None, groups=None, on_nonfinite="error")
    plans: tuple[MetricPlan, ...] = plan_metrics(chosen, k=None, normalize=None, n=_N.value)
    state = State(inputs, folder=None, tile_size=None, memory_budget=2**31, progress=False)
    return state, plans, engine.run(state, plans)


@contextlib.contextmanager
def _stopwatches(spent: dict[str, float]) -> Iterator[None]:
    """Meanwhile the functions that note closed forms also add up their time."""
    with contextlib.ExitStack() as stack:
        for module, name in _CLOSED_FORMS:
            watched = _watched(getattr(module, name), name, spent)
            stack.enter_context(mock.patch.object(module, name, watched))
        yield


def _watched(function, name: str, spent: dict[str, float]):
    @functools.wraps(function)
    def timed(*arguments, **options):
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - start

    return timed


_RUN = {"closed": closed, "sampled": sampled}


def main(argv: Sequence[str]) -> None:
    """Measures and prints."""
    unknown = set(_PARTS.value) - set(_RUN)
    if len(argv) > 1 or unknown:
        raise app.UsageError(f"unexpected {argv[1:]} {sorted(unknown)}; parts: {list(_RUN)}")
    rows = []
    for part in _PARTS.value:
        rows += _RUN[part]()
        logging.info("%s", rows[-1])
    report("Cost of nulls", rows, _OUTPUT.value)


if __name__ == "__main__":
    app.run(main)
