"""Some rows of every device compared with all rows: products over a mesh, packed into keys.

Columns are centered rows, split over the devices. Either they are gathered on every device once, or
every tile of products visits them in a ring; the products of a visiting block go to its columns.
Both give products within the error bounds of `pairwise/row_values.py`, hence the same order.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float64, Int32, Int64, Shaped

from jaxalign.pairwise.row_keys import KeyFormat
from jaxalign.pairwise.row_values import RowValues
from jaxalign.parallel.mesh import AXES, SPLIT, WHOLE, split
from jaxalign.parallel.padding import Shards, place_whole
from jaxalign.parallel.ring import visit_shards
from jaxalign.parallel.torus import ring_order

_COLUMNS = 2048  # columns read at once where rows are not kept


@dataclasses.dataclass(frozen=True, eq=False)
class RowProducts:
    """One model's rows over the devices of a mesh.

    Attributes:
      values: constants of the model.
      codes: rows of equal code never meet.
      mesh: the devices.
      shards: rows of each device.
      gather: columns are the same on every device; else they travel.
      kept: centered columns; None if they are read again for every tile.
      constants: of the columns, on every device: their part of v, their codes, and the column that
        stands for each (None if no two rows are equal).
    """

    values: RowValues
    codes: Int32[np.ndarray, " n"]
    mesh: Mesh
    shards: Shards
    gather: bool
    kept: Float64[Array, "columns d"] | None
    constants: tuple[Float64[Array, " n"], Int32[Array, " n"], Int64[Array, " n"] | None]

    @property
    def on_host(self) -> bool:
        """Whether the devices are the host's own, which sorts faster than XLA does there."""
        return self.mesh.devices.flat[0].platform == "cpu"

    @property
    def own(self) -> tuple[int, int]:
        """First row of this process and one past its last."""
        return self.shards.of_process(self.mesh)

    def keys(self, offset: int, size: int) -> Int64[Array, "rows n"]:
        """Sortable comparison of some rows of every shard with all; excluded columns come last.

        Args:
          offset: of the first row inside its shard.
          size: rows of each shard.

        Note:
          Must be called under `jax.enable_x64(True)`, by all processes.
        """
        values = self.values
        mine = _place(self._centered, offset, size, self.shards, self.mesh)
        base, own = (
            _place(lambda a, b, part=part: part[a:b], offset, size, self.shards, self.mesh)
            for part in (values.base, self.codes)
        )
        program = _products(self.mesh, self.gather)
        products = [program(mine, block) for block in self._columns()]
        return _pack(self.mesh, values.keys)(products, base, own, *self.constants)

    def _centered(self, start: int, stop: int) -> Float64[np.ndarray, "rows d"]:
        return self.values.read(start, stop) - self.values.center

    def _columns(self) -> Iterator[Float64[Array, "columns d"]]:
        if self.kept is not None:
            yield self.kept
            return
        width = min(max(_COLUMNS // self.shards.count, 1), self.shards.size)
        for offset in range(0, self.shards.size, width):
            yield self._place_columns(offset, min(width, self.shards.size - offset))

    def _place_columns(self, offset: int, size: int) -> Float64[Array, "columns d"]:
        block = _place(self._centered, offset, size, self.shards, self.mesh)
        return _gathered(self.mesh)(block) if self.gather and self.mesh.size > 1 else block


def row_products(
    values: RowValues,
    codes: Int32[np.ndarray, " n"],
    mesh: Mesh,
    shards: Shards,
    *,
    gather: bool,
    resident: bool,
) -> RowProducts:
    """Places a model on the devices.

    Args:
      values: constants of the model.
      codes: rows of equal code are excluded from each other's comparison.
      mesh: the devices.
      shards: rows of each.
      gather: see `RowProducts`.
      resident: keep the columns on the devices.

    Note:
      Must be called under `jax.enable_x64(True)`, by all processes.
    """
    # Products of equal columns may differ in their last bits: one column stands for all of them.
    unequal = values.exact or (values.classes == np.arange(values.n)).all()
    constants = values.column, codes, None if unequal else values.classes
    placed = tuple(part if part is None else place_whole(part, mesh) for part in constants)
    found = RowProducts(values, codes, mesh, shards, gather, None, placed)
    if not resident:
        return found
    return dataclasses.replace(found, kept=found._place_columns(0, shards.size))


def _place(
    read: Callable[[int, int], Shaped[np.ndarray, "rows ..."]],
    offset: int,
    size: int,
    shards: Shards,
    mesh: Mesh,
) -> Shaped[Array, "all ..."]:
    """Rows `offset:offset + size` of every shard, on its device; 0 beyond the last."""

    def part(index):
        first, last = shards.bounds((index[0].start or 0) // size)
        start = min(first + offset, last)
        rows = read(start, min(start + size, last))
        missing = size - len(rows)
        return np.pad(rows, ((0, missing), *((0, 0),) * (rows.ndim - 1))) if missing else rows

    shape = (size * shards.count, *read(0, 0).shape[1:])
    return jax.make_array_from_callback(shape, split(mesh), part)


@functools.lru_cache
def _gathered(mesh: Mesh) -> Callable:
    def columns(block):
        with jax.named_scope("gathered columns"):
            return jax.lax.all_gather(block, AXES, tiled=True)

    # The checker does not know that what was gathered is the same everywhere.
    whole = jax.shard_map(columns, mesh=mesh, in_specs=SPLIT, out_specs=WHOLE, check_vma=False)
    return jax.jit(whole)


@functools.lru_cache
def _products(mesh: Mesh, gather: bool) -> Callable:
    """Products of rows with a block of columns: `[rows, columns]`, rows split."""

    def product(mine, block):
        return jnp.matmul(mine, block.T, precision=jax.lax.Precision.HIGHEST)

    def ring(mine, block):
        width = block.shape[0]

        def step(number, shard, visiting, out):
            found = jax.lax.optimization_barrier(product(mine, visiting))
            return jax.lax.dynamic_update_slice_in_dim(out, found, shard * width, axis=1)

        out = jnp.zeros((mine.shape[0], width * mesh.size), mine.dtype)
        return visit_shards(step, out, block, order=ring_order(mesh))

    def local(mine, block):
        with jax.named_scope("row products"):
            return product(mine, block) if gather else ring(mine, block)

    specs = (SPLIT, WHOLE if gather else SPLIT)
    return jax.jit(jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=SPLIT))


@functools.lru_cache
def _pack(mesh: Mesh, keys: KeyFormat) -> Callable:
    """Keys of rows from their products with all columns, block by block of every shard."""

    def local(products, base, own, column, codes, duplicates):
        n = column.shape[0]
        # Shard by shard instead of block by block; without padding nothing moves.
        blocks = [part.reshape(len(base), mesh.size, -1) for part in products]
        product = blocks[0] if len(blocks) == 1 else jnp.concatenate(blocks, axis=2)
        product = product.reshape(len(base), -1)[:, :n]
        v = jnp.maximum((base[:, None] + column[None, :]) - 2.0 * product, 0.0)
        v = v if duplicates is None else v[:, duplicates]
        excluded = jnp.int64(jnp.iinfo(jnp.int64).max) & ~keys.low
        bits = jnp.where(own[:, None] == codes[None, :], excluded, keys.pack(v))
        return bits | jnp.arange(n, dtype=jnp.int64)[None, :]

    def scoped(*parts):
        with jax.named_scope("row keys"):
            return local(*parts)

    specs = (SPLIT, SPLIT, SPLIT, WHOLE, WHOLE, WHOLE)
    return jax.jit(jax.shard_map(scoped, mesh=mesh, in_specs=specs, out_specs=SPLIT))
