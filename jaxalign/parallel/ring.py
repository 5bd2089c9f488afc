"""Every device meets every shard: blocks travel round a ring, or all are gathered at once.

Inside `jax.shard_map` only. Both ways call the same step on the same blocks in the same order, so
they give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxalign.parallel.mesh import AXES

Carry = TypeVar("Carry")
Block = Any  # a pytree of arrays
# (step, shard that the block is, block, carry) → carry
Step = Callable[[jax.Array, jax.Array, Block, Carry], Carry]


def shard_index(axes: str | tuple[str, ...] = AXES) -> jax.Array:
    """Number of the shard that this device holds, int32."""
    return jax.lax.axis_index(axes)


def varying(tree: Any, axes: str | tuple[str, ...] = AXES) -> Any:
    """Marks values that are equal on all devices as ones that will differ: carries of loops."""
    names = (axes,) if isinstance(axes, str) else axes

    def mark(x):
        missing = tuple(axis for axis in names if axis not in _varies(x))
        return jax.lax.pcast(x, missing, to="varying") if missing else x

    return jax.tree.map(mark, tree)


def varying_like(tree: Any, *others: jax.Array) -> Any:
    """Marks values as different on the devices where any of the others is; none outside a mesh."""
    axes = tuple(sorted(frozenset().union(*map(_varies, others))))
    return varying(tree, axes) if axes else tree


def _varies(x):
    kind = jax.typeof(x)
    # Named differently before and after jax 0.10.
    return kind.vma if hasattr(kind, "vma") else kind.mat.varying


def visit_shards(
    step: Step,
    carry: Carry,
    block: Block,
    *,
    gather: bool = False,
    count: int | None = None,
    order: Sequence[int] | None = None,
    axes: str | tuple[str, ...] = AXES,
) -> Carry:
    """Calls `step` with the blocks of shards s, s + 1, … of a device that holds shard s.

    Args:
      step: takes the number of the step, the number of the shard, its block and the carry.
      carry: made to vary over all devices.
      block: of this device.
      gather: hold all blocks at once instead of passing them on.
      count: blocks to meet, the own one first; None means all.
      order: of the shards in the ring, see `torus.ring_order`; None means by number. The shards
        that follow s are then those that follow it there.
      axes: mesh axes over which the shards are split.

    Returns:
      The last carry.

    Note:
      In the ring, the exchange of the next block is issued before the step that uses the present
      one, and depends on nothing of it: the compiler may run both at once.
    """
    size = jax.lax.axis_size(axes)
    count = size if count is None else count
    own = shard_index(axes)
    carry = varying(carry)

    def source(number):
        if order is None:
            return ((own + number) % size).astype(jnp.int32)
        ring = jnp.asarray(np.asarray(order, np.int32))
        place = jnp.asarray(np.argsort(order).astype(np.int32))[own]
        return ring[(place + number) % size]

    if gather:
        blocks = jax.tree.map(lambda x: jax.lax.all_gather(x, axes), block)

        def pick(number, carry):
            shard = source(number)
            present = jax.tree.map(
                lambda x: jax.lax.dynamic_index_in_dim(x, shard, 0, keepdims=False), blocks
            )
            return varying(step(number, shard, present, carry))

        return jax.lax.fori_loop(jnp.int32(0), jnp.int32(count), pick, carry)

    def turn(number, state):
        carry, present = state
        following = pass_on(present, 1, order=order, axes=axes)
        return varying(step(number, source(number), present, carry)), following

    last = jnp.int32(count - 1)
    if count > 1:
        carry, block = jax.lax.fori_loop(jnp.int32(0), last, turn, (carry, varying(block)))
    return varying(step(last, source(last), block, carry))


def pass_on(
    tree: Any,
    distance: int,
    *,
    order: Sequence[int] | None = None,
    axes: str | tuple[str, ...] = AXES,
) -> Any:
    """Every device takes what the device `distance` places further in the ring holds."""
    size = jax.lax.axis_size(axes)
    if distance % size == 0:
        return tree
    ring = range(size) if order is None else order
    moves = [(ring[(i + distance) % size], ring[i]) for i in range(size)]
    return jax.tree.map(lambda x: jax.lax.ppermute(x, axes, moves), tree)
