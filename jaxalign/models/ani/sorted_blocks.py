"""Rows → blocks of similar rows, so that work which a block does not need can be skipped.

Shapes are fixed under `jit`, but branches are not: once rows (atoms of a whole batch) are sorted by
what they need, most blocks need little, and those of padding need nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int


def map_sorted_blocks(
    function: Callable[..., Any], key: Int[Array, " rows"], *rows: Array, block: int
) -> Any:
    """Applies a function to blocks of rows with similar keys, one block after the other.

    Args:
      function: row arrays `[block, ...]` → pytree of arrays `[block, ...]`, each row of which
        depends on its own row alone.
      key: what to sort by.
      *rows: arguments of the function for all rows: arrays whose first axis is that of the key.
      block: rows of a block; at most all rows.

    Returns:
      What the function gives, in the order in which the rows came.
    """
    count = len(key)
    block = min(block, count)
    order = jnp.argsort(key)
    back = jnp.argsort(order)
    # Repeating the last row fills the last block without asking for work of another kind.
    order = jnp.pad(order, (0, -count % block), mode="edge")
    blocks = [array[order].reshape(-1, block, *array.shape[1:]) for array in rows]
    results = jax.lax.map(lambda one: function(*one), tuple(blocks))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[back], results)
