"""Two nearest distances in the concatenation of two models, for many pairs in one sweep.

Squared distances of a concatenation are sums, d²_[a|b] = d²_a + d²_b: one product a model and tile
serves all of its pairs, which then cost one addition and three comparisons an entry instead of a
neighbor search each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Float64, Int32, Int64

from jaxalign.embeddings.sources import ModelRows
from jaxalign.pairwise.neighbors import check_tile_size, neighbors
from jaxalign.progress import Progress

_TILE = 1024  # query rows whose products are taken at once, where the caller names none
_QUERIES = 256  # query rows that are compared at once
_COLUMNS = 128  # columns whose distances all models hold at once
_UNROLLED = 32  # columns of one step: XLA compares them in registers
# Rounding of a length-w product in float64 is below w·u·‖x‖‖y‖; distances within 2¹⁷ times that of
# 0 are searched again. What remains has relative errors below 1e-5, typically 1e-7.
_ROUNDING = 2.0**-52
_CERTAIN = 2.0**17
# Squares outside this range may have lost digits, or overflown, in float32.
_LEAST, _MOST = 1e-30, 1e30


class _Model(NamedTuple):
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


def joint_nearest(
    models: Sequence[ModelRows],
    pairs: Sequence[tuple[int, int]],
    *,
    tile_size: int | None = None,
    progress: str | None = None,
) -> Float32[np.ndarray, "p n 2"]:
    """Distances to the two nearest neighbors in the concatenation [a|b] of every pair.

    Tiles of squared distances are computed in float64 from centered rows and kept in float32.
    Distances of equal rows are exactly 0. A pair with distances so small that the expansion of the
    square may have lost them (near-duplicates) is searched again by `neighbors`.

    Args:
      models: rows of every model, normalized; all of the same structures.
      pairs: numbers of two models each.
      tile_size: query rows at once, rounded up to a multiple of 256; beside the result, memory is
        about tile_size · (16·Σd + 1024·models + 8·pairs) bytes, or one model in float64 if that is
        more. Never changes the result beyond rounding (1e-6).
      progress: label of a progress line; None prints nothing.

    Returns:
      Distances `[pairs, n, 2]`, ascending.

    Raises:
      ValueError: tile size, models of different n, fewer than 3 rows.
    """
    n = models[0].n
    if any(model.n != n for model in models) or n < 3:
        raise ValueError(
            "all models must embed the same 3 or more structures: "
            f"got {[model.n for model in models]} rows"
        )
    tile = min(_TILE if tile_size is None else check_tile_size(tile_size), n)
    tile = -(-tile // _QUERIES) * _QUERIES
    left, right = (jnp.asarray([pair[side] for pair in pairs], jnp.int32) for side in (0, 1))
    squares = np.empty((len(pairs), n, 2), np.float32)
    with jax.enable_x64(True), Progress(progress or "", total=n, enabled=bool(progress)) as shown:
        known = [_survey(model) for model in models]
        for start in range(0, n, tile):
            ids = np.minimum(np.arange(start, start + tile), n - 1).astype(np.int32)
            found = _nearest_of_tile(known, ids, start, left, right)
            count = min(tile, n - start)
            squares[:, start : start + count] = np.stack(found, axis=2)[:, :count]
            shown.advance(count)
    distances = np.sqrt(squares)
    for number, (a, b) in enumerate(pairs):
        if _uncertain(known[a], known[b], squares[number]).any():
            both = np.concatenate([models[a].load(), models[b].load()], axis=1)
            distances[number] = neighbors(both, k=2, similarity="euclidean").scores
    return distances


def _survey(model: ModelRows) -> _Model:
    rows = model.load()
    bits = np.ascontiguousarray(rows + np.float32(0)).view(np.void(4 * model.d).dtype)
    _, codes = np.unique(bits.ravel(), return_inverse=True)
    wide = rows.astype(np.float64)
    return _Model(model, wide.mean(0), codes.astype(np.int32), (wide * wide).sum(1))


def _uncertain(a: _Model, b: _Model, squares: Float32[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
    """Rows whose distances may be rounding; exact zeros are not, they come from equal codes."""
    width = a.rows.d + b.rows.d
    sizes = a.squares + b.squares
    bound = _CERTAIN * _ROUNDING * (width + 4) * (sizes + sizes.max())
    nearest, second = squares.T
    lost = (nearest < np.maximum(bound, _LEAST)) | ~(second < _MOST)
    return lost & (nearest != 0)


def _nearest_of_tile(
    models: Sequence[_Model], ids, start: int, left, right
) -> tuple[np.ndarray, np.ndarray]:
    """Two smallest sums of squares `[pairs, tile]` over all columns."""
    n, tile = models[0].rows.n, len(ids)
    queries = [_block(model, start, tile) for model in models]
    chunks = range(0, tile, _QUERIES)
    best = [(jnp.full((len(left), _QUERIES), jnp.inf, jnp.float32),) * 2 for _ in chunks]
    for begin in range(0, n, tile):
        columns = [_block(model, begin, tile) for model in models]
        for first in range(0, min(tile, n - begin), _COLUMNS):
            others = np.arange(begin + first, begin + first + _COLUMNS, dtype=np.int32)
            distances = jnp.stack(
                [
                    _squared_distances(q, c, jnp.asarray(ids), jnp.asarray(others), first, n)
                    for q, c in zip(queries, columns, strict=True)
                ]
            )
            best = [
                _update(*kept, distances, chunk, left, right)
                for kept, chunk in zip(best, chunks, strict=True)
            ]
    return tuple(np.concatenate(parts, axis=1) for parts in zip(*best, strict=True))


class _Block(NamedTuple):
    centered: Float64[Array, "t d"]
    codes: Int32[Array, " t"]


def _block(model: _Model, start: int, tile: int) -> _Block:
    """Centered rows from `start` on, padded with zeros beyond the last."""
    rows = model.rows.read(start, start + tile)
    padding = tile - len(rows)
    centered = np.pad(rows - model.mean, ((0, padding), (0, 0)))
    codes = np.pad(model.codes[start : start + tile], (0, padding), constant_values=-1)
    return _Block(jnp.asarray(centered), jnp.asarray(codes))


@jax.jit
def _squared_distances(
    queries: _Block,
    columns: _Block,
    ids: Int32[Array, " t"],
    others: Int32[Array, " c"],
    first: Int64[Array, ""] | int,
    n: Int64[Array, ""] | int,
) -> Float32[Array, "c t"]:
    """Squared distances of a tile; +inf for a row and itself, and for padding."""
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


@jax.jit
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
