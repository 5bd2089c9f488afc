"""Edges in groups of one size, which are worked on one after the other.

What a message needs on its way is many times as large as the message itself; for few edges at a
time it stays in the cache. Where every structure has maps of its own, no group holds edges of two.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

EDGE_BLOCK = 128


def in_blocks(edges: Any) -> Any:
    """Cuts arrays of edges into groups; the last is filled up with copies of the last edge.

    Args:
      edges: pytree of arrays `[edges, …]`; the last edge is one of padding.

    Returns:
      The same with arrays `[groups, EDGE_BLOCK, …]`.
    """
    return jax.tree.map(_cut, edges)


def _cut(x: jax.Array) -> jax.Array:
    groups = math.ceil(len(x) / EDGE_BLOCK)
    spare = [(0, groups * EDGE_BLOCK - len(x))] + [(0, 0)] * (x.ndim - 1)
    return jnp.pad(x, spare, mode="edge").reshape(groups, EDGE_BLOCK, *x.shape[1:])
