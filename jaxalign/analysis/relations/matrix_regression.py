"""Regression of a matrix over models on others, tested by relabeling the models.

Pairs of models are not independent: all pairs of one model share it. So

    y_ij = b₀ + Σ_t b_t x_t,ij + e_ij   (i < j)

is fitted by least squares, and tested by permutations that move whole rows and columns. For term t,
x_t is regressed on the other terms; the residual matrix ε_t is permuted, ε_π(i)π(j), and takes the
place of x_t beside the others (double semi-partialing). The statistic is the partial correlation of
ε and y given the others, which orders permutations as the t value does. With a single term this is
the Mantel test.

Intervals come from a jackknife that leaves out one model, or one cluster of models, with all its
pairs: b ± t_{g−1} s, s² = (g−1)/g Σ_c (b_(c) − b̄)². It is consistent where pairs share effects of
their models, and up to a factor √2 too wide where they share none.

References:
  Dekker, Krackhardt, Snijders: Psychometrika 72, 563 (2007); Lichstein: Plant Ecology 188, 117
  (2007); Arvesen: Ann. Math. Statist. 40, 2076 (1969), jackknife of U-statistics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int
from scipy.special import stdtrit

from jaxalign.analysis.relations.permutations import (
    PERMUTATIONS,
    check_alternative,
    model_permutations,
    permutation_p,
)

LEAST_MODELS = 4
_NOTHING = 1e-10  # a residual below this share of what it was left of is zero
_UNCLEAR = 1e-6  # part of a term in a combination of terms that is zero


def matrix_regression(
    response: Float64[np.ndarray, "m m"],
    predictors: Mapping[str, Float64[np.ndarray, "m m"]],
    *,
    permutations: int = PERMUTATIONS,
    alternative: str = "two-sided",
    clusters: Sequence[str] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Coefficients of symmetric matrices with permutation p-values and jackknife intervals.

    Args:
      response: symmetric, finite off the diagonal, which is ignored.
      predictors: term → matrix of the same kind.
      permutations: random ones; all m! where these are fewer.
      alternative: `"two-sided"`, `"greater"` or `"less"`.
      clusters: one label a model; the jackknife leaves out whole clusters. None: single models.
      confidence: of the intervals.
      seed: of the permutations.

    Returns:
      One row a term: `term`, `coefficient`, `low`, `high`, `partial_correlation`, `p`,
      `permutations` (draws beside the observed order), `models`, `pairs`, `reason` (why a number is
      NaN).

    Raises:
      ValueError: matrices that are not finite and symmetric, or no term.
    """
    check_alternative(alternative)
    _check(response, predictors)
    m, terms = len(response), list(predictors)
    blank = {"coefficient": math.nan, "low": math.nan, "high": math.nan}
    blank |= {"partial_correlation": math.nan, "p": math.nan, "permutations": 0}
    blank |= {"models": m, "pairs": m * (m - 1) // 2, "reason": ""}
    if m < LEAST_MODELS:
        reason = f"{m} models: a test needs at least {LEAST_MODELS}"
        return pd.DataFrame([{"term": t, **blank, "reason": reason} for t in terms])
    design = np.stack([_pairs(predictors[t]) for t in terms], axis=1)
    y, draws = _pairs(response), model_permutations(m, permutations, seed=seed)
    intervals = _intervals(y, design, list(clusters or map(str, range(m))), confidence)
    rows = []
    for number, term in enumerate(terms):
        row = {"term": term, **blank, "reason": _degenerate(y, design, number)}
        if not row["reason"]:
            found = _statistics(y, design, number, draws)
            row |= dict(zip(("low", "high", "reason"), intervals(number), strict=True))
            row["coefficient"] = float(_fit(y, design)[number])
            row["partial_correlation"] = float(found[0])
            row["p"] = permutation_p(found, alternative=alternative)
            row["permutations"] = len(draws) - 1
        rows.append(row)
    return pd.DataFrame(rows)


def _check(response, predictors: Mapping[str, np.ndarray]) -> None:
    if not predictors:
        raise ValueError("a regression needs at least one predictor: got none")
    upper = np.triu_indices(len(response), 1)
    for name, matrix in {"response": response, **predictors}.items():
        a, b = matrix[upper], matrix.T[upper]
        if not np.isfinite(a).all() or not np.allclose(a, b, rtol=1e-9, atol=1e-12):
            raise ValueError(
                f"{name} must be finite and symmetric off the diagonal; leave out models with "
                "missing scores (complete_models) and average directions (both_directions)"
            )


def _pairs(matrix: Float64[np.ndarray, "m m"]) -> Float64[np.ndarray, " pairs"]:
    return matrix[np.triu_indices(len(matrix), 1)]


def _basis(design: Float64[np.ndarray, "pairs _"]) -> Float64[np.ndarray, "pairs rank"]:
    """Orthonormal columns that span a constant and the design."""
    columns = np.concatenate([np.ones((len(design), 1)), design], axis=1)
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, sizes > _NOTHING * sizes[0]]


def _residual(values: np.ndarray, basis: np.ndarray) -> np.ndarray:
    return values - (values @ basis) @ basis.T


def _fit(
    y: Float64[np.ndarray, " pairs"], design: Float64[np.ndarray, "pairs terms"]
) -> Float64[np.ndarray, " terms"]:
    """Least-squares coefficients, without that of the constant; NaN where others determine it."""
    columns = np.concatenate([np.ones((len(design), 1)), design], axis=1)
    if len(y) < columns.shape[1]:
        return np.full(design.shape[1], np.nan)
    scale = np.linalg.norm(columns, axis=0)
    scale[scale == 0] = 1.0
    left, sizes, right = np.linalg.svd(columns / scale, full_matrices=False)
    kept = sizes > _NOTHING * sizes[0]
    found = right[kept].T @ ((left[:, kept].T @ y) / sizes[kept]) / scale
    found[(np.abs(right[~kept]) > _UNCLEAR).any(axis=0)] = np.nan
    return found[1:]


def _degenerate(y: np.ndarray, design: np.ndarray, number: int) -> str:
    """Why term `number` has no coefficient or no test; "" if it has."""
    x = design[:, number]
    if np.linalg.norm(_residual(y, _basis(design[:, :0]))) <= _NOTHING * np.linalg.norm(y):
        return "all scores are equal"
    if np.linalg.norm(_residual(x, _basis(design[:, :0]))) <= _NOTHING * np.linalg.norm(x):
        return "the predictor is the same for all pairs"
    others = _basis(np.delete(design, number, axis=1))
    if np.linalg.norm(_residual(x, others)) <= _NOTHING * np.linalg.norm(x):
        return "the other predictors determine this one"
    if np.linalg.norm(_residual(y, others)) <= _NOTHING * np.linalg.norm(y):
        return "the other predictors explain the scores exactly"
    return ""


def _statistics(
    y: Float64[np.ndarray, " pairs"],
    design: Float64[np.ndarray, "pairs terms"],
    number: int,
    draws: Int[np.ndarray, "draws m"],
) -> Float64[np.ndarray, " draws"]:
    """Partial correlation of y and the permuted residual matrix of a term, for every draw.

    With Q an orthonormal basis of the other terms, permuted residuals ε have the length
    √(|ε|² − |Qᵀε|²) beyond these, and |ε| is the same for all permutations.
    """
    m = draws.shape[1]
    others = _basis(np.delete(design, number, axis=1))
    left = _residual(design[:, number], others)
    y = _residual(y, others)
    size = np.linalg.norm(left)
    moved = _matrix(left / size, m)
    targets = np.concatenate([(y / np.linalg.norm(y))[:, None], others], axis=1)
    # Of whole symmetric matrices, every pair twice.
    targets = np.stack([_matrix(t, m).ravel() / 2 for t in targets.T], axis=1)
    products = np.stack([moved[order][:, order].ravel() @ targets for order in draws])
    rest = 1 - np.square(products[:, 1:]).sum(axis=1)
    # A relabeling that the other terms determine tells nothing of this one.
    nothing = rest <= _NOTHING
    return np.where(nothing, 0.0, products[:, 0]) / np.sqrt(np.where(nothing, 1.0, rest))


def _matrix(values: Float64[np.ndarray, " pairs"], m: int) -> Float64[np.ndarray, "m m"]:
    """The symmetric matrix of values of pairs, with a zero diagonal."""
    matrix = np.zeros((m, m))
    matrix[np.triu_indices(m, 1)] = values
    return matrix + matrix.T


def _intervals(y: np.ndarray, design: np.ndarray, clusters: list[str], confidence: float):
    """Term number → (low, high, reason) of its coefficient."""
    labels = np.array(clusters)
    i, j = np.triu_indices(len(labels), 1)
    names = list(dict.fromkeys(clusters))
    kept = [(labels[i] != name) & (labels[j] != name) for name in names]
    fits = np.stack([_fit(y[keep], design[keep]) for keep in kept])
    centre = _fit(y, design)

    def interval(number: int) -> tuple[float, float, str]:
        values = fits[:, number]
        lost = [name for name, value in zip(names, values, strict=True) if np.isnan(value)]
        if len(names) < 3 or lost:
            why = f"it hangs on {lost[0]!r} alone" if lost else f"{len(names)} parts to leave out"
            return math.nan, math.nan, f"no interval: {why}"
        spread = math.sqrt((len(names) - 1) * float(np.var(values)))
        half = float(stdtrit(len(names) - 1, (1 + confidence) / 2)) * spread
        return float(centre[number]) - half, float(centre[number]) + half, ""

    return interval
