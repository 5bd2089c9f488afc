"""Fixed blocks of rows, divided among processes: how anything is summed or listed over all rows.

The blocks do not depend on who computes them. What is joined in their order, and summed in it, has
the same bits for every number of processes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Shaped

from jaxalign.parallel.multihost import gather_rows, my_share

_ROWS = 4096  # of a block, where the caller names no other number


def fixed_blocks(n: int, size: int | None = None) -> list[tuple[int, int]]:
    """First row and end of every block of n rows; None means blocks of 4,096."""
    size = _ROWS if size is None else size
    return [(start, min(start + size, n)) for start in range(0, n, size)]


def own_blocks(n: int, size: int | None = None) -> list[tuple[int, int]]:
    """The blocks that this process computes: they follow each other."""
    return list(my_share(fixed_blocks(n, size)))


def over_blocks(
    n: int,
    compute: Callable[[int, int], tuple[Shaped[np.ndarray, "_ ..."], ...]],
    *,
    size: int | None = None,
) -> tuple[Shaped[np.ndarray, "_ ..."], ...]:
    """Arrays computed from every block `start:stop` of n rows, one block after the other.

    Every process computes its share of the blocks and gets those of all.

    Args:
      n: rows, at least one.
      compute: start, stop → arrays that are joined along their first axes.
      size: see `fixed_blocks`.
    """
    mine = own_blocks(n, size)
    # Without a share, the shapes of the first block are those of nothing.
    found = [compute(*block) for block in mine or fixed_blocks(n, size)[:1]]
    end = None if mine else 0
    return tuple(gather_rows(np.concatenate(parts)[:end]) for parts in zip(*found, strict=True))
