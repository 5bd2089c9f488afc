"""Facts about one model's rows that decide how far its scores can be trusted."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from jaxalign.embeddings.sources import ModelRows
from jaxalign.pairwise.duplicates import distinct_rows
from jaxalign.pairwise.row_blocks import RowBlocks, of_blocks, row_blocks


def row_diagnostics(
    rows: Float32[np.ndarray, "n d"] | ModelRows | RowBlocks,
) -> dict[str, int]:
    """Shape, zero rows and exact duplicates (bit-equal rows; −0 counts as 0).

    Each process reads its own blocks of rows; all end with the same facts.

    Args:
      rows: stored rows, after normalization.

    Returns:
      `n`, `width`, `zero_rows`; `duplicate_groups`, the number of values that occur more than once;
      and `duplicate_rows`, the number of rows that have at least one equal.
    """
    rows = row_blocks(rows)
    counts = np.diff(distinct_rows(rows).starts)
    repeated = counts[counts > 1]
    return {
        "n": rows.n,
        "width": rows.d,
        "zero_rows": int(of_blocks(rows, lambda block: (~block.any(axis=1)).sum()).sum()),
        "duplicate_groups": len(repeated),
        "duplicate_rows": int(repeated.sum()),
    }
