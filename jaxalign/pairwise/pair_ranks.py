"""Spearman correlation of the distances of row pairs: one set of pairs for all models.

Ranks need all values at once, so this is the one place that holds a list of distances; its length
is bounded by a budget, beyond which a seeded sample of pairs stands for all. Sorting is done on the
host: XLA's CPU sort takes fifty times longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float64, Int

from jaxalign.embeddings.sources import ModelRows
from jaxalign.pairwise.centered_rows import check_lengths
from jaxalign.parallel.multihost import exchange, gather_rows, my_share
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
      rank. Pairs join any two rows, so that a process reads all rows of a model: one model at a
      time, and of its share of the models alone. The distances are exchanged.
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
    ranks = _all_distances(models, left, right, progress)
    part = np.empty((0 if exact else _PARTS, m, m))
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
    # Sums of many numbers: the bits of one process for all.
    return exchange(values)[0], exchange(errors)[0], facts


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


def _all_distances(
    models: Sequence[ModelRows],
    left: Int[np.ndarray, " p"],
    right: Int[np.ndarray, " p"],
    progress: str | None,
) -> Float64[np.ndarray, "m p"]:
    """Squared distances of all models: each process takes its share of the models."""
    m, count = len(models), jax.process_count()
    shares = [my_share(range(m), index=process) for process in range(count)]
    out = np.empty((m, len(left)))
    with Progress(progress or "", total=m, unit="models", enabled=progress is not None) as shown:
        # One model of every process at a time; one that has none left sends nothing.
        for turn in range(max(map(len, shares))):
            mine = shares[jax.process_index()][turn : turn + 1]
            own = [_distances(models[number], left, right) for number in mine]
            found = gather_rows(np.stack(own) if own else np.empty((0, len(left))))
            numbers = [number for share in shares for number in share[turn : turn + 1]]
            out[numbers] = found
            shown.advance(len(numbers))
    return out


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
    from scipy.stats import rankdata  # a second to import: only where it is used

    ranks = rankdata(values)
    ranks -= ranks.mean()
    length = np.sqrt((ranks * ranks).sum())
    return ranks / length if length > 0 else ranks


def _correlations(ranks: Float64[np.ndarray, "m p"]) -> Float64[np.ndarray, "m m"]:
    constant = ~ranks.any(axis=1)
    values = np.clip(ranks @ ranks.T, -1.0, 1.0)
    return np.where(constant[:, None] | constant[None, :], np.nan, values)
