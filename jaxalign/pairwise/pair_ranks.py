"""Spearman correlation of the distances of row pairs: one set of pairs for all models.

Ranks need all values at once, so this is the one place that holds a list of distances; its length
is bounded by a budget, beyond which a seeded sample of pairs stands for all. Sorting is done on the
host: XLA's CPU sort takes fifty times longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats
from jaxtyping import Float64, Int

from jaxalign.embeddings.sources import ModelRows
from jaxalign.pairwise.centered_rows import check_lengths
from jaxalign.progress import Progress

_EXACT = 2**21  # most pairs that are all compared: a model then takes seconds
_SAMPLED = 2**18  # pairs of a sample: its standard error is about 0.002
_PARTS = 20  # parts of a sample whose scatter gives the standard error
_ELEMENTS = 2**22  # numbers of one gathered block of differences


def spearman_terms(
    models: Sequence[ModelRows],
    *,
    pairs: int | None = None,
    seed: int = 0,
    memory_budget: int | None = None,
    progress: str | None = None,
) -> tuple[Float64[np.ndarray, "m m"], Float64[np.ndarray, "m m"], dict[str, Any]]:
    """Spearman's ρ of ‖x_i − x_j‖ over row pairs i < j, for all pairs of models.

    Args:
      models: rows of M models over the same structures.
      pairs: row pairs to sample without replacement; None means all n(n−1)/2 where there are at
        most 2²¹ (n ≤ 2,048) and their ranks fit into the budget, else 2¹⁸, or as many as fit.
      seed: of the sample.
      memory_budget: bytes for ranks of all models, 1 GiB where None; the rows of one model come on
        top.
      progress: label of a progress line; None prints nothing.

    Returns:
      Values; standard errors, from the scatter of 20 disjoint parts of a sample, with the
      finite-population factor (0 where all pairs are taken); and facts `exact`, `pairs`,
      `pairs_in_all`, `seed`, `precision`. Values are NaN for a model whose distances are all equal.

    Raises:
      ValueError: unequal numbers of rows, or fewer than 40 sampled pairs.

    Note:
      Distances are summed in float64 from the stored float32 rows; equal ones share their average
      rank.
    """
    n, m = check_lengths(models), len(models)
    every = n * (n - 1) // 2
    # Ranks of all models, and the pairs, distances and sorting order of the one in hand.
    most = max(2 * _PARTS, (memory_budget or 2**30) // (8 * (m + 6)))
    if pairs is None:
        pairs = min(every if every <= _EXACT else _SAMPLED, most)
    count = min(every, pairs)
    exact = count == every
    if not exact and count < 2 * _PARTS:
        raise ValueError(f"pairs must be at least {2 * _PARTS}: got {pairs!r}")
    left, right = _row_pairs(n, every, count, seed)
    ranks, part = np.empty((m, count)), np.empty((0 if exact else _PARTS, m, m))
    with Progress(progress or "", total=m, unit="models", enabled=progress is not None) as shown:
        for row, model in enumerate(models):
            ranks[row] = _distances(model, left, right)
            shown.advance()
    for index in range(len(part)):
        # Every twentieth of the sorted pairs: each part covers all rows.
        part[index] = _correlations(np.stack([_ranks(d[index::_PARTS]) for d in ranks]))
    for row in range(m):
        ranks[row] = _ranks(ranks[row])
    values, errors = _correlations(ranks), np.zeros((m, m))
    if not exact:
        errors = part.std(axis=0, ddof=1) / np.sqrt(_PARTS) * np.sqrt(1 - count / every)
    facts = {
        "exact": exact,
        "pairs": count,
        "pairs_in_all": every,
        "seed": seed,
        "precision": "float64 distances and ranks",
    }
    return values, errors, facts


def _row_pairs(
    n: int, every: int, count: int, seed: int
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " p"]]:
    """Rows i < j of the pairs, in order of j, then i."""
    if count == every:
        left, right = np.tril_indices(n, -1)
        return right, left
    chosen = np.random.default_rng(seed).choice(every, count, replace=False, shuffle=False)
    chosen.sort()
    # Pair number c = j(j−1)/2 + i; the rounded root is at most one off.
    j = ((1 + np.sqrt(1 + 8 * chosen.astype(np.float64))) / 2).astype(np.int64)
    j -= j * (j - 1) // 2 > chosen
    j += j * (j + 1) // 2 <= chosen
    return chosen - j * (j - 1) // 2, j


def _distances(
    model: ModelRows, left: Int[np.ndarray, " p"], right: Int[np.ndarray, " p"]
) -> Float64[np.ndarray, " p"]:
    """Squared distances: they have the same order."""
    rows = model.load()
    step, out = max(1, _ELEMENTS // model.d), np.empty(len(left))
    for start in range(0, len(left), step):
        i, j = left[start : start + step], right[start : start + step]
        difference = rows[i].astype(np.float64)
        difference -= rows[j]
        out[start : start + step] = np.einsum("pd,pd->p", difference, difference)
    return out


def _ranks(values: Float64[np.ndarray, " p"]) -> Float64[np.ndarray, " p"]:
    """Average ranks, centered and of unit length; zeros where all values are equal."""
    ranks = scipy.stats.rankdata(values)
    ranks -= ranks.mean()
    length = np.sqrt((ranks * ranks).sum())
    return ranks / length if length > 0 else ranks


def _correlations(ranks: Float64[np.ndarray, "m p"]) -> Float64[np.ndarray, "m m"]:
    constant = ~ranks.any(axis=1)
    values = np.clip(ranks @ ranks.T, -1.0, 1.0)
    return np.where(constant[:, None] | constant[None, :], np.nan, values)
