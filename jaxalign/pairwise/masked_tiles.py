"""Square tiles of all models, masked to the k nearest and multiplied: every pair of models at once.

A product c_i·c_j serves i → j and j → i, so only tiles on and above the diagonal are made. They are
spread over processes and, one a device, over their devices. Sums of fixed groups of tiles are added
in a fixed order, so that the result has the same bits for any number of either.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float32, Float64, Int32

from jaxalign.pairwise.boundaries import Boundary
from jaxalign.pairwise.row_values import RowValues
from jaxalign.parallel.mesh import SPLIT, WHOLE, local_mesh, split, whole
from jaxalign.parallel.multihost import gather_rows, my_share
from jaxalign.parallel.ring import varying


class Block(NamedTuple):
    """Some rows of one model, filled up to a common size with rows that are nobody's neighbor.

    Attributes:
      rows: scaled rows.
      bounds: the column term of `RowValues` (+inf where filled), then the thresholds of every k
        (−inf where filled).
    """

    rows: Float32[np.ndarray, "t d"] | Float32[Array, "t d"]
    bounds: Float64[np.ndarray, "t bounds"] | Float64[Array, "t bounds"]


class Tile(NamedTuple):
    """Rows and columns of a tile, counted in tiles, and the group that its sums belong to."""

    group: int
    i: int
    j: int


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedModel:
    """One model and the boundaries of its neighborhoods, for every k."""

    values: RowValues
    bounds: tuple[Boundary, ...]

    def block(self, start: int, size: int) -> Block:
        """Rows `start:start + size`."""
        stop = min(start + size, self.values.n)
        bounds = np.full((size, 1 + len(self.bounds)), -np.inf)
        bounds[:, 0] = np.inf
        bounds[: stop - start, 0] = self.values.column[start:stop]
        for number, bound in enumerate(self.bounds, 1):
            bounds[: stop - start, number] = bound.thresholds[start:stop]
        rows = self.values.read(start, stop)
        return Block(np.pad(rows, ((0, size - len(rows)), (0, 0))), bounds)

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


def own_tiles(n: int, size: int) -> list[Tile]:
    """Tiles of this process, those of a group together: a long and a short row of tiles each."""
    count = -(-n // size)
    groups = my_share(range(-(-count // 2)))
    return [
        Tile(group, i, j)
        for group in groups
        for i in sorted({group, count - 1 - group})
        for j in range(i, count)
    ]


def masked_sums(
    models: Sequence[MaskedModel],
    codes: Int32[np.ndarray, " n"],
    wanted: Sequence[int],
    *,
    size: int,
    mesh: Mesh,
    advance: Callable[[int], None],
) -> tuple[Float64[np.ndarray, "k a m"], Float64[np.ndarray, "k a m"]]:
    """Counts of shared pairs and sums of products, for every k, of wanted and all models.

    Args:
      models: all models.
      codes: rows of equal code are excluded from each other's neighbors.
      wanted: models of the first axis.
      size: edge of a tile.
      mesh: devices that work.
      advance: called with the number of tiles done.

    Note:
      Must be called under `jax.enable_x64(True)`, by all processes. The rows of a tile may belong
      to any process: those that are not kept here are read from where all models are stored.
    """
    tiles, devices = own_tiles(len(codes), size), local_mesh(mesh)
    sweep = _Sweep(models, codes, tuple(int(a) for a in wanted), size, devices)
    groups = sorted({tile.group for tile in tiles})
    sums = np.zeros((len(groups), 2, len(models[0].bounds), len(wanted), len(models)))
    begun: list[tuple[Sequence[Tile], tuple[Array, Array]]] = []

    def finish():
        batch, found = begun.pop(0)
        # The last batch repeats a tile where there are more devices than tiles.
        for tile, part in zip(batch, np.stack(found, axis=1), strict=False):
            sums[tile.group - groups[0]] += part
        advance(len(batch))

    for start in range(0, len(tiles), devices.size):
        batch = tiles[start : start + devices.size]
        begun.append((batch, sweep.sums(batch)))
        if len(begun) > 1:  # blocks of the next tile are read while this one is computed
            finish()
    while begun:
        finish()
    return tuple(gather_rows(sums).sum(axis=0))


class _Sweep:
    """Tiles of all models, one a device at a time."""

    def __init__(self, models, codes, wanted: tuple[int, ...], size: int, mesh: Mesh):
        self._models, self._size, self._mesh = models, size, mesh
        self._codes = np.pad(codes, (0, -len(codes) % size), constant_values=-1)
        self._tile, self._multiply = _masked_tile(mesh), _multiply(mesh, wanted)
        self._rows: tuple[list[int], list[Block]] = [], []
        self._centers = [jax.device_put(m.values.center, whole(mesh)) for m in models]

    def sums(self, batch: Sequence[Tile]) -> tuple[Array, Array]:
        """Sums of every tile of a batch `[tiles, k, a, m]`: of masks, and of values."""
        batch = [*batch, *batch[-1:] * (self._mesh.size - len(batch))]
        i, j = ([tile[axis] * self._size for tile in batch] for axis in (1, 2))
        if self._rows[0] != i:  # tiles of one row follow each other
            self._rows = i, self._place([self._blocks(m, i) for m in self._models])
        codes = [np.concatenate([self._codes[s : s + self._size] for s in x]) for x in (i, j)]
        columns = [(self._blocks(model, j), self._listed(model, i, j)) for model in self._models]
        # All at once: every call costs as much as placing a block does.
        columns, facts = self._place((columns, (*codes, np.equal(i, j))))
        every = zip(self._rows[1], columns, self._centers, strict=True)
        return self._multiply(
            tuple(self._tile(rows, *others, center, *facts) for rows, others, center in every)
        )

    def _place(self, tree):
        return jax.device_put(tree, split(self._mesh))

    def _blocks(self, model: MaskedModel, starts: list[int]) -> Block:
        read = {start: model.block(start, self._size) for start in dict.fromkeys(starts)}
        blocks = [read[start] for start in starts]
        return (
            blocks[0]
            if len(blocks) == 1
            else Block(*map(np.concatenate, zip(*blocks, strict=True)))
        )

    def _listed(self, model: MaskedModel, i: list[int], j: list[int]):
        found = [model.listed(*at, self._size) for at in zip(i, j, strict=True)]
        if all(part is None for part in found):
            return None
        none = np.zeros((len(model.bounds), 2, self._size, self._size), bool)
        return np.concatenate([none if part is None else part for part in found])


@functools.lru_cache
def _masked_tile(mesh: Mesh) -> Callable:
    """Masks and masked values K̄ of one model `[k, lines, t]`: t lines of i → j, t of j → i."""

    def local(rows, columns, listed, center, row_codes, column_codes, diagonal):
        ci, cj = (part.rows.astype(jnp.float64) - center[None, :] for part in (rows, columns))
        product = jnp.matmul(ci, cj.T, precision=jax.lax.Precision.HIGHEST)
        product = jax.lax.optimization_barrier(product)
        # K̄_ij = x_i·c_j = c_i·c_j + center·c_j, and column_j = −2 center·c_j.
        there = product - columns.bounds[None, :, 0] / 2
        back = product - rows.bounds[:, :1] / 2
        nearest = (
            -2.0 * there[None] < rows.bounds.T[1:, :, None],
            -2.0 * back[None] < columns.bounds.T[1:, None, :],
        )
        masks = jnp.stack(nearest, axis=1)
        if listed is not None:
            masks |= listed
        eligible = row_codes[:, None] != column_codes[None, :]
        # A tile on the diagonal holds both directions already.
        masks &= jnp.stack([eligible, eligible & ~diagonal[0]])[None]
        values = jnp.where(masks, jnp.stack([there, back])[None], 0.0)
        lines = (masks.shape[0], -1, masks.shape[-1])
        return masks.reshape(lines).astype(jnp.float32), values.reshape(lines)

    def scoped(*parts):
        with jax.named_scope("masked tile"):
            return local(*parts)

    specs = (SPLIT, SPLIT, SPLIT, WHOLE, SPLIT, SPLIT, SPLIT)
    return jax.jit(jax.shard_map(scoped, mesh=mesh, in_specs=specs, out_specs=SPLIT))


@functools.lru_cache
def _multiply(mesh: Mesh, wanted: tuple[int, ...]) -> Callable:
    """Sums over one tile a device `[1, k, a, m]`: of masks, and of values."""

    def local(tiles):
        first = jnp.array(wanted)

        def add_line(total, line):
            product = jnp.matmul(line[first], line.T, precision=jax.lax.Precision.HIGHEST)
            return total + product.astype(jnp.float64), None

        def sums(parts):
            # Line by line: XLA's CPU products over a very long common axis run at a third of the
            # rate.
            lines = jax.lax.optimization_barrier(jnp.stack(parts, axis=1))
            start = varying(jnp.zeros((len(wanted), len(tiles))))
            return jax.lax.scan(add_line, start, lines)[0]

        ks = range(tiles[0][0].shape[0])
        with jax.named_scope("products of masked tiles"):
            return tuple(
                jnp.stack([sums([x[p] for x in parts]) for p in ks])[None]
                for parts in zip(*tiles, strict=True)
            )

    return jax.jit(jax.shard_map(local, mesh=mesh, in_specs=SPLIT, out_specs=SPLIT))
