"""The rows of one process compared with all, tile by tile, one tile ahead of the caller."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Int64

from jaxalign.pairwise.row_products import RowProducts


class RowTile(NamedTuple):
    """Consecutive rows that one device of this process holds, compared with all.

    Attributes:
      first: number of the first row.
      keys: see `RowProducts.keys`; on the host if the devices are its own.
    """

    first: int
    keys: Int64[np.ndarray, "t n"] | Int64[Array, "t n"]


def row_tiles(products: RowProducts, most: int) -> Iterator[list[RowTile]]:
    """All rows of this process, each once: tiles of all of its devices, then the next ones.

    The products of the following tiles run while the caller uses the present ones. They are issued
    by one thread, so that all processes enter the exchanges of a ring in the same order.

    Args:
      products: the model.
      most: rows of a tile at most.
    """
    whole = products.shards.size
    count = -(-whole // most)
    size = -(-whole // count)
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(_tiles, products, 0, size)
        for place in range(count):
            present = ahead.result()
            if place + 1 < count:
                ahead = pool.submit(_tiles, products, (place + 1) * size, size)
            yield present


def _tiles(products: RowProducts, done: int, size: int) -> list[RowTile]:
    """The next rows of every shard, of which some are done already."""
    shards = products.shards
    offset = min(done, shards.size - size)  # one shape: the last tile overlaps its predecessor
    with jax.enable_x64(True):  # inside the thread: the setting belongs to a thread
        keys, tiles = products.keys(offset, size).block_until_ready(), []
        for part in keys.addressable_shards:
            first, last = shards.bounds((part.index[0].start or 0) // size)
            begin, start = first + offset, first + done
            stop = min(begin + size, last)
            rows = np.asarray(part.data) if products.on_host else part.data
            if start < stop:
                whole = stop - start == size
                tiles.append(RowTile(start, rows if whole else rows[start - begin : stop - begin]))
    return sorted(tiles, key=lambda tile: tile.first)
