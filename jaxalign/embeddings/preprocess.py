"""Normalization of embeddings, shared by all metrics: one place, one rounding.

The float32 rows returned here *are* the stored rows: neighbor orders, ties and scores are decided
by these rounded numbers, exactly. Everything is computed in float64 on the host; a row's result
depends on that row alone (and, for `"standardize"`, on the column moments of the whole array, which
are always summed in the same blocks), so reading rows in blocks never changes a bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Shaped

from jaxalign.parallel.blocks import own_blocks
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.multihost import gather_rows
from jaxalign.validation import check_matrix

NORMALIZATIONS = ("none", "l2", "max_abs_row", "standardize")
"""Names of the methods."""


def normalize_rows(x: Shaped[np.ndarray, "n d"], method: str) -> Float32[np.ndarray, "n d"]:
    """Normalizes embeddings before they are compared.

    With s_i the scale of row i:

    * `"none"`: x_i, rounded to float32.
    * `"l2"`: x_i / s_i with s_i = √(Σ_j x_ij²).
    * `"max_abs_row"`: x_i / s_i with s_i = max_j |x_ij|.
    * `"standardize"`: (x_ij − mean_j) / sd_j over rows, population variance (division by n).

    A row of zeros stays zero under the row methods, a constant column becomes zero under
    `"standardize"`. NaN and infinity spread to NaN within their row (under `"standardize"`: within
    their column) and are not refused here.

    Args:
      x: `[n, d]` floating-point embeddings.
      method: one of `NORMALIZATIONS`.

    Returns:
      `[n, d]` float32 rows, C-contiguous, never a view of `x`.

    Raises:
      ValueError: for an unknown method, an array that is not a floating-point matrix, or finite
        values that float32 cannot hold.
    """
    _check_method(method)
    x = check_matrix(x)
    return Normalizer.of(_Whole(x), method)(x)


@dataclasses.dataclass(frozen=True, eq=False)
class Normalizer:
    """A normalization, ready for any block of rows; see `normalize_rows`.

    Attributes:
      method: one of `NORMALIZATIONS`.
      mean: column means, for `"standardize"`.
      deviation: column standard deviations, 1 where the column is constant.
      constant: columns of one single value.
    """

    method: str
    mean: Float64[np.ndarray, " d"] | None = None
    deviation: Float64[np.ndarray, " d"] | None = None
    constant: Bool[np.ndarray, " d"] | None = None

    @classmethod
    def of(cls, source: Any, method: str) -> Normalizer:
        """The normalizer of a source with `shape` and `read(start, stop)`.

        For `"standardize"` all processes of a run take part, each with its share of blocks.

        Raises:
          ValueError: for an unknown method.
        """
        _check_method(method)
        if method != "standardize":
            return cls(method)
        n, d = source.shape
        mine = own_blocks(n)
        with np.errstate(invalid="ignore"):
            with stop_together():
                first = np.array(source.read(0, 1), np.float64)
                blocks = (np.array(source.read(*block), np.float64) for block in mine)
                sums = [(block.sum(axis=0), (block == first).all(axis=0)) for block in blocks]
            mean = _sum_blocks([total for total, _ in sums], d) / n
            equal = np.array([same for _, same in sums], bool).reshape(len(sums), d)
            constant = gather_rows(equal).all(axis=0)
            with stop_together():
                blocks = (np.array(source.read(*block), np.float64) for block in mine)
                squares = [np.square(block - mean).sum(axis=0) for block in blocks]
            deviation = np.sqrt(_sum_blocks(squares, d) / n)
        # The rounded mean of equal numbers may differ from them: constancy is tested, not computed.
        return cls(method, mean, np.where(constant | (deviation == 0), 1.0, deviation), constant)

    def __call__(self, x: Shaped[np.ndarray, "n d"]) -> Float32[np.ndarray, "n d"]:
        """Normalized float32 rows of a block."""
        # C order matters: the order of a row's summation follows the memory layout.
        rows = np.array(x, dtype=np.float64, order="C")
        with np.errstate(invalid="ignore"):
            if self.method == "l2":
                rows = _divide_rows(rows, squared=True)
            elif self.method == "max_abs_row":
                rows = _divide_rows(rows, squared=False)
            elif self.method == "standardize":
                rows = np.where(self.constant, 0.0, (rows - self.mean) / self.deviation)
        return _to_float32(rows)


class _Whole:
    def __init__(self, x: np.ndarray):
        self.shape, self._x = x.shape, x

    def read(self, start: int, stop: int) -> np.ndarray:
        return self._x[start:stop]


def _sum_blocks(parts: Sequence[Float64[np.ndarray, " d"]], d: int) -> Float64[np.ndarray, " d"]:
    """Sum over the blocks of all processes, in the order of the blocks: no bit depends on them."""
    total = np.zeros(d)
    for part in gather_rows(np.array(parts, np.float64).reshape(len(parts), d)):
        total += part
    return total


def _check_method(method: str) -> None:
    if method not in NORMALIZATIONS:
        raise ValueError(f"unknown normalization {method!r}; choose one of {NORMALIZATIONS}")


def _divide_rows(rows: Float64[np.ndarray, "n d"], *, squared: bool) -> Float64[np.ndarray, "n d"]:
    largest = np.abs(rows).max(axis=1, keepdims=True)
    if squared:
        # Powers of two only: exact, and squares neither overflow nor vanish for extreme float64.
        _, exponent = np.frexp(largest)
        rows = np.ldexp(rows, -exponent)
        scale = np.sqrt(np.add.reduce(rows * rows, axis=1, keepdims=True))
    else:
        scale = largest
    return rows / np.where(scale == 0, 1.0, scale)


def _to_float32(rows: Float64[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    with np.errstate(over="ignore"):
        rounded = rows.astype(np.float32)
    overflown = (np.isinf(rounded) & np.isfinite(rows)).any(axis=1)
    if overflown.any():
        raise ValueError(
            f"x holds values beyond the float32 range in {int(overflown.sum())} rows, first row "
            f"{int(overflown.argmax())}; rescale x before comparing it"
        )
    return rounded
