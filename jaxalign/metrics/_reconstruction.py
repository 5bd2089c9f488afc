"""Linear reconstruction error: how much of one model a ridge regression on another recovers.

The statistics of a model hold all that depends on its features alone (split, Gram matrices of the
folds and their eigenvectors); a pair adds the cross-covariances of the folds, and the error of
every ridge strength follows from small matrices. LAPACK and BLAS on the host, float64.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float32, Float64

from jaxalign.metrics._definition import FeatureMetric, Outcome
from jaxalign.metrics._features import feature_score
from jaxalign.types import MatrixLike, Score

FOLDS = 5
RIDGES = tuple(10.0**exponent for exponent in range(2, -13, -1))
"""Ridge strengths, relative to the largest eigenvalue of the Gram matrix that is solved."""


class Fit(NamedTuple):
    """Ridge regressions on the rows of one Gram matrix G = V·diag(λ)·Vᵀ, judged on another.

    Attributes:
      vectors: V, `[d, d]`.
      shrink: 1 / (λ + ridge), `[ridges, d]`; 0 in directions that the rows do not span.
      judged: VᵀG'V, `[d, d]`, G' the Gram matrix of the rows that judge the regression.
    """

    vectors: np.ndarray
    shrink: np.ndarray
    judged: np.ndarray


class Halves(NamedTuple):
    """One model's features, prepared to be regressed on and to be the target.

    Attributes:
      rows: centered and scaled, in the order of the split: folds of the first half, second half.
      bounds: starts of the folds, of the second half, and the end.
      energy: squared norm of the rows of each fold and of the second half.
      fits: one per fold, judged on that fold; the last on the first half, judged on the second.
      constant: whether all rows are equal up to float32 rounding.
    """

    rows: np.ndarray
    bounds: tuple[int, ...]
    energy: np.ndarray
    fits: tuple[Fit, ...]
    constant: bool


def split(n: int, seed: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """The order of the structures and the bounds of the parts; the same for all models.

    The first half, of n − ⌊n/2⌋ structures, is cut into 5 folds (fewer if it has fewer); the first
    ones are longer by one where it does not divide.
    """
    first = n - n // 2
    folds = min(FOLDS, first)
    size, longer = divmod(first, folds)
    bounds = tuple(fold * size + min(fold, longer) for fold in range(folds + 1))
    return np.random.default_rng(seed).permutation(n), (*bounds, n)


def halves(rows: Float32[np.ndarray, "n d"], seed: int) -> Halves:
    """Statistics of one model: columns centered, the whole matrix divided by its deviation.

    Args:
      rows: stored rows, `[n, d]`.
      seed: of the split.
    """
    n, d = rows.shape
    order, bounds = split(n, seed)
    x = rows.astype(np.float64)
    resolution = float(np.finfo(np.float32).eps) * np.sqrt(np.square(x).sum())
    x -= x.mean(0)
    norm = np.sqrt(np.square(x).sum())
    constant = bool(norm <= resolution)
    x = np.zeros_like(x) if constant else x[order] * (math.sqrt(n) / norm)
    if d > n:  # a rotation into n columns: neither errors nor ridges change
        x = np.ascontiguousarray(scipy.linalg.qr(x.T, mode="r", check_finite=False)[0][:n].T)
    parts = [x[start:stop] for start, stop in itertools.pairwise(bounds)]
    grams = [part.T @ part for part in parts]
    half = sum(grams[:-1])
    fits = [_fit(half - gram, gram) for gram in grams[:-1]] + [_fit(half, grams[-1])]
    energy = np.array([np.trace(gram) for gram in grams])
    return Halves(x, bounds, energy, tuple(fits), constant)


def _fit(gram: Float64[np.ndarray, "d d"], judge: Float64[np.ndarray, "d d"]) -> Fit:
    values, vectors = scipy.linalg.eigh(gram, driver="evd", check_finite=False)
    ridged = values + np.asarray(RIDGES)[:, None] * values[-1]
    # In directions that the rows do not span, XᵀY is zero but for rounding: nothing to divide.
    spanned = values > len(values) * np.finfo(np.float64).eps * values[-1]
    shrink = np.divide(1.0, ridged, out=np.zeros_like(ridged), where=spanned[None])
    return Fit(vectors, shrink, vectors.T @ judge @ vectors)


def halves_bytes(n: int, d: int) -> int:
    """Bytes that `halves` hold at most."""
    width = min(n, d)
    return 8 * (n * width + (FOLDS + 1) * width * (2 * width + len(RIDGES) + 1))


def covariances(a: Halves, b: Halves) -> Float64[np.ndarray, "parts da db"]:
    """AᵀB of every fold and of the second half: n·da·db products, all that a pair costs per row."""
    parts = itertools.pairwise(a.bounds)
    return np.stack([a.rows[start:stop].T @ b.rows[start:stop] for start, stop in parts])


def swapped(ab: Float64[np.ndarray, "parts da db"]) -> Float64[np.ndarray, "parts db da"]:
    """BᵀA from AᵀB."""
    return ab.transpose(0, 2, 1)


def squared_errors(
    fit: Fit,
    trained: Float64[np.ndarray, "da db"],
    judged: Float64[np.ndarray, "da db"],
    energy: float,
) -> Float64[np.ndarray, " ridges"]:
    """‖Y' − X'W‖² for every ridge, W = V·diag(shrink)·Vᵀ(XᵀY), from Gram matrices alone.

    ‖Y'‖² − 2⟨W, X'ᵀY'⟩ + ⟨W, X'ᵀX'·W⟩ = ‖Y'‖² − 2·s·p + sᵀ(M∘ZZᵀ)s with Z = Vᵀ(XᵀY),
    p_i = Σ_k Z_ik (VᵀX'ᵀY')_ik and M = VᵀX'ᵀX'V.
    """
    z = fit.vectors.T @ trained
    products = (z * (fit.vectors.T @ judged)).sum(1)
    quadratic = fit.judged * (z @ z.T)
    s = fit.shrink
    return energy - 2 * (s @ products) + ((s @ quadratic) * s).sum(1)


def reconstruct(
    a: Halves, b: Halves, ab: Float64[np.ndarray, "parts da db"]
) -> tuple[float, float, str]:
    """Error of a → b, the ridge that cross-validation chose, and why the error is NaN."""
    for side, model in (("first", a), ("second", b)):
        if model.constant:
            reason = f"the rows of the {side} model are equal up to float32 rounding"
            return math.nan, math.nan, reason
    if not b.energy[-1] > 0:
        return math.nan, math.nan, "the second model is zero on the half that is held out"
    half = ab[:-1].sum(0)
    validation = np.zeros(len(RIDGES))
    for fit, part, energy in zip(a.fits[:-1], ab[:-1], b.energy[:-1], strict=True):
        validation += squared_errors(fit, half - part, part, energy)
    best = int(validation.argmin())
    chosen = a.fits[-1]._replace(shrink=a.fits[-1].shrink[best : best + 1])
    error = squared_errors(chosen, half, ab[-1], b.energy[-1])[0]
    return math.sqrt(max(0.0, error) / b.energy[-1]), RIDGES[best], ""


def reconstruction_term(a: Halves, b: Halves, ab: Float64[np.ndarray, "parts da db"]) -> Outcome:
    """‖Y − XW‖_F / ‖Y‖_F on the second half."""
    value, _, reason = reconstruct(a, b, ab)
    return value, reason


RECONSTRUCTION = FeatureMetric(
    id="reconstruction",
    title="reconstruction error",
    definition=(
        "Share of the second model, in norm, that a ridge regression on the first does not "
        "predict: ‖Y − XW‖_F / ‖Y‖_F on one half of the structures, W fitted on the other."
    ),
    least_n=4,
    low=0.0,
    high=math.inf,
    best=0.0,
    symmetric=False,
    is_similarity=False,
    invariances=("rotation", "isotropic scaling", "translation"),
    statistics=halves,
    cross=covariances,
    flip=swapped,
    term=reconstruction_term,
    bytes_per_model=halves_bytes,
)


def reconstruction_error(
    x: MatrixLike, y: MatrixLike, *, seed: int = 0, normalize: str | None = None
) -> Score:
    """Global reconstruction error x → y by ridge regression (Chorna et al. 2025), directed.

        GRE(X → Y) = ‖Y₂ − X₂W‖_F / ‖Y₂‖_F,   W = (X₁ᵀX₁ + λ·I)⁻¹ X₁ᵀY₁:

    columns centered over all rows, each matrix divided by its overall standard deviation, then the
    rows split at random into halves 1 (fitted; the larger one if n is odd) and 2 (judged).
    λ = ρ·λ_max(X₁ᵀX₁) with ρ from 10², 10, …, 10⁻¹² by the smallest summed squared error of 5-fold
    cross-validation on half 1 (ρ times λ_max of the fold's own training rows; with fewer than 5
    rows, each row is a fold). 0: y is linear in x; 1: x predicts no better than the mean.

    Args:
      x: `[n, dx]` embeddings of n >= 4 structures; predicts.
      y: `[n, dy]` embeddings of the same structures in the same order; is predicted.
      seed: of the split, `numpy.random.default_rng(seed).permutation(n)`: the same for all models.
      normalize: `"none"` (None means this default), `"l2"`, `"max_abs_row"` or `"standardize"`.

    Returns:
      Score >= 0, not symmetric, above 1 where the fit misleads; `diagnostics["ridge"]` is ρ. NaN
      with `diagnostics["reason"]` where all rows of a side are equal.

    Raises:
      ValueError: n < 4, shapes, non-finite rows or an unknown normalization.

    References:
      Chorna et al., arXiv 2512.05717 (2025); Goscinski, Fraux, Imbalzano, Ceriotti: The role of
      feature space in atomistic learning, Mach. Learn.: Sci. Technol. 2 (2021).

    Note:
      float64 throughout; errors come from Gram matrices, so values below about 1e-6 are rounding.
      `skmatter.metrics.global_reconstruction_error` takes means and deviations from half 1 and
      divides by the deviation of Y₁ instead of ‖Y₂‖.
    """
    chosen = []

    def term(a: Halves, b: Halves, ab: Float64[np.ndarray, "parts da db"]) -> Outcome:
        value, ridge, reason = reconstruct(a, b, ab)
        chosen.append(ridge)
        return value, reason

    metric = dataclasses.replace(RECONSTRUCTION, term=term)
    score = feature_score(metric, x, y, normalize=normalize, seed=seed)
    details = {"seed": seed, "ridge": chosen[0], "folds": min(FOLDS, len(x) - len(x) // 2)}
    return dataclasses.replace(score, diagnostics={**score.diagnostics, **details})
