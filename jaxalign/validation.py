"""Checks of arguments on the host, before anything is traced: what came, what was wanted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from jaxalign.types import MatrixLike


def check_matrix(x: MatrixLike, *, name: str = "x") -> Float[np.ndarray, "n d"]:
    """A real floating `[n, d]` array with at least one column.

    Raises:
      ValueError: for other shapes, and for integer, complex or object arrays.
    """
    x = np.asarray(x)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{name} must have shape [n, d] with n, d >= 1: got shape {x.shape}")
    # ml_dtypes (bfloat16, float8) report kind "V"; they convert to float32 without loss.
    if x.dtype.kind == "V" and "float" in x.dtype.name:
        x = x.astype(np.float32)
    if x.dtype.kind != "f":
        raise ValueError(
            f"{name} must be a floating-point array: got dtype {x.dtype}; "
            "convert it, e.g. x.astype(np.float32)"
        )
    return x


def check_k(k: int | np.integer, n: int, *, least: int = 1) -> None:
    """Neighbors per row: `least` <= k < n.

    Raises:
      ValueError: naming k, n and the allowed range.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise ValueError(f"k must be an integer: got {k!r}")
    if k >= n:
        raise ValueError(
            f"k must be smaller than the number of samples: got k={k}, n={n}; pass k <= {n - 1}"
        )
    if k < least:
        raise ValueError(f"k must be at least {least}: got k={k}")


def nonfinite_rows(x: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, " n"]:
    """Rows that hold a NaN or an infinity."""
    return ~np.isfinite(x).all(axis=1)


def check_finite(
    x: Float[np.ndarray, "n d"], *, name: str = "x", ids: Sequence[str] | None = None
) -> None:
    """All rows are finite.

    Raises:
      ValueError: naming the first few offending rows, by id where there are ids.
    """
    bad = np.flatnonzero(nonfinite_rows(x))
    if len(bad):
        shown = ", ".join(str(row) if ids is None else f"{ids[row]!r}" for row in bad[:5])
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise ValueError(
            f"{name} holds NaN or infinity in {len(bad)} of {len(x)} rows: {shown}{more}; "
            'drop them, or pass on_nonfinite="drop" or "nan" to align'
        )
