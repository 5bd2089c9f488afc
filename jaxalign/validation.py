"""Checks of arguments on the host, before anything is traced: what came, what was wanted."""

from __future__ import annotations

import re
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


_BYTES = {"b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_BYTES |= {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "": 1}


def check_bytes(size: int | str) -> int:
    """An amount of memory, e.g. `"4GiB"`, `"500 MB"` or a number of bytes.

    Raises:
      ValueError: it is not an amount of at least 1 MiB.
    """
    found = re.fullmatch(r"\s*([0-9.]+)\s*([a-z]*)\s*", str(size).lower())
    if found is None or found[2] not in _BYTES or found[1].count(".") > 1 or found[1] == ".":
        raise ValueError(f"not an amount of memory: {size!r}; write e.g. '4GiB' or '500MB'")
    number = int(float(found[1]) * _BYTES[found[2]])
    if number < 2**20:
        raise ValueError(f"a memory budget must be at least 1 MiB: got {size!r}")
    return number


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
    name_nonfinite(nonfinite_rows(x), name=name, ids=ids)


def name_nonfinite(
    bad: Bool[np.ndarray, " n"], *, name: str, ids: Sequence[str] | None = None
) -> None:
    """No row is marked as non-finite.

    Raises:
      ValueError: naming the first few marked rows, by id where there are ids.
    """
    rows = np.flatnonzero(bad)
    if len(rows):
        shown = ", ".join(str(row) if ids is None else f"{ids[row]!r}" for row in rows[:5])
        more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
        raise ValueError(
            f"{name} holds NaN or infinity in {len(rows)} of {len(bad)} rows: {shown}{more}; "
            'drop them, or pass on_nonfinite="drop" or "nan" to align'
        )
