"""Arguments that searches and sweeps share, checked on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int

from jaxalign.types import Labels

SIMILARITIES = ("cosine", "inner", "euclidean")
_TILE = 256  # query rows, where the caller names none


def check_similarity(similarity: str) -> None:
    """Refuses what is no similarity.

    Raises:
      ValueError: names the known ones.
    """
    if similarity not in SIMILARITIES:
        raise ValueError(f"unknown similarity {similarity!r}: choose one of {SIMILARITIES}")


def check_tile_size(tile_size: Any) -> int:
    """Query rows per tile; None means the default.

    Raises:
      ValueError: not a positive integer.
    """
    if tile_size is None:
        return _TILE
    if isinstance(tile_size, bool) or not isinstance(tile_size, int | np.integer) or tile_size < 1:
        raise ValueError(f"tile_size must be a positive integer: got {tile_size!r}")
    return int(tile_size)


def group_codes(groups: Labels | None, n: int, k: int) -> Int[np.ndarray, " n"]:
    """One number a row; rows of equal number are never each other's neighbors.

    Raises:
      ValueError: not one label a row, or a group that leaves its rows fewer than k neighbors.
    """
    if groups is None:
        return np.arange(n, dtype=np.int32)
    if np.shape(groups) != (n,):
        raise ValueError(f"groups must hold one label a row: got {np.shape(groups)}, wanted ({n},)")
    # None (and NaN, what tables make of it) means a group of its own.
    labels = [("row", i) if g is None or g != g else ("", g) for i, g in enumerate(groups)]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    codes = np.array([numbers[label] for label in labels])
    sizes = np.bincount(codes)
    largest = int(sizes.argmax())
    if n - sizes[largest] < k:
        raise ValueError(
            f"group {list(numbers)[largest][1]} holds {sizes[largest]} of {n} rows, which leaves "
            f"{n - sizes[largest]} possible neighbors: fewer than k={k}; lower k or split the group"
        )
    return codes.astype(np.int32)
