"""What is left of embeddings when everything linear in known confounders is taken out.

With Z [n, p] the confounders, a column of ones beside them, and H the projection onto their span,

    X_res = (I − H) X,      share left = ‖X_res‖² / ‖X − mean‖²,

so that linear kernels become (I − H) K (I − H). H comes from a pivoted QR factorization of the
standardized columns of Z in float64: constant and linearly dependent columns (fractions that sum to
one, elements that nobody has) are recognized, not inverted. With a ridge λ > 0,

    X_res = X − mean − Q R (RᵀR + λ n I)⁻¹ Rᵀ Qᵀ X,

for confounders nearly as many as structures; it leaves some of their influence in.

References:
  Frisch, Waugh: Econometrica 1, 387 (1933); Pearl: Causality, 2nd ed. (2009), §3.3 (what adjusting
  for a variable means, and when it misleads).
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.linalg
from jaxtyping import Float, Float64, Int

from jaxalign.embeddings.sources import Readable, SelectedRows
from jaxalign.parallel.blocks import fixed_blocks

RANK_TOLERANCE = 1e-5
"""Part of its own spread below which a column is a combination of the others (float32 rounds)."""

NOTHING_LEFT = 1e-8
"""Share of the variance below which a residual is rounding noise and is not compared."""

_ALONE = 1e-6  # 1 − leverage of a structure whose row the confounders reproduce, whatever it is


@dataclasses.dataclass(frozen=True, eq=False)
class Regression:
    """Confounders made ready to be taken out of any model's rows.

    Attributes:
      kept: rows, of those given, that the regression is of: a structure that alone has some value
        of a confounder is reproduced exactly, whatever its embedding, and is left out.
      directions: `[n, r]` what is projected out is `directions @ weights @ directions.T`; its
        columns are orthonormal and orthogonal to the column of ones.
      weights: `[r, r]`; the identity without ridge.
    """

    kept: Int[np.ndarray, " n"]
    directions: Float64[np.ndarray, "n r"]
    weights: Float64[np.ndarray, "r r"]

    @property
    def rank(self) -> int:
        """Independent directions of the confounders, beside the constant."""
        return self.directions.shape[1]


def regression(z: Float[np.ndarray, "n p"], *, ridge: float = 0.0) -> Regression:
    """Factorizes confounders.

    Args:
      z: finite confounders, in any units: columns are standardized.
      ridge: λ, in units of the (standardized) columns' variance.

    Returns:
      The regression, over the structures that it leaves some freedom.

    Raises:
      ValueError: NaN or infinity in z, a negative ridge, or (without ridge) so many independent
        columns that nothing could be left of any embedding.
    """
    if not np.isfinite(z).all() or not ridge >= 0:
        raise ValueError(f"confounders must be finite and ridge >= 0: got ridge={ridge}")
    rounding = 16 * float(np.finfo(z.dtype).eps)
    z = np.asarray(z, np.float64)
    kept = np.arange(len(z))
    while True:
        q, r = _factors(z[kept], rounding)
        n, rank = q.shape
        if not ridge and n - 1 - rank < max(3, rank // 10):
            raise ValueError(
                f"the confounders have {rank} independent directions for {n} structures: nothing "
                "could be left of any embedding; give fewer confounders, more structures, or a "
                "ridge"
            )
        leverage = 1 / n + np.square(q).sum(axis=1)
        alone = 1 - leverage < _ALONE
        if ridge or not alone.any():
            break
        kept = kept[~alone]
    weights = np.eye(rank)
    if ridge:
        inverse = scipy.linalg.solve(r.T @ r + ridge * n * np.eye(r.shape[1]), r.T, assume_a="pos")
        weights = r @ inverse
    return Regression(kept, q, weights)


def _factors(
    z: Float64[np.ndarray, "n p"], rounding: float
) -> tuple[Float64[np.ndarray, "n r"], Float64[np.ndarray, "r varying"]]:
    """Q and R of the standardized columns, without directions that are combinations of others."""
    centered = z - z.mean(axis=0)
    deviation = np.sqrt(np.square(centered).mean(axis=0))
    varies = deviation > rounding * np.abs(z).max(axis=0, initial=0.0)
    scaled = centered[:, varies] / deviation[varies]
    if not scaled.size:
        return np.empty((len(z), 0)), np.empty((0, 0))
    q, r, _ = scipy.linalg.qr(scaled, mode="economic", pivoting=True)
    sizes = np.abs(np.diag(r))
    rank = int((sizes > RANK_TOLERANCE * sizes[0]).sum())
    return q[:, :rank], r[:rank]


@dataclasses.dataclass(frozen=True, eq=False)
class ResidualRows:
    """Rows of a model without what confounders say of them; computed where they are read.

    Attributes:
      raw: the model's rows, those that the regression keeps, in order.
      directions: of the regression.
      mean: of the model's rows.
      coefficients: `[r, d]`.
    """

    raw: Readable
    directions: Float64[np.ndarray, "n r"]
    mean: Float64[np.ndarray, " d"]
    coefficients: Float64[np.ndarray, "r d"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width."""
        return self.raw.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers."""
        return np.dtype(np.float64)

    def read(self, start: int, stop: int) -> Float64[np.ndarray, "rows d"]:
        """Rows `start:stop`."""
        return self._residual(self.raw.read(start, stop), self.directions[start:stop])

    def take(self, index: Int[np.ndarray, " rows"]) -> Float64[np.ndarray, "rows d"]:
        """Rows of the given numbers, in that order."""
        return self._residual(self.raw.take(index), self.directions[index])

    def _residual(self, rows: np.ndarray, directions: np.ndarray) -> np.ndarray:
        return np.asarray(rows, np.float64) - self.mean - directions @ self.coefficients


def residual_rows(raw: Readable, fit: Regression) -> ResidualRows:
    """Takes confounders out of a model's rows; two passes over blocks of them.

    Args:
      raw: rows of the structures that the regression keeps, in order.
      fit: the regression.

    Returns:
      The residual rows.
    """
    n, d = raw.shape
    blocks = fixed_blocks(n)
    first, total = np.asarray(raw.read(0, 1)[0], np.float64), np.zeros(d)
    for start, stop in blocks:  # of differences: the mean of equal rows is then exact
        total += (np.asarray(raw.read(start, stop), np.float64) - first).sum(axis=0)
    mean = first + total / n
    projected = np.zeros((fit.rank, d))
    for start, stop in blocks:
        rows = np.asarray(raw.read(start, stop), np.float64) - mean
        projected += fit.directions[start:stop].T @ rows
    return ResidualRows(raw, fit.directions, mean, fit.weights @ projected)


def share_left(rows: ResidualRows) -> tuple[float, str]:
    """Share of a model's variance that its confounders do not explain.

    By chance alone, r of n − 1 parts of any embedding are explained by r directions.

    Returns:
      The share, and why the residual must not be compared ("" if it may): the rows are all equal,
      or the residual is no more than the rounding of the rows.
    """
    left = spread = size = 0.0
    for start, stop in fixed_blocks(rows.shape[0]):
        block = np.asarray(rows.raw.read(start, stop), np.float64)
        size += float(np.square(block).sum())
        spread += float(np.square(block - rows.mean).sum())
        left += float(np.square(rows.read(start, stop)).sum())
    rounding = float(np.finfo(np.float64).eps) ** 2 * size
    if spread <= 16 * rounding:
        return float("nan"), "all rows are equal"
    rounding = _unit(rows.raw.dtype) ** 2 * size
    share = left / spread
    if left <= max(NOTHING_LEFT * spread, 16 * rounding):
        return share, "the confounders explain all of its rows"
    return share, ""


def _unit(dtype: np.dtype) -> float:
    """Relative rounding of stored numbers; those of unknown types are taken for bfloat16."""
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else 2.0**-7


def moved_rows(rows: ResidualRows, order: Int[np.ndarray, " n"], fit: Regression) -> ResidualRows:
    """A draw of the null hypothesis: residual rows in another order, made residuals again.

    Residuals live in n − 1 − r dimensions that all models share, which alone makes them look a
    little alike. Taking the confounders out once more puts the draw into the same space.

    Args:
      rows: residual rows.
      order: row i of the draw is row `order[i]`.
      fit: the regression.

    Returns:
      The draw.

    References:
      Freedman, Lane: J. Business & Economic Statistics 1, 292 (1983); Winkler et al.: NeuroImage
      92, 381 (2014).
    """
    return residual_rows(SelectedRows(rows, order), fit)
