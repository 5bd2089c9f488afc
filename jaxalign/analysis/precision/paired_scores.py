"""Is A closer to B than C is? Paired tests of differences of scores over the same structures."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.precision.score_influences import Pair, score_influences
from jaxalign.metrics.registry import metric_definition
from jaxalign.significance.intervals import check_confidence, subset_errors
from jaxalign.significance.p_values import ALPHA, false_discovery
from jaxalign.significance.paired import PairedTest, holm, influence_test, replicate_test
from jaxalign.types import Labels

COLUMNS = (
    *("metric", "k", "model_a", "model_b", "model_c", "model_d", "score_ab", "score_cd"),
    *("difference", "ci_low", "ci_high", "t", "effect", "p", "p_holm", "q", "closer", "units"),
    *("method", "reason"),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Replicates:
    """Scores of runs over fewer structures, the same ones for all pairs of models.

    Attributes:
      scores: one array a pair of models, as the table has them; numbers 2i and 2i + 1 are of
        disjoint subsets.
      taken: structures in a subset (their mean, if subsets differ).
    """

    scores: Mapping[Pair, Float64[np.ndarray, " replicates"]]
    taken: float


def compare_scores(
    result: Alignment,
    metric: str,
    *,
    pairs: Sequence[tuple[Pair, Pair]] | None = None,
    reference: str | None = None,
    k: int | None = None,
    groups: Labels | None = None,
    alpha: float = ALPHA,
    replicates: Replicates | None = None,
) -> pd.DataFrame:
    """Tests whether score(a, b) and score(c, d) differ, for one or many comparisons.

    Mutual kNN, CKNNA, information imbalance, CKA, distance correlation and RSA are tested by what
    each structure and each edge contribute, see `significance.paired`; other metrics by the
    differences of `replicates`, or not at all.

    Args:
      result: scores with their neighbor graphs; rank and Gram metrics also need the embeddings,
        which a loaded result does not hold.
      metric: one of its metrics.
      pairs: comparisons, each of two pairs of models: `(("a", "b"), ("c", "b"))`.
      reference: instead of `pairs`: all models by their score with this one, two by two. Directed
        metrics read model → reference.
      k: which k, of a metric that was computed for several; None means the first.
      groups: one label a structure, in the order of `diagnostics["ids"]`: dependent structures.
      alpha: level of `closer`, for the false-discovery rate over all comparisons of this call;
        intervals cover with probability 1 − alpha each.
      replicates: scores over fewer structures; only of use for metrics without contributions.

    Returns:
      One row a comparison, see `COLUMNS`: `p` two-sided, `p_holm` (family-wise error) and `q`
      (Benjamini–Hochberg) over the call, `closer` the pair that is more alike ("ab", "cd", or ""
      where q > alpha). NaN with a `reason` where there is no test.

    Raises:
      ValueError: unknown metric, k or model; both or neither of `pairs` and `reference`; fewer
        than 6 structures or groups; a level outside (0, 1).
      ResultError: a graph, or the embeddings, are not at hand.
    """
    matrix = result.matrix(metric, k=k)
    comparisons = _comparisons(result, pairs, reference)
    values = {
        pair: float(matrix.sel(model_a=pair[0], model_b=pair[1]))
        for pair in dict.fromkeys(itertools.chain(*comparisons))
    }
    chosen = matrix.attrs.get("k")
    tester = _Tester(result, metric, chosen, values, groups, 1 - alpha, replicates)
    rows = []
    for (a, b), (c, d) in comparisons:
        scores = values[a, b], values[c, d]
        facts = {"metric": metric, "k": chosen, "model_a": a, "model_b": b, "model_c": c}
        facts |= {"model_d": d, "score_ab": scores[0], "score_cd": scores[1]}
        facts |= {"difference": scores[0] - scores[1]}
        rows.append(facts | tester.columns((a, b), (c, d)))
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS)).astype({"k": "Int64"})
    p = table["p"].to_numpy(np.float64)
    table["p_holm"], table["q"] = holm(p), false_discovery(p)
    better = np.sign(table["difference"]) * (1 if metric_definition(metric).is_similarity else -1)
    found = (table["q"] <= alpha).to_numpy()
    table["closer"] = np.where(found, np.where(better > 0, "ab", "cd"), "")
    return table


def _comparisons(
    result: Alignment, pairs: Sequence[tuple[Pair, Pair]] | None, reference: str | None
) -> list[tuple[Pair, Pair]]:
    if (pairs is None) == (reference is None):
        raise ValueError(
            f"pass either pairs or reference: got pairs={pairs!r}, reference={reference!r}"
        )
    if pairs is None:
        _check_models(result, [reference])
        others = [name for name in result.models if name != reference]
        if len(others) < 2:
            raise ValueError(f"two models beside the reference are needed: got {others}")
        return [((a, reference), (c, reference)) for a, c in itertools.combinations(others, 2)]
    found = [((str(a), str(b)), (str(c), str(d))) for (a, b), (c, d) in pairs]
    if not found:
        raise ValueError("pairs is empty: name at least one comparison")
    _check_models(result, itertools.chain(*itertools.chain(*found)))
    if same := [pair for comparison in found for pair in comparison if pair[0] == pair[1]]:
        raise ValueError(f"a model is not compared with itself: got {same[0]}")
    return found


def _check_models(result: Alignment, names: Iterable[str]) -> None:
    for name in names:
        if name not in result.cards:
            raise ValueError(f"unknown model {name!r}: choose one of {list(result.cards)}")


class _Tester:
    """Tests of comparisons; contributions of every pair are found once."""

    def __init__(
        self,
        result: Alignment,
        metric: str,
        k: int | None,
        values: Mapping[Pair, float],
        groups: Labels | None,
        confidence: float,
        replicates: Replicates | None,
    ):
        check_confidence(confidence)
        self._values, self._groups, self._confidence = values, groups, confidence
        self._metric, self._n, self._replicates = metric, int(result.diagnostics["n"]), replicates
        scored = [pair for pair, value in values.items() if math.isfinite(value)]
        self._influences = score_influences(result, metric, scored, k)

    def columns(self, first: Pair, second: Pair) -> dict[str, Any]:
        """What the test of one comparison says; only the reason where there is none."""
        difference = self._values[first] - self._values[second]
        if math.isnan(difference):
            return {"method": "", "reason": "a score is NaN"}
        if self._influences is not None:
            test = influence_test(
                difference,
                self._influences[first],
                self._influences[second],
                groups=self._groups,
                confidence=self._confidence,
            )
            method = "contributions"
        elif self._replicates is not None:
            test = self._replicated(difference, first, second)
            method = "replicates"
        else:
            reason = f"{self._metric} has no contributions of structures: replicates are needed"
            return {"method": "", "reason": reason}
        columns = {name: getattr(test, name) for name in ("t", "effect", "p", "units")}
        columns |= {"ci_low": test.low, "ci_high": test.high}
        return columns | {"method": method, "reason": _remark(test)}

    def _replicated(self, difference: float, first: Pair, second: Pair) -> PairedTest:
        drawn = (self._drawn(first) - self._drawn(second))[:, None]
        (error,) = subset_errors(
            drawn, taken=self._replicates.taken, total=self._n, of_tuples=np.zeros(1, bool)
        )
        count = len(drawn) // 2
        return replicate_test(
            difference, float(error), replicates=count, confidence=self._confidence
        )

    def _drawn(self, pair: Pair) -> Float64[np.ndarray, " replicates"]:
        scores = self._replicates.scores
        turned = metric_definition(self._metric).symmetric and pair not in scores
        return scores[pair[::-1] if turned else pair]


def _remark(test: PairedTest) -> str:
    if test.error > 0:
        return ""
    return "both scores are made of the same contributions" if test.p == 1 else "no error is known"
