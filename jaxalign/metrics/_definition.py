"""What the engine needs to know of a metric; it knows none by name.

Families, by what they read:

* `GraphMetric`: two neighbor graphs;
* `GramMetric`: the centered inner product of two N×N matrices of distances or kernels;
* `RankMetric`: the ranks that one model gives to the other's neighbors;
* `PairRankMetric`: the ranked distances of pairs of structures, the same for all models;
* `FeatureMetric`: statistics of the features (factors, cross-covariances);
* `ModelMetric`: the neighbor distances of a single model.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Float, Float64

from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.pairwise.shared_edges import SharedEdges

# A value, and why it is NaN ("" if it is not).
Outcome = tuple[float, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
    """Facts common to all families.

    Attributes:
      id: metric id, as users write it.
      variant: value of the `variant` column of results.
      title: for axes and headings.
      definition: one sentence with the formula.
      default_k: neighbors when the user names none; None for metrics without k.
      least_k: smallest k that is defined.
      least_n: smallest n that is defined.
      low: least possible value.
      high: greatest possible value.
      best: value of a perfect match; None where there is none, or none without n and k.
      attained: (n, k) → value of a perfect match, where it depends on them.
      symmetric: score(a, b) = score(b, a).
      is_similarity: larger means more alike (else a distance).
      is_metric: whether the distance, or best − score, obeys the triangle inequality.
      invariances: transformations of one model's rows that leave the score unchanged; of
        "rotation", "isotropic scaling", "translation", "affine".
      null: (n, k) → expected score of independent representations, where it is closed.
      default_normalize: row normalization when the user names none.
    """

    id: str
    title: str
    definition: str
    least_n: int
    low: float
    high: float
    symmetric: bool
    invariances: tuple[str, ...]
    variant: str = ""
    default_k: int | None = None
    least_k: int = 1
    best: float | None = 1.0
    is_similarity: bool = True
    is_metric: bool = False
    null: Callable[[int, int | None], float] | None = None
    attained: Callable[[int, int], float] | None = None
    default_normalize: str = "none"

    def perfect(self, n: int, k: int | None) -> float:
        """Value of a perfect match; NaN where there is none."""
        if self.attained is not None:
            return self.attained(n, k)
        return math.nan if self.best is None else self.best


@dataclasses.dataclass(frozen=True, kw_only=True)
class GraphMetric(Metric):
    """Reads two neighbor graphs: Γ(a, b) per pair, made a score by its self terms.

    Attributes:
      term: Γ of one pair of graphs; pure, traced under float64.
      score: (Γ_ab, Γ_aa, Γ_bb, n, k) → outcome.
      rows: per-structure contributions whose mean is the score, where the definition is such.
      weights: entries w_ij on the edges of one graph such that Γ = Σ over the shared edges of
        w_ij w'_ij, where Γ is such a sum: its null then has a closed form.
      similarity: ordering of neighbors, see `jaxalign.neighbors`.
      beyond: field of `ThresholdTerms` that is Γ when k exceeds what a graph holds; None if the
        metric needs the lists themselves.
    """

    term: Callable[[GraphStatistics, GraphStatistics, SharedEdges], Float64[Array, ""]]
    score: Callable[[float, float, float, int, int], Outcome]
    rows: Callable[[GraphStatistics, GraphStatistics, SharedEdges], Float[Array, " n"]] | None = (
        None
    )
    weights: Callable[[GraphStatistics], Any] | None = None
    default_normalize: str = "l2"
    similarity: str = "inner"
    beyond: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GramMetric(Metric):
    """Reads one centered inner product of two N×N matrices, and the two norms.

    Attributes:
      kernel: `"euclidean"` (distances), `"rbf"` or `"linear"`.
      statistic: which centering: `"biased"` (double), `"debiased"` (U), or `"pairs"` (grand mean
        over i < j).
      score: (⟨a,b⟩, ⟨a,a⟩, ⟨b,b⟩, n) → outcome.
    """

    kernel: str
    statistic: str
    score: Callable[[float, float, float, int], Outcome]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankMetric(Metric):
    """Reads Σ_i Σ_{j ∈ kNN_a(i)} rank_b(i, j); directed.

    Attributes:
      score: (rank sum, n, k) → outcome.
      rows: (rank sums of every structure, n, k) → contributions whose mean is the score.
      similarity: ordering of neighbors of the first model.
    """

    score: Callable[[float, int, int], Outcome]
    rows: Callable[[Any, int, int], Any] | None = None
    similarity: str = "euclidean"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairRankMetric(Metric):
    """Reads ranked distances of row pairs, the same pairs for all models.

    Attributes:
      terms: (models, seed=, memory_budget=, progress=) → (values `[m, m]`, standard errors
        `[m, m]`, facts); values are NaN where a model's distances are all equal.
      score: (value, n) → outcome.
    """

    terms: Callable[..., Any]
    score: Callable[[float, int], Outcome]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeatureMetric(Metric):
    """Reads statistics of each model's features; metrics that share `statistics` share its result.

    Attributes:
      statistics: (normalized float32 rows `[n, d]`, seed) → statistics, a pytree of host arrays.
      cross: (statistics of a, statistics of b) → what the pair needs of both, made once a pair for
        all metrics that share `statistics` and `cross`; None where `term` needs nothing.
      crosses: (rows of all models, pairs of their numbers, mesh=, progress=) → cross of every pair,
        where one sweep over all models costs less than as many calls of `cross`.
      cross_bytes: n → bytes that the cross of one pair holds, for metrics with `crosses`.
      flip: cross of (a, b) → cross of (b, a), at no cost; for directed metrics.
      term: (statistics of a, statistics of b, their cross or None) → outcome.
      bytes_per_model: (n, d) → bytes that the statistics of one model hold at most.
      warning: (statistics of a, statistics of b) → what limits the meaning of a value; "" if
        nothing.
    """

    statistics: Callable[[Any, int], Any]
    term: Callable[[Any, Any, Any], Outcome]
    cross: Callable[[Any, Any], Any] | None = None
    crosses: Callable[..., Any] | None = None
    cross_bytes: Callable[[int], int] | None = None
    flip: Callable[[Any], Any] | None = None
    bytes_per_model: Callable[[int, int], int]
    warning: Callable[[Any, Any], str] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelMetric(Metric):
    """Reads the neighbor distances of one model; there are no pairs.

    Attributes:
      estimate: sorted distances `[n, k]` float64 → estimates, see `ModelEstimate`.
      similarity: ordering of neighbors.
      any_k: the value does not depend on k, which only bounds the details: few structures then
        lower the default.
    """

    estimate: Callable[[Any], ModelEstimate]
    similarity: str = "euclidean"
    any_k: bool = False


@dataclasses.dataclass(frozen=True)
class ModelEstimate:
    """A per-model value with its standard error and further numbers.

    Attributes:
      value: the estimate; NaN with a reason.
      error: standard error, NaN where the method has none.
      reason: why the value is NaN.
      details: counts of excluded rows, scale curve, …; plain values only.
    """

    value: float
    error: float = math.nan
    reason: str = ""
    details: dict[str, Any] = dataclasses.field(default_factory=dict)


def ratio(ab: float, aa: float, bb: float) -> Outcome:
    """The ratio ab / √(aa·bb), or NaN with the side whose self term is not positive."""
    if not (aa > 0 and bb > 0):
        side = "first" if not aa > 0 else "second"
        return math.nan, (
            f"the self term of the {side} model is not positive ({aa:.3g}, {bb:.3g}): "
            "its rows do not differ enough for a ratio"
        )
    if not math.isfinite(ab):
        return math.nan, f"the term of the pair is not finite ({ab})"
    return ab / (math.sqrt(aa) * math.sqrt(bb)), ""
