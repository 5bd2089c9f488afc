"""Representational similarity analysis: correlation of the Euclidean distances of all row pairs."""

from __future__ import annotations

import math

from jaxalign.metrics._definition import GramMetric, Outcome, PairRankMetric
from jaxalign.metrics._gram_pair import gram_pair_score, ratio_score
from jaxalign.metrics._sides import finish, pair_sides
from jaxalign.pairwise.pair_ranks import spearman_terms
from jaxalign.types import MatrixLike, Score


def _spearman_score(value: float, _n: int) -> Outcome:
    if math.isnan(value):
        return value, "the distances of a model are all equal: they have no order to compare"
    return value, ""


RSA = GramMetric(
    id="rsa",
    variant="pearson",
    title="RSA",
    definition="Pearson correlation of the n(n−1)/2 Euclidean distances of the two models.",
    least_n=3,
    low=-1.0,
    high=1.0,
    symmetric=True,
    invariances=("rotation", "isotropic scaling", "translation"),
    null=lambda _n, _k: 0.0,
    kernel="euclidean",
    statistic="pairs",
    score=ratio_score,
)

RSA_SPEARMAN = PairRankMetric(
    id="rsa:spearman",
    variant="spearman",
    title="RSA (Spearman)",
    definition=(
        "Spearman correlation of the Euclidean distances of the two models: exact over all "
        "n(n−1)/2 pairs of structures up to n = 2,048, else over a seeded sample."
    ),
    least_n=3,
    low=-1.0,
    high=1.0,
    symmetric=True,
    invariances=("rotation", "isotropic scaling", "translation"),
    null=lambda _n, _k: 0.0,
    terms=spearman_terms,
    score=_spearman_score,
)


def rsa(
    x: MatrixLike,
    y: MatrixLike,
    *,
    correlation: str = "pearson",
    normalize: str | None = None,
    pairs: int | None = None,
    seed: int = 0,
    memory_budget: int | None = None,
) -> Score:
    """Representational similarity analysis (Kriegeskorte et al. 2008).

    Correlation over i < j of ‖x_i − x_j‖ with ‖y_i − y_j‖: Pearson's of the values, or Spearman's
    (Pearson's of their average ranks).

    Args:
      x: `[n, dx]` embeddings of n structures.
      y: `[n, dy]` embeddings of the same structures in the same order.
      correlation: `"pearson"` (exact, streamed) or `"spearman"`.
      normalize: `"none"` (None means this default), `"l2"`, `"max_abs_row"` or `"standardize"`.
      pairs: Spearman only: row pairs to sample; None means all up to n = 2,048 (as far as they fit
        into the budget), else 2¹⁸.
      seed: Spearman only: of the sample.
      memory_budget: Spearman only: bytes for distances and ranks, 1 GiB where None.

    Returns:
      Score in [−1, 1]. For Spearman, `diagnostics` say whether it is exact (`exact`), of how many
      row pairs (`pairs`), and with what standard error (`standard_error`, 0 if exact). NaN with
      `diagnostics["reason"]` where all distances of a side are equal.

    Raises:
      ValueError: shapes, n < 3, non-finite rows, unknown correlation or normalization, or sampling
        arguments with Pearson.

    References:
      Kriegeskorte, Mur, Bandettini: Frontiers in Systems Neuroscience 2 (2008), 4.

    Note:
      Pearson: distances as in `distance_correlation`. Spearman: distances in float64 from the
      stored rows; equal distances get their average rank.
    """
    if correlation == "pearson":
        if pairs is not None or memory_budget is not None:
            raise ValueError("pairs and memory_budget belong to correlation='spearman'")
        return gram_pair_score(RSA, x, y, normalize=normalize)
    if correlation != "spearman":
        raise ValueError(f"unknown correlation {correlation!r}: choose 'pearson' or 'spearman'")
    a, b, normalize = pair_sides(RSA_SPEARMAN, x, y, normalize)
    values, errors, facts = spearman_terms(
        [a.rows, b.rows], pairs=pairs, seed=seed, memory_budget=memory_budget
    )
    facts = {"normalization": normalize, "standard_error": float(errors[0, 1])} | facts
    outcome = RSA_SPEARMAN.score(float(values[0, 1]), a.rows.n)
    return finish(RSA_SPEARMAN, outcome, (a, b), facts)
