"""Tiles of all models' kernel matrices at once, and the sums that their products add to.

Centered inner products do not change when u_i + u_j is subtracted from the entries, for any u. The
tiles therefore carry *residuals* f_ij = a_ij − u_i − u_j with u an estimate of the row means: they
are small, float32 products of them lose nothing to cancellation, and what the estimate missed is
corrected exactly from the row sums of f (`centering.py`). One pass suffices.

Pure functions inside `jax.shard_map` under `jax.enable_x64(True)`; `gram_ring.py` calls them.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float64, Int32

from jaxalign.pairwise.kernels import kernel_entries
from jaxalign.parallel.ring import varying

_HIGHEST = jax.lax.Precision.HIGHEST
# Entries of one float32 product before float64 takes over: rounding stays near 1e-7, and the chunk
# of all models stays in the second-level cache between the passes over it.
CHUNK = 4096


class Block(NamedTuple):
    """Consecutive rows of all models, padded with zero rows to a fixed length.

    Models of equal padded width are stacked; their groups follow each other.

    Attributes:
      rows: centered rows of each group.
      squares: their squared norms.
      offsets: u of all models, one array a kernel.
    """

    rows: tuple[Float[Array, "_ b _"], ...]
    squares: tuple[Float[Array, "_ b"], ...]
    offsets: tuple[Float[Array, "m b"], ...]


class Bounds(NamedTuple):
    """Numbers of the rows of a block.

    Attributes:
      start: of the first row.
      stop: rows from here on are padding.
    """

    start: Int32[Array, ""]
    stop: Int32[Array, ""]


class Sums(NamedTuple):
    """What tiles of one kernel add up to; off-diagonal entries only, both triangles.

    Attributes:
      products: Σ_{i≠j} f^a_ij f^b_ij of the chosen models against all.
      left: Σ_j f_ij for the rows of the left block.
      right: the same for the rows of the right block.
    """

    products: Float64[Array, "a m"]
    left: Float64[Array, "m b"]
    right: Float64[Array, "m b"]


def chunk_rows(tile: int) -> int:
    """Rows of a tile that are multiplied at once: a divisor of the tile, about `CHUNK` entries."""
    most = max(1, min(tile, CHUNK // tile))
    return next(rows for rows in range(most, 0, -1) if tile % rows == 0)


def accumulate(
    left: Block,
    right: Block,
    bounds: tuple[Bounds, Bounds],
    precisions: tuple[Float[Array, " _"], ...],
    pairs: Int32[Array, "p 3"],
    span: Int32[Array, " 2"],
    chosen: Int32[Array, " a"],
    *,
    kernels: tuple[str, ...],
    tile: int,
) -> tuple[Sums, ...]:
    """Sums over some of the tile pairs of two blocks, one `Sums` a kernel.

    Args:
      left: rows of the tiles.
      right: columns of the tiles.
      bounds: of both.
      precisions: 1/2σ² of the models of each group.
      pairs: (row tile, column tile, weight); weight 2 stands for the mirrored tile too, weight 1
        for a tile on the diagonal.
      span: first pair to be done, and how many.
      chosen: models whose products with all models are wanted; as many as there are models means
        all of them in order.
      kernels: which matrices.
      tile: rows and columns of a tile.
    """
    models, length = left.offsets[0].shape
    zero = Sums(
        jnp.zeros((chosen.shape[0], models)),
        jnp.zeros((models, length)),
        jnp.zeros((models, length)),
    )

    def step(index, sums):
        i, j, weight = pairs[index, 0] * tile, pairs[index, 1] * tile, pairs[index, 2]
        found = _tile_sums(left, right, bounds, precisions, i, j, chosen, kernels, tile)
        weight = weight.astype(jnp.float64)
        return tuple(
            Sums(
                total.products + weight * products,
                _add_at(total.left, rows, i),
                _add_at(total.right, (weight - 1) * columns, j),
            )
            for total, (products, rows, columns) in zip(sums, found, strict=True)
        )

    start = varying(tuple(zero for _ in kernels))
    return jax.lax.fori_loop(span[0], span[0] + span[1], step, start)


def _add_at(total, values, start):
    old = jax.lax.dynamic_slice_in_dim(total, start, values.shape[1], 1)
    return jax.lax.dynamic_update_slice_in_dim(total, old + values, start, 1)


def _tile_sums(left, right, bounds, precisions, i, j, chosen, kernels, tile):
    """Products, row sums and column sums of one tile of each kernel."""
    cut = functools.partial(jax.lax.dynamic_slice_in_dim, slice_size=tile, axis=1)
    # Inside a fusion XLA's CPU compiler would emit slow loops for the product.
    products = jax.lax.optimization_barrier(
        tuple(
            jnp.einsum("mtd,msd->mts", cut(x, i), cut(y, j), precision=_HIGHEST)
            for x, y in zip(left.rows, right.rows, strict=True)
        )
    )
    row_squares, column_squares = (
        [cut(s, at) for s in b.squares] for b, at in ((left, i), (right, j))
    )
    row_offsets, column_offsets = (
        [cut(u, at) for u in b.offsets] for b, at in ((left, i), (right, j))
    )
    rows, columns = (
        part.start + at + jnp.arange(tile, dtype=jnp.int32)
        for part, at in zip(bounds, (i, j), strict=True)
    )
    rows_stop, columns_stop = (part.stop for part in bounds)
    whole = (rows[0] != columns[0]) & (rows[-1] < rows_stop) & (columns[-1] < columns_stop)
    size = chunk_rows(tile)
    models, dtype = left.offsets[0].shape[0], left.offsets[0].dtype

    def chunk(index, sums):
        part = functools.partial(
            jax.lax.dynamic_slice_in_dim, start_index=index * size, slice_size=size
        )

        def residuals(position, kernel):
            groups = [
                kernel_entries(
                    kernel,
                    part(product, axis=1),
                    part(row_squares[g], axis=1),
                    column_squares[g],
                    precisions[g],
                    width=left.rows[g].shape[2],
                )
                for g, product in enumerate(products)
            ]
            entries = groups[0] if len(groups) == 1 else jnp.concatenate(groups)
            offsets = part(row_offsets[position], axis=1)
            return (entries - offsets[:, :, None]) - column_offsets[position][:, None, :]

        def masked(position, kernel):
            own = part(rows, axis=0)[:, None]
            present = (own < rows_stop) & (columns < columns_stop)[None, :]
            keep = present & (own != columns[None, :])
            return jnp.where(keep[None], residuals(position, kernel), jnp.zeros((), dtype))

        # The branch saves the mask where nothing is masked. It is also a border that fusions do not
        # cross: each entry is computed once, for the product and both sums.
        return tuple(
            _add_chunk(
                total,
                jax.lax.cond(
                    whole,
                    functools.partial(residuals, position, kernel),
                    functools.partial(masked, position, kernel),
                ),
                index * size,
                chosen,
            )
            for position, (kernel, total) in enumerate(zip(kernels, sums, strict=True))
        )

    start = (
        jnp.zeros((chosen.shape[0], models)),
        jnp.zeros((models, tile)),
        jnp.zeros((models, tile), dtype),
    )
    start = varying(tuple(start for _ in kernels))
    found = jax.lax.fori_loop(0, tile // size, chunk, start)
    return [(p, rows, columns.astype(jnp.float64)) for p, rows, columns in found]


def _add_chunk(sums, residuals: Float[Array, "m r t"], first, chosen):
    """Adds the products and sums of one chunk of rows of a tile."""
    products, rows, columns = sums
    flat = residuals.reshape(residuals.shape[0], -1)
    some = flat if chosen.shape[0] == flat.shape[0] else flat[chosen]
    return (
        products + jnp.matmul(some, flat.T, precision=_HIGHEST).astype(jnp.float64),
        jax.lax.dynamic_update_slice_in_dim(rows, residuals.sum(2).astype(jnp.float64), first, 1),
        columns + residuals.sum(1),
    )


def describe(
    rows: Float[Array, "m b p"],
    sample: Float[Array, "m s p"],
    weights: Float64[Array, " s"],
    precisions: Float[Array, " m"],
    *,
    kernels: tuple[str, ...],
) -> tuple[Float[Array, "m b"], tuple[Float[Array, "m b"], ...]]:
    """Squared norms of rows, and offsets u of every kernel from a sample of columns.

    u_i = mean_s a_is − ½ mean_st a_st over the sample, so that u_i + u_j estimates what double
    centering subtracts from a_ij.

    Args:
      rows: centered rows of the models of one group.
      sample: a few centered rows of each model, padded.
      weights: of the sample rows: they sum to 1 and are 0 for padding.
      precisions: 1/2σ² of each model.
      kernels: which matrices.
    """

    def one(operands):
        x, y, precision = operands
        xs, ys = _squares(x), _squares(y)

        def means(left, left_squares, kernel):
            products = jnp.matmul(left, y.T, precision=_HIGHEST)
            tile = (part[None] for part in (products, left_squares, ys, precision))
            entries = kernel_entries(kernel, *tile, width=x.shape[1])[0]
            return (entries.astype(jnp.float64) * weights[None, :]).sum(1)

        offsets = tuple(
            (means(x, xs, kernel) - (means(y, ys, kernel) * weights).sum() / 2).astype(x.dtype)
            for kernel in kernels
        )
        return xs, offsets

    return jax.lax.map(one, (rows, sample, precisions))


def _squares(x: Float[Array, "b p"]) -> Float[Array, " b"]:
    wide = x.astype(jnp.float64)
    return (wide * wide).sum(1).astype(x.dtype)
