"""Exact centered inner products from the sums of residuals.

With residuals f_ij = a_ij − u_i − u_j (i ≠ j), their row sums r and total s, and the same for b:

* U-centering projects onto matrices orthogonal to all u_i + u_j (off the diagonal), so
  debiased = Σ f f' − 2⟨r, r'⟩/(n−2) + s s'/((n−1)(n−2));
* double centering does the same with the diagonal g_i = a_ii − 2u_i, q = r + g, total t:
  biased = Σ f f' + ⟨g, g'⟩ − 2⟨q, q'⟩/n + t t'/n²;
* grand-mean centering over i < j puts w_i = u_i − ū back:
  pairs = ½ [Σ f f' + 2⟨r, w'⟩ + 2⟨w, r'⟩ + 2(n−2)⟨w, w'⟩ − s s'/(n(n−1))].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int


class RowSums(NamedTuple):
    """What closed-form nulls need of every model's centered matrix, beside its self terms.

    Attributes:
      trace: Σ_i (HAH)_ii.
      diagonal_squares: Σ_i (HAH)_ii².
      row_squares: Σ_i (Σ_{j≠i} (a_ij − ā))², ā the mean over i ≠ j.
    """

    trace: Float64[np.ndarray, " m"]
    diagonal_squares: Float64[np.ndarray, " m"]
    row_squares: Float64[np.ndarray, " m"]

    def scaled(self, exponents: Int[np.ndarray, " m"]) -> RowSums:
        """Of matrices times 2^exponent."""
        powers = (exponents, 2 * exponents, 2 * exponents)
        return RowSums(*(np.ldexp(part, e) for part, e in zip(self, powers, strict=True)))

    def of(self, models: Sequence[int] | Int[np.ndarray, " chosen"]) -> RowSums:
        """Of some models, in the given order."""
        return RowSums(*(part[models] for part in self))


@dataclasses.dataclass(frozen=True, eq=False)
class GramTerms:
    """Centered inner products of kernel matrices: rows of chosen models against all models.

    Attributes:
      biased: Σ_ij (HAH)_ij (HBH)_ij = (n−1)²·HSIC₀.
      debiased: Σ_{i≠j} Ã_ij B̃_ij of the U-centered matrices = n(n−3)·HSIC₁; NaN below n = 4.
      pairs: Σ_{i<j} (a_ij − ā)(b_ij − b̄).
      bandwidths: σ of every model's Gaussian kernel, in units of the data; None for other kernels.
      precision: of the entries; sums are always float64.
      route: `"tiles"`, or `"features"` for linear kernels from cross-covariances.
      row_sums: sums of all models' centered matrices, for nulls.

    Self terms that rounding alone could have made are exactly 0.
    """

    biased: Float64[np.ndarray, "a m"]
    debiased: Float64[np.ndarray, "a m"]
    pairs: Float64[np.ndarray, "a m"]
    bandwidths: Float64[np.ndarray, " m"] | None
    precision: str
    route: str
    row_sums: RowSums


def row_sums(
    sums: Float64[np.ndarray, "m n"],
    offsets: Float64[np.ndarray, "m n"],
    diagonal: Float64[np.ndarray, "m n"],
) -> RowSums:
    """Sums of the centered matrices from those of residuals; arguments as `centered_terms` has."""
    n = sums.shape[1]
    g = diagonal - 2 * offsets
    q, w = sums + g, offsets - offsets.mean(axis=1, keepdims=True)
    centered = g - 2 * q / n + q.sum(axis=1, keepdims=True) / n**2
    rows = sums - sums.mean(axis=1, keepdims=True) + (n - 2) * w
    squares = (np.square(part).sum(axis=1) for part in (centered, rows))
    return RowSums(centered.sum(axis=1), *squares)


def centered_terms(
    products: Float64[np.ndarray, "a m"],
    sums: Float64[np.ndarray, "m n"],
    offsets: Float64[np.ndarray, "m n"],
    diagonal: Float64[np.ndarray, "m n"],
    chosen: Sequence[int],
    relative_rounding: Float64[np.ndarray, " m"],
    accumulation: float,
) -> tuple[Float64[np.ndarray, "a m"], Float64[np.ndarray, "a m"], Float64[np.ndarray, "a m"]]:
    """`biased`, `debiased` and `pairs` of `GramTerms`; the module's docstring has the algebra.

    Args:
      products: Σ_{i≠j} f f'.
      sums: r.
      offsets: u.
      diagonal: a_ii.
      chosen: models of the rows of `products`.
      relative_rounding: of an entry, relative to the root mean square of all entries.
      accumulation: relative rounding of the longest sum without float64.
    """
    chosen, n = list(chosen), sums.shape[1]

    def cross(x, y):
        return x[chosen] @ y.T

    def outer(x):
        total = x.sum(axis=1)
        return np.outer(total[chosen], total)

    g = diagonal - 2 * offsets
    q, w = sums + g, offsets - offsets.mean(axis=1, keepdims=True)
    biased = products + cross(g, g) - 2 * cross(q, q) / n + outer(q) / n**2
    off = products + 2 * cross(sums, w) + 2 * cross(w, sums) + 2 * (n - 2) * cross(w, w)
    pairs = (off - outer(sums) / (n * (n - 1))) / 2
    debiased = np.full_like(products, np.nan)
    if n >= 4:
        debiased = products - 2 * cross(sums, sums) / (n - 2)
        debiased += outer(sums) / ((n - 1) * (n - 2))
    means = sums.sum(axis=1) / (n * (n - 1)) + 2 * offsets.mean(axis=1)
    # What cancels in the sums above, for self terms: nothing smaller than its rounding is known.
    own = products[np.arange(len(chosen)), chosen]
    lengths = (np.square(part).sum(axis=1)[chosen] for part in (sums, g, q, w))
    r2, g2, q2, w2 = lengths
    sizes = (own + g2 + 3 * q2 / n, own + 3 * r2 / max(n - 2, 1), own + 5 * r2 / n + 5 * n * w2)
    for row, model in enumerate(chosen):
        square = means[model] ** 2 + 2 * abs(pairs[row, model]) / (n * (n - 1))
        for term, size in zip((biased, debiased, pairs), sizes, strict=True):
            noise = n * n * square * relative_rounding[model] ** 2
            clear_noise(term, row, model, noise + accumulation * size[row])
    return biased, debiased, pairs


def clear_noise(term: Float64[np.ndarray, "a m"], row: int, model: int, noise: float) -> None:
    """Sets a self term to 0 that rounding alone could have made.

    A ratio of such terms would be a number without meaning (equidistant rows, say).
    """
    if term[row, model] <= noise:
        term[row, model] = 0.0
