"""Conditional alignment: does anything remain of an alignment when composition is given?

Two ways, which answer differently:

* given confounders Z (numbers): what is linear in Z is taken out of every model's rows
  (`confounders`), and the residual rows are compared by any metric;
* given strata (labels): rows are left as they are, and the null keeps the labels: structures change
  places within their stratum only. Whatever function of the label two models share, linear or not,
  every draw shares too. Structures that are alone in their stratum say nothing and are left out.

Either way a score s has null draws, and the calibrated score max((s − τ)/(s_max − τ), 0), with τ
the (1 − α) order statistic of draws and score together, is 0 where nothing remains.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from jaxalign.alignment.inputs import collect_inputs
from jaxalign.analysis.confounding.conditioning import (
    Problem,
    choose_confounders,
    residual,
    within_strata,
)
from jaxalign.analysis.confounding.null_draws import COLUMNS as NULL_COLUMNS
from jaxalign.analysis.confounding.null_draws import KEYS, Scorer
from jaxalign.analysis.confounding.strata import Strata
from jaxalign.embeddings.sources import SelectedRows
from jaxalign.metrics._definition import ModelMetric
from jaxalign.metrics.registry import metric_definition
from jaxalign.significance.p_values import false_discovery
from jaxalign.significance.permutations import exchangeable_cells, require_permutations
from jaxalign.types import Labels

COLUMNS = (
    *("model_a", "model_b", "metric", "k", "n", "given", "method", "raw", "raw_calibrated"),
    *("conditional", "calibrated", "null_mean", "z", "p", "q", "permutations"),
    *("left_a", "left_b", "reason"),
)


@dataclasses.dataclass(frozen=True, eq=False)
class ConditionalAlignment:
    """Scores of all pairs of models beside what remains of them.

    Attributes:
      table: one row a pair and metric, see `COLUMNS`: `raw` is the score of these n structures as
        they are, `conditional` that of the residual rows (given strata, the same score: its null
        differs); `left_a` and `left_b` are shares of variance that confounders do not explain.
      left: model → that share; empty given strata.
      facts: `given`, `method` (`"residual"` or `"strata"`), `n`, `left_out` (structures), `rank`
        (independent directions of Z: by chance alone they explain rank/(n − 1) of any variance),
        `assumption`.
    """

    table: pd.DataFrame
    left: Mapping[str, float]
    facts: Mapping[str, Any]


def conditional_alignment(
    models: Mapping[Any, Any],
    given: Float[np.ndarray, "n p"] | Strata | Sequence[str],
    *,
    metrics: Sequence[str] = ("mutual_knn", "cka"),
    permutations: int = 20,
    ridge: float = 0.0,
    groups: Labels | Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: bool = False,
    **settings: Any,
) -> ConditionalAlignment:
    """Scores all pairs of models given confounders or strata.

    Args:
      models: label → array, `Embeddings` or `StoredEmbeddings`, as for `align`.
      given: confounders `[n, p]`, one row a row of the first model; or labels of `models` whose
        rows are the confounders (these models are then not compared); or `Strata`.
      metrics: metric ids, of pairs of models.
      permutations: null draws, at least 19; each costs as much as an alignment without store.
      ridge: see `confounders`.
      groups: one label a row of the first model, or id → label: structures of one group are never
        neighbors, and change places together.
      seed: of permutations, and of `align`.
      progress: print a progress line.
      **settings: of `align`: `k`, `normalize`, `similarity`, `mesh`, `tile_size`, `memory_budget`.

    Returns:
      Raw and conditional scores with nulls, p- and q-values. A pair of which one model has nothing
      left, but has rows that differ, has `conditional` NaN, `calibrated` 0 and a reason.

    Raises:
      ValueError: fewer than two models, a metric of single models, unknown labels in `given`, too
        many confounders, or strata in which no two structures are.
    """
    _check(metrics, permutations)
    inputs = collect_inputs(models, ids=None, groups=_row_numbers(models), on_nonfinite="error")
    rows = np.array(inputs.groups)
    inputs = dataclasses.replace(inputs, groups=_groups(groups, inputs.ids, rows))
    if isinstance(given, Strata):
        problem = within_strata(inputs, given, rows)
    else:
        problem = residual(*choose_confounders(inputs, given, rows), ridge=ridge)
    settings = {**settings, "metrics": tuple(metrics), "seed": seed}
    scorer = Scorer(problem.inputs, settings, permutations, seed, progress)
    return ConditionalAlignment(_table(problem, scorer), problem.left, problem.facts)


def _table(problem: Problem, scorer: Scorer) -> pd.DataFrame:
    found = scorer.scores(problem.raw)
    table = found[[*KEYS, "n"]].assign(
        given=problem.facts["given"],
        method=problem.facts["method"],
        raw=found["value"],
        raw_calibrated=_raw_calibrated(problem, scorer, found),
    )
    table = table.merge(_conditional(problem, scorer, found), on=list(KEYS), how="left")
    sides = [table[f"model_{side}"] for side in "ab"]
    for side, names in zip("ab", sides, strict=True):
        table[f"left_{side}"] = names.map(problem.left).astype(np.float64)
    # Of both sides one reason is enough.
    why = [
        problem.reasons.get(a) or problem.reasons.get(b, "") for a, b in zip(*sides, strict=True)
    ]
    # Rows that do not differ have no score to begin with: of these nothing can be said.
    gone = np.array([w != "" for w in why]) & table["raw"].notna().to_numpy()
    table.loc[gone, "calibrated"] = 0.0
    known = zip(why, table["reason"], found["reason"], strict=True)
    table["reason"] = [w or (c if isinstance(c, str) and c else r) for w, c, r in known]
    table["q"] = np.nan
    for _, members in table.groupby(["metric", table["k"].fillna(-1)]):
        table.loc[members.index, "q"] = false_discovery(members["p"].to_numpy(np.float64))
    return table.reindex(columns=list(COLUMNS)).astype({"k": "Int64", "permutations": "Int64"})


def _raw_calibrated(problem: Problem, scorer: Scorer, found: pd.DataFrame) -> pd.Series:
    """From closed forms if all raw scores have one, else from draws without strata."""
    if (found["calibrated"].notna() | found["value"].isna()).all():
        return found["calibrated"]
    cells = exchangeable_cells(len(problem.inputs.ids), groups=problem.inputs.groups)
    words = "null of raw scores"
    return scorer.with_null(found, problem.raw, cells, SelectedRows, words=words)["calibrated"]


def _conditional(problem: Problem, scorer: Scorer, found: pd.DataFrame) -> pd.DataFrame:
    """Scores of what is left, beside their null; empty where fewer than two models have any."""
    if problem.rows is not problem.raw:
        enough = len(problem.rows) >= 2
        found = scorer.scores(problem.rows) if enough else found.iloc[:0]
    words = f"null given {problem.facts['given']}"
    if len(found):
        found = scorer.with_null(found, problem.rows, problem.cells, problem.moved, words=words)
    else:
        found = found.reindex(columns=[*KEYS, *NULL_COLUMNS])
    return found.rename(columns={"value": "conditional"})


def _check(metrics: Sequence[str], permutations: int) -> None:
    if isinstance(metrics, str):
        raise ValueError(f"metrics must be a sequence of ids: got {metrics!r}; pass ({metrics!r},)")
    single = [m for m in metrics if isinstance(metric_definition(m), ModelMetric)]
    if single:
        raise ValueError(f"conditional alignment is of pairs of models: leave out {single}")
    require_permutations(permutations)
    if permutations == 0:
        raise ValueError("conditional alignment needs null draws: pass permutations >= 19")


def _row_numbers(models: Mapping[Any, Any]) -> range | None:
    """Labels that bring, through the matching of ids, the row numbers of the first model."""
    first = next(iter(models.values()), None) if isinstance(models, Mapping) else None
    return None if first is None else range(len(first))


def _groups(groups: Any, ids: tuple[str, ...], rows: Int[np.ndarray, " n"]) -> tuple | None:
    if groups is None:
        return None
    if isinstance(groups, Mapping):
        return tuple(groups[i] for i in ids)
    return tuple(groups[row] for row in rows.tolist())
