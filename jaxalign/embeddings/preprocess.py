"""Normalization of embeddings, shared by all metrics: one place, one rounding.

The float32 rows returned here *are* the stored rows: neighbor orders, ties and scores are decided
by these rounded numbers, exactly. Everything is computed in float64 on the host; a row's result
depends on that row alone (and, for `"standardize"`, on the column moments of the whole array), so
splitting the rows into blocks never changes a bit.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped

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
    if method not in NORMALIZATIONS:
        raise ValueError(f"unknown normalization {method!r}; choose one of {NORMALIZATIONS}")
    x = check_matrix(x)
    # C order matters: the order of a row's summation follows the memory layout.
    rows = np.array(x, dtype=np.float64, order="C")
    with np.errstate(invalid="ignore"):
        if method == "l2":
            rows = _divide_rows(rows, squared=True)
        elif method == "max_abs_row":
            rows = _divide_rows(rows, squared=False)
        elif method == "standardize":
            rows = _standardize(rows)
    return _to_float32(rows)


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


def _standardize(rows: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "n d"]:
    centered = rows - rows.mean(axis=0)
    deviation = np.sqrt(np.square(centered).mean(axis=0))
    # The rounded mean of equal numbers may differ from them: constancy is tested, not computed.
    constant = (rows == rows[0]).all(axis=0)
    return np.where(constant, 0.0, centered / np.where(constant | (deviation == 0), 1.0, deviation))


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
