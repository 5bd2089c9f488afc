"""Sums of the squared distances of two models, tile by tile, and the two smallest of every row."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float32, Float64, Int32, Int64

from jaxalign.embeddings.sources import ModelRows
from jaxalign.parallel.mesh import AXES, SPLIT, WHOLE, split, whole

QUERIES = 256  # query rows that are compared at once
_COLUMNS = 128  # columns whose distances all models hold at once
_UNROLLED = 32  # columns of one step: XLA compares them in registers
_COLUMNWISE = PartitionSpec(None, AXES)  # last of two axes over all devices


class SurveyedModel(NamedTuple):
    """What a sweep must know of a model before it starts.

    Attributes:
      rows: where the rows come from.
      mean: of every column.
      codes: equal for equal rows.
      squares: ‖x‖² of every row.
    """

    rows: ModelRows
    mean: Float64[np.ndarray, " d"]
    codes: Int32[np.ndarray, " n"]
    squares: Float64[np.ndarray, " n"]


class _Block(NamedTuple):
    centered: Float64[np.ndarray, "t d"] | Float64[Array, "t d"]
    codes: Int32[np.ndarray, " t"] | Int32[Array, " t"]


class JointSweep:
    """All pairs of some models: tiles of query rows, one a device, against all columns."""

    def __init__(self, models: Sequence[SurveyedModel], pairs, tile: int, mesh: Mesh):
        self._models, self._tile, self._mesh = models, tile, mesh
        sides = ([pair[side] for pair in pairs] for side in (0, 1))
        self._pairs = [jax.device_put(np.array(s, np.int32), whole(mesh)) for s in sides]
        self._distances, self._stack, self._update = _programs(mesh)

    def nearest(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Two smallest sums of squares `[pairs, rows]` of the rows from `start` on."""
        n, tile, size = self._models[0].rows.n, self._tile, self._mesh.size
        ids = np.minimum(np.arange(start, start + tile * size), n - 1).astype(np.int32)
        ids = jax.device_put(ids, split(self._mesh))
        queries = [self._block(m, start, tile * size, split(self._mesh)) for m in self._models]
        chunks = range(0, tile, QUERIES)
        empty = np.full((len(self._pairs[0]), QUERIES * size), np.inf, np.float32)
        # Each of its own: they are given up to the calls that replace them.
        best = [tuple(jax.device_put(empty, self._columnwise) for _ in "ab") for _ in chunks]
        for begin in range(0, n, tile):
            columns = [self._block(m, begin, tile, whole(self._mesh)) for m in self._models]
            for first in range(0, min(tile, n - begin), _COLUMNS):
                others = np.arange(begin + first, begin + first + _COLUMNS, dtype=np.int32)
                distances = self._stack(
                    [
                        self._distances(q, c, ids, others, first, n)
                        for q, c in zip(queries, columns, strict=True)
                    ]
                )
                best = [
                    self._update(*kept, distances, chunk, *self._pairs)
                    for kept, chunk in zip(best, chunks, strict=True)
                ]
        return tuple(self._in_order(parts) for parts in zip(*best, strict=True))

    @property
    def _columnwise(self) -> jax.sharding.NamedSharding:
        return jax.sharding.NamedSharding(self._mesh, _COLUMNWISE)

    def _block(self, model: SurveyedModel, start: int, count: int, where) -> _Block:
        """Centered rows from `start` on, padded with zeros beyond the last."""
        rows = model.rows.read(min(start, model.rows.n), start + count)
        padding = count - len(rows)
        centered = np.pad(rows - model.mean, ((0, padding), (0, 0)))
        codes = np.pad(model.codes[start : start + count], (0, padding), constant_values=-1)
        return jax.device_put(_Block(centered, codes), where)

    def _in_order(self, chunks: Sequence[Array]) -> Float32[np.ndarray, "p rows"]:
        """Rows of each device together, from chunks that hold some of every device's."""
        parts = [np.asarray(c).reshape(len(c), self._mesh.size, QUERIES) for c in chunks]
        return np.concatenate(parts, axis=2).reshape(len(parts[0]), -1)


@functools.lru_cache
def _programs(mesh: Mesh) -> tuple[Callable, Callable, Callable]:
    """Squared distances of a tile; those of all models; entered into the sums of all pairs."""
    tile = (SPLIT, WHOLE, SPLIT, WHOLE, WHOLE, WHOLE)
    every = PartitionSpec(None, None, AXES)
    sums = (_COLUMNWISE, _COLUMNWISE, every, WHOLE, WHOLE, WHOLE)
    parts = (
        (_squared_distances, tile, _COLUMNWISE, ()),
        (lambda tiles: jnp.stack(tiles), (_COLUMNWISE,), every, ()),
        (_update, sums, (_COLUMNWISE, _COLUMNWISE), (0, 1)),
    )
    return tuple(
        jax.jit(
            jax.shard_map(part, mesh=mesh, in_specs=given, out_specs=out), donate_argnums=replaced
        )
        for part, given, out, replaced in parts
    )


def _squared_distances(
    queries: _Block,
    columns: _Block,
    ids: Int32[Array, " t"],
    others: Int32[Array, " c"],
    first: Int64[Array, ""] | int,
    n: Int64[Array, ""] | int,
) -> Float32[Array, "c t"]:
    """Squared distances of a tile of a device; +inf for a row and itself, and for padding."""
    x = queries.centered
    y = jax.lax.dynamic_slice_in_dim(columns.centered, first, len(others))
    codes = jax.lax.dynamic_slice_in_dim(columns.codes, first, len(others))
    products = jnp.matmul(y, x.T, precision=jax.lax.Precision.HIGHEST)
    squares = (y * y).sum(1)[:, None] + (x * x).sum(1)[None, :] - 2 * products
    # Positive wherever rows differ, so that 0 says that they do not; see _uncertain.
    squares = jnp.maximum(squares.astype(jnp.float32), jnp.finfo(jnp.float32).tiny)
    squares = jnp.where(codes[:, None] == queries.codes[None, :], 0, squares)
    excluded = (others[:, None] == ids[None, :]) | (others >= n)[:, None]
    return jnp.where(excluded, jnp.inf, squares)


def _update(
    nearest: Float32[Array, "p t"],
    second: Float32[Array, "p t"],
    squares: Float32[Array, "m c tile"],
    first: Int64[Array, ""] | int,
    left: Int32[Array, " p"],
    right: Int32[Array, " p"],
) -> tuple[Float32[Array, "p t"], Float32[Array, "p t"]]:
    """Enters the sums of every pair's tiles into its two smallest, for t query rows from `first`.

    Few columns are compared for all pairs before the next, so that the tiles stay in cache.
    """
    m, c, _ = squares.shape
    t = nearest.shape[1]
    chunk = jax.lax.dynamic_slice_in_dim(squares, first, t, axis=2)
    steps = chunk.reshape(m, c // _UNROLLED, _UNROLLED, t).swapaxes(0, 1)

    def columns(best, tiles):
        def pair(_, operands):
            a, b, low, high = operands
            sums = _ordered(tiles[a] + tiles[b])
            for column in range(_UNROLLED):
                high = jnp.minimum(high, jnp.maximum(low, sums[column]))
                low = jnp.minimum(low, sums[column])
            return None, (low, high)

        return jax.lax.scan(pair, None, (left, right, *best))[1], None

    best, _ = jax.lax.scan(columns, (_ordered(nearest), _ordered(second)), steps)
    return tuple(jax.lax.bitcast_convert_type(part, jnp.float32) for part in best)


def _ordered(x: Float32[Array, "a b"]) -> Int32[Array, "a b"]:
    """Bits of floats >= 0, which sort alike: integers compare without care for NaN, far faster."""
    return jax.lax.bitcast_convert_type(x, jnp.int32)
