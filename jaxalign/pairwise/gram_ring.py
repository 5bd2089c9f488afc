"""The tile sweep as one program of all devices: blocks meet, sums find the rows they belong to.

Every device holds one block of its own rows and meets the blocks of all devices. What a tile adds
to the row sums of the block that it meets travels on with that block and comes home at the end.
Beside the blocks, only M × M products and row sums are exchanged.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxalign.pairwise.gram_schedule import ring_steps, table_length
from jaxalign.pairwise.gram_tiles import Block, Bounds, Sums, accumulate, describe
from jaxalign.parallel.mesh import AXES, SPLIT, WHOLE
from jaxalign.parallel.ring import pass_on, shard_index, visit_shards
from jaxalign.parallel.torus import ring_order

COLUMNS = PartitionSpec(None, AXES)
"""Arrays [models, rows, …]: rows over all devices."""


def sharded_accumulate(
    mesh: Mesh, *, kernels: tuple[str, ...], tile: int, own: bool, gather: bool = False
) -> Callable[..., tuple[Sums, ...]]:
    """The compiled sweep over the tiles of one block of every device against one of every device.

    Args:
      mesh: devices over which rows are split.
      kernels: which matrices.
      tile: rows and columns of a tile.
      own: blocks meet blocks of the same number, so that half of the ring sees all pairs.
      gather: hold the blocks of all devices at once instead of passing them on.

    Returns:
      A function of (left block, right block, precisions, pairs, spans, chosen, place), traced under
      `jax.enable_x64(True)`; `accumulate_arguments` has the shapes and places of its arguments.
      `pairs` and `spans` are those of `gram_schedule.tile_table`; `place` holds the number of all
      rows, of the rows of a device, and of the rows of a device before its left and right block.
      It gives one `Sums` a kernel: products of all devices together, row sums split like the rows.
    """
    return _program(mesh, kernels, tile, ring_steps(mesh.size, own), gather)


@functools.lru_cache(maxsize=64)
def _program(
    mesh: Mesh, kernels: tuple[str, ...], tile: int, steps: int, gather: bool
) -> Callable[..., tuple[Sums, ...]]:
    order = ring_order(mesh)

    def local(left, right, precisions, pairs, spans, chosen, place):
        n, size, left_first, right_first = place

        def bounds(shard, first):
            return Bounds(shard * size + first, jnp.minimum(n, (shard + 1) * size))

        here = bounds(shard_index(), left_first)

        def step(number, shard, block, totals):
            # Issued before the tiles, which do not wait for it.
            arrived = pass_on(tuple(total.right for total in totals), 1, order=order)
            with jax.named_scope("gram_tiles"):
                found = accumulate(
                    left,
                    block,
                    (here, bounds(shard, right_first)),
                    precisions,
                    pairs,
                    spans[0, number],
                    chosen,
                    kernels=kernels,
                    tile=tile,
                )
            return tuple(
                Sums(total.products + part.products, total.left + part.left, back + part.right)
                for total, part, back in zip(totals, found, arrived, strict=True)
            )

        shape = left.offsets[0].shape
        zero = Sums(jnp.zeros((chosen.shape[0], shape[0])), jnp.zeros(shape), jnp.zeros(shape))
        start = tuple(zero for _ in kernels)
        totals = visit_shards(step, start, right, gather=gather, count=steps, order=order)
        with jax.named_scope("gram_sums"):
            mirrored = pass_on(tuple(total.right for total in totals), 1 - steps, order=order)
            return tuple(
                Sums(jax.lax.psum(total.products, AXES), total.left, back)
                for total, back in zip(totals, mirrored, strict=True)
            )

    block = Block(COLUMNS, COLUMNS, COLUMNS)
    program = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(block, block, WHOLE, WHOLE, SPLIT, WHOLE, WHOLE),
        out_specs=tuple(Sums(WHOLE, COLUMNS, COLUMNS) for _ in kernels),
    )
    return jax.jit(program)


@functools.lru_cache(maxsize=64)
def sharded_describe(mesh: Mesh, *, kernels: tuple[str, ...]) -> Callable[..., Any]:
    """`gram_tiles.describe`, compiled for rows over all devices and a sample on each of them."""
    program = jax.shard_map(
        functools.partial(describe, kernels=kernels),
        mesh=mesh,
        in_specs=(COLUMNS, WHOLE, WHOLE, WHOLE),
        out_specs=COLUMNS,
    )
    return jax.jit(program)


def accumulate_arguments(
    mesh: Mesh,
    *,
    widths: Sequence[int],
    length: int,
    tile: int,
    kernels: tuple[str, ...],
    own: bool,
    dtype: str = "float32",
) -> tuple[Any, ...]:
    """Shapes, dtypes and places of the arguments of `sharded_accumulate`, to compile without data.

    For example, for 2²⁰ rows of 60 models of width 512 in one block a device:

        program = sharded_accumulate(mesh, kernels=("euclidean",), tile=256, own=True)
        arguments = accumulate_arguments(
            mesh, widths=[512] * 60, length=2**20 // mesh.size, tile=256, kernels=("euclidean",),
            own=True,
        )
        with jax.enable_x64(True):
            compiled = program.lower(*arguments).compile()

    Args:
      mesh: devices over which rows are split.
      widths: of all models, in ascending order, multiples of 64.
      length: rows of the block of each device, a multiple of `tile`.
      tile: rows and columns of a tile.
      kernels: which matrices.
      own: as in `sharded_accumulate`.
      dtype: of the entries.

    Note:
      A device holds its own block, the argument that is met, the one that it holds at present and
      the one that arrives: 4 · 4 · Σ widths · length bytes in float32 (with `gather`, as many as
      there are devices instead of the last two), and tiles of all models.
    """

    def shaped(shape, kind, spec):
        return jax.ShapeDtypeStruct(shape, kind, sharding=NamedSharding(mesh, spec))

    rows, models = mesh.size * length, len(widths)
    groups = [(int(w), list(widths).count(w)) for w in dict.fromkeys(widths)]
    block = Block(
        tuple(shaped((m, rows, w), dtype, COLUMNS) for w, m in groups),
        tuple(shaped((m, rows), dtype, COLUMNS) for _, m in groups),
        tuple(shaped((models, rows), dtype, COLUMNS) for _ in kernels),
    )
    tiles, steps = length // tile, ring_steps(mesh.size, own)
    return (
        block,
        block,
        tuple(shaped((m,), dtype, WHOLE) for _, m in groups),
        shaped((table_length(tiles), 3), np.int32, WHOLE),
        shaped((mesh.size, steps, 2), np.int32, SPLIT),
        shaped((models,), np.int32, WHOLE),
        shaped((4,), np.int32, WHOLE),
    )
