"""Orthonormal factors of a model's centered features, and the overlap of two models' factors.

Everything that Procrustes, CCA, SVCCA and PWCCA read of a pair is the small matrix C = UaᵀUb, the
only work of order n; what depends on one model is done once. LAPACK and BLAS on the host, float64.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float32, Float64

_SINGLE = np.finfo(np.float32)


class Factors(NamedTuple):
    """Singular value decomposition X = U·diag(s)·Vᵀ of centered columns, up to a scale.

    Attributes:
      basis: U, `[n, r]` orthonormal columns, the directions above the resolution of float32.
      sizes: s, `[r]` singular values, descending; divided by their norm.
      loadings: Vᵀ, `[r, d]`.
    """

    basis: Any
    sizes: Any
    loadings: Any

    @property
    def rank(self) -> int:
        """Number of directions."""
        return self.sizes.shape[0]


def factors(rows: Float32[np.ndarray, "n d"], _seed: int = 0) -> Factors:
    """Factors of the centered rows, without directions that float32 does not resolve.

    Rounding to float32 (ε = 2⁻²³) moves a column x_j by at most ε/2·‖x_j‖, offset included, and so,
    with every column divided by its norm, no singular value by more than ε/2·√d. Directions whose
    singular value *in these units* is not above ε·√d are dropped: constant columns, and columns
    that depend on others up to rounding. The rank therefore does not depend on the units of single
    columns, and a large offset coarsens it just as it coarsened the data.

    Args:
      rows: stored rows, `[n, d]`.

    Returns:
      Factors of rank between 0 (all rows equal) and min(n − 1, d).
    """
    n, d = rows.shape
    columns = np.asarray(rows, dtype=np.float64, order="F")
    # Subnormal numbers are spaced as the smallest normal one is; this also keeps zeros apart.
    units = np.hypot(
        np.sqrt(np.square(columns).sum(0)), np.sqrt(n) * float(_SINGLE.smallest_normal)
    )
    centered = (columns - columns.mean(0)) / units
    basis, core = scipy.linalg.qr(centered, mode="economic", overwrite_a=True, check_finite=False)
    left, resolved, right = _svd(core)
    rank = min(int((resolved > float(_SINGLE.eps) * np.sqrt(d)).sum()), n - 1)
    turn, sizes, loadings = _svd((resolved[:rank, None] * right[:rank]) * units)
    norm = np.sqrt(np.square(sizes).sum())
    return Factors(basis @ (left[:, :rank] @ turn), sizes / norm if rank else sizes, loadings)


def factors_bytes(n: int, d: int) -> int:
    """Bytes that `factors` hold at most; while they are made, about four times as many."""
    rank = min(n - 1, d)
    return 8 * rank * (n + d + 1)


class Overlap:
    """C = UaᵀUb of two models, and what several metrics read of it, each made once, on demand.

    Attributes:
      core: C, `[ra, rb]`; its singular values are the canonical correlations.
      sizes: singular values of both models.
    """

    def __init__(
        self,
        core: Float64[np.ndarray, "ra rb"],
        sizes: tuple[Float64[np.ndarray, " ra"], Float64[np.ndarray, " rb"]],
        mirror: Overlap | None = None,
    ):
        self.core, self.sizes, self._mirror = core, sizes, mirror

    @functools.cached_property
    def canonical(
        self,
    ) -> tuple[Float64[np.ndarray, "ra c"], Float64[np.ndarray, " c"], Float64[np.ndarray, "c rb"]]:
        """P, ρ, Qᵀ with C = P·diag(ρ)·Qᵀ."""
        if self._mirror is None:
            return _svd(self.core)
        left, correlations, right = self._mirror.canonical
        return right.T, correlations, left.T

    @functools.cached_property
    def alignment(self) -> float:
        """‖XᵀY‖_* of the centered matrices of norm 1; their V do not change it."""
        if self._mirror is None:
            return nuclear_norm(self.sizes[0][:, None] * self.core * self.sizes[1])
        return self._mirror.alignment

    def flipped(self) -> Overlap:
        """The overlap of (b, a); work done for one direction serves both."""
        return Overlap(self.core.T, self.sizes[::-1], mirror=self)


def overlap(a: Factors, b: Factors) -> Overlap:
    """The overlap of two models: 2·n·ra·rb flops, all that a pair costs per structure."""
    return Overlap(a.basis.T @ b.basis, (a.sizes, b.sizes))


def no_direction(a: Factors, b: Factors) -> str:
    """Why a pair has no factors to compare; "" if it has."""
    for side, model in (("first", a), ("second", b)):
        if model.rank == 0:
            return (
                f"the rows of the {side} model are equal up to float32 rounding: "
                "no direction is left after centering"
            )
    return ""


def nuclear_norm(matrix: Float64[np.ndarray, "ra rb"]) -> float:
    """Sum of singular values."""
    return float(np.linalg.svd(matrix, compute_uv=False).sum())


def _svd(matrix):
    return scipy.linalg.svd(matrix, full_matrices=False, check_finite=False)
