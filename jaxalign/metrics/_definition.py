"""What the engine needs to know of a metric; it knows none by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from jaxtyping import Array, Float, Float64

from jaxalign.pairwise.edges import GraphStatistics


@dataclasses.dataclass(frozen=True)
class GraphMetric:
    """A metric that reads neighbor graphs: Γ(a, b) per pair, made a score by its self terms.

    Attributes:
      id: metric id, as users write it.
      variant: value of the `variant` column of results.
      title: for axes and headings.
      definition: one sentence with the formula.
      default_k: neighbors when the user names none.
      least_k: smallest k that is defined.
      least_n: smallest n that is defined.
      default_normalize: row normalization when the user names none.
      similarity: ordering of neighbors, see `jaxalign.neighbors`.
      low: least possible value.
      high: greatest possible value.
      is_similarity: larger means more alike (else a distance).
      symmetric: score(a, b) = score(b, a).
      is_metric: whether 1 − score obeys the triangle inequality.
      invariances: transformations of one model's rows that leave the score unchanged.
      term: Γ of one pair of graphs; pure, traced, float64.
      score: (Γ_ab, Γ_aa, Γ_bb, n, k) → (value, reason); reason is "" unless the value is NaN.
      rows: per-structure contributions whose mean is the score, where the definition is such.
      null: expected score of independent representations, or None where it is not closed.
    """

    id: str
    variant: str
    title: str
    definition: str
    default_k: int
    least_k: int
    least_n: int
    low: float
    high: float
    symmetric: bool
    is_metric: bool
    invariances: tuple[str, ...]
    term: Callable[[GraphStatistics, GraphStatistics], Float64[Array, ""]]
    score: Callable[[float, float, float, int, int], tuple[float, str]]
    rows: Callable[[GraphStatistics, GraphStatistics], Float[Array, " n"]] | None = None
    null: Callable[[int, int], float] | None = None
    default_normalize: str = "l2"
    similarity: str = "inner"
    is_similarity: bool = True
