"""Square tiles of all models, masked to the k nearest and multiplied: every pair of models at once.

A product c_i·c_j serves i → j and j → i, so only tiles on and above the diagonal are made.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Float64, Int32

from jaxalign.pairwise.boundaries import Boundary
from jaxalign.pairwise.row_values import RowValues


class Block(NamedTuple):
    """Some rows of one model, filled up to a common size with rows that are nobody's neighbor.

    Attributes:
      rows: scaled rows.
      column: see `RowValues`; +inf where filled.
      thresholds: for every k; −inf where filled.
    """

    rows: Float32[np.ndarray, "t d"] | Float32[Array, "t d"]
    column: Float64[np.ndarray, " t"] | Float64[Array, " t"]
    thresholds: Float64[np.ndarray, "k t"] | Float64[Array, "k t"]


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedModel:
    """One model and the boundaries of its neighborhoods, for every k."""

    values: RowValues
    bounds: tuple[Boundary, ...]

    def block(self, start: int, size: int) -> Block:
        """Rows `start:start + size`."""
        stop = min(start + size, self.values.n)
        fill = (0, size - (stop - start))
        return Block(
            np.pad(self.values.read(start, stop), (fill, (0, 0))),
            np.pad(self.values.column[start:stop], fill, constant_values=np.inf),
            np.stack(
                [
                    np.pad(bound.thresholds[start:stop], fill, constant_values=-np.inf)
                    for bound in self.bounds
                ]
            ),
        )

    def listed(self, i: int, j: int, size: int) -> Bool[np.ndarray, "k 2 t t"] | None:
        """Listed pairs of the tile at rows i and columns j, both ways; None if there are none."""
        found = np.zeros((len(self.bounds), 2, size, size), bool)
        for mask, bound in zip(found, self.bounds, strict=True):
            rows, columns = _within(bound, i, j, size)
            mask[0, rows, columns] = True
            rows, columns = _within(bound, j, i, size)
            mask[1, columns, rows] = True
        return found if found.any() else None


def _within(bound: Boundary, i: int, j: int, size: int):
    first, last = np.searchsorted(bound.rows, [i, i + size])
    rows, columns = bound.rows[first:last] - i, bound.columns[first:last] - j
    inside = (columns >= 0) & (columns < size)
    return rows[inside], columns[inside]


def masked_sums(
    models: Sequence[MaskedModel],
    codes: Int32[np.ndarray, " n"],
    wanted: Sequence[int],
    *,
    size: int,
    advance: Callable[[int], None],
) -> tuple[Float64[np.ndarray, "k a m"], Float64[np.ndarray, "k a m"]]:
    """Counts of shared pairs and sums of products, for every k, of wanted and all models.

    Args:
      models: all models.
      codes: rows of equal code are excluded from each other's neighbors.
      wanted: models of the first axis.
      size: edge of a tile.
      advance: called with the number of rows (of all models) done.

    Note:
      Must be called under `jax.enable_x64(True)`.
    """
    n, wanted = len(codes), tuple(int(a) for a in wanted)
    padded = np.pad(codes, (0, -n % size), constant_values=-1)
    ks = len(models[0].bounds)
    shared = np.zeros((ks, len(wanted), len(models)))
    products = np.zeros_like(shared)
    for i in range(0, n, size):
        rows = [model.block(i, size) for model in models]
        for j in range(i, n, size):
            tiles = []
            for model, block in zip(models, rows, strict=True):
                other = block if i == j else model.block(j, size)
                same = padded[i : i + size], padded[j : j + size]
                center, listed = model.values.center, model.listed(i, j, size)
                tiles.append(_masked_tile(block, other, center, *same, listed, np.bool_(i == j)))
            counts, sums = _multiply(tuple(tiles), wanted=wanted)
            shared += np.asarray(counts)
            products += np.asarray(sums)
        advance(len(models) * min(size, n - i))
    return shared, products


@jax.jit
def _masked_tile(
    rows: Block,
    columns: Block,
    center: Float64[Array, " d"],
    row_codes: Int32[Array, " t"],
    column_codes: Int32[Array, " t"],
    listed: Bool[Array, "k 2 t t"] | None,
    diagonal: Bool[Array, ""],
) -> tuple[Float32[Array, "k lines t"], Float64[Array, "k lines t"]]:
    """Masks and masked values K̄ of one model: t lines of i → j, then t lines of j → i."""
    ci, cj = (part.rows.astype(jnp.float64) - center[None, :] for part in (rows, columns))
    product = jnp.matmul(ci, cj.T, precision=jax.lax.Precision.HIGHEST)
    product = jax.lax.optimization_barrier(product)
    # K̄_ij = x_i·c_j = c_i·c_j + center·c_j, and column_j = −2 center·c_j.
    there = product - columns.column[None, :] / 2
    back = product - rows.column[:, None] / 2
    nearest = (
        -2.0 * there[None] < rows.thresholds[:, :, None],
        -2.0 * back[None] < columns.thresholds[:, None, :],
    )
    masks = jnp.stack(nearest, axis=1)
    if listed is not None:
        masks |= listed
    eligible = row_codes[:, None] != column_codes[None, :]
    # A tile on the diagonal holds both directions already.
    masks &= jnp.stack([eligible, eligible & ~diagonal])[None]
    values = jnp.where(masks, jnp.stack([there, back])[None], 0.0)
    lines = (masks.shape[0], -1, masks.shape[-1])
    return masks.reshape(lines).astype(jnp.float32), values.reshape(lines)


@functools.partial(jax.jit, static_argnames="wanted")
def _multiply(tiles, *, wanted: tuple[int, ...]) -> tuple[Float64[Array, "k a m"], ...]:
    """Sums over one tile: of masks, and of values."""
    first = jnp.array(wanted)

    def add_line(total, line):
        product = jnp.matmul(line[first], line.T, precision=jax.lax.Precision.HIGHEST)
        return total + product.astype(jnp.float64), None

    def sums(parts):
        # Line by line: XLA's CPU products over a very long common axis run at a third of the rate.
        lines = jax.lax.optimization_barrier(jnp.stack(parts, axis=1))
        return jax.lax.scan(add_line, jnp.zeros((len(wanted), len(tiles))), lines)[0]

    ks = range(tiles[0][0].shape[0])
    masks, values = zip(*tiles, strict=True)
    return tuple(jnp.stack([sums([x[p] for x in parts]) for p in ks]) for parts in (masks, values))
