"""Facts about one model's rows that decide how far its scores can be trusted."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from jaxalign.pairwise.duplicates import distinct_rows


def row_diagnostics(rows: Float32[np.ndarray, "n d"]) -> dict[str, int]:
    """Shape, zero rows and exact duplicates (bit-equal rows; −0 counts as 0).

    Args:
      rows: stored rows, after normalization.

    Returns:
      `n`, `width`, `zero_rows`; `duplicate_groups`, the number of values that occur more than once;
      and `duplicate_rows`, the number of rows that have at least one equal.
    """
    counts = np.diff(distinct_rows(rows).starts)
    repeated = counts[counts > 1]
    return {
        "n": len(rows),
        "width": rows.shape[1],
        "zero_rows": int((~rows.any(axis=1)).sum()),
        "duplicate_groups": len(repeated),
        "duplicate_rows": int(repeated.sum()),
    }
