"""Which tiles a device computes, and how rows are cut into blocks and tiles within a budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int, Int32

_TILE = 256  # where the caller names none: tiles of dozens of models then stay in the cache
_GATHERED = 0.25  # share of the budget of a device that the blocks of all devices may take
# Blocks of all models that a device and its host hold at once: two that meet and one being read;
# of several devices, one more that arrives.
_COPIES, _RING_COPIES = 3, 4


@dataclasses.dataclass(frozen=True)
class Layout:
    """Rows over devices, in blocks of tiles.

    Attributes:
      n: rows.
      devices: among which they are split into equal consecutive shards.
      tile: rows and columns of a tile.
      length: rows of a block, a multiple of `tile`; a shard is padded to whole blocks.
      gather: blocks of all devices are held at once instead of passed on.
    """

    n: int
    devices: int
    tile: int
    length: int
    gather: bool

    @property
    def size(self) -> int:
        """Rows of a device."""
        return -(-self.n // self.devices)

    @property
    def starts(self) -> range:
        """First rows of the blocks, counted from the first row of a device."""
        return range(0, self.size, self.length)

    def rows(self, device: int, start: int) -> tuple[int, int]:
        """First row of a device's block, and one past its last; may be empty."""
        first, end = device * self.size, min((device + 1) * self.size, self.n)
        return min(first + start, end), min(first + start + self.length, end)

    def tiles(self, device: int, start: int) -> int:
        """Tiles that hold rows of a device's block."""
        first, stop = self.rows(device, start)
        return -(-(stop - first) // self.tile)


def choose_layout(
    n: int,
    widths: Int[np.ndarray, " m"],
    *,
    devices: int,
    local: int,
    dtype: str,
    tile_size: int | None,
    budget: int,
    gather: bool | None,
) -> Layout:
    """Tiles and blocks that fit the memory budget.

    Few rows get round numbers, so that data sets of similar length share compiled programs.

    Args:
      n: rows.
      widths: padded widths of all models.
      devices: among which rows are split.
      local: devices that share the budget: those of this process.
      dtype: of the rows.
      tile_size: rows of a tile; None for the default.
      budget: bytes.
      gather: hold the blocks of all devices at once; None decides by the budget.
    """
    item, own = np.dtype(dtype).itemsize, -(-n // devices)
    tile = min(tile_size or _TILE, max(64, _power_of_two(own)))
    copies = _COPIES if devices == 1 else _RING_COPIES
    row = item * int(widths.sum())
    free = budget // local - len(widths) * tile**2 * item
    most = max(1, int(free // (copies * row * tile)))
    tiles = -(-own // tile)
    per_block = -(-tiles // -(-tiles // most))
    if tiles <= 8 and _power_of_two(per_block) <= most:
        per_block = _power_of_two(per_block)
    length = per_block * tile
    if gather is None:
        gather = devices * length * row <= _GATHERED * budget / local
    return Layout(n, devices, tile, length, gather and devices > 1)


def ring_steps(devices: int, own: bool) -> int:
    """Blocks that a device meets: all, or half of the ring where pairs of devices meet twice."""
    return devices // 2 + 1 if own else devices


def table_length(tiles: int) -> int:
    """Rows of a table of tile pairs, for blocks of so many tiles."""
    return 3 * tiles**2


def tile_table(
    layout: Layout, left: int, right: int, *, order: tuple[int, ...] | None = None
) -> tuple[Int32[np.ndarray, "p 3"], Int32[np.ndarray, "r s 2"]]:
    """Tile pairs of the blocks that start at `left` and `right`, and which ones each device takes.

    Blocks of different numbers: every device meets all blocks, and each pair of tiles stands for
    its mirror image too. Blocks of the same number: a device takes the tiles on and above the
    diagonal of its own block, then all tiles of the following half of the devices; of two devices
    that face each other across the ring, one takes the first half of its rows with all columns, the
    other the rest (its columns, as the other device sees them).

    Args:
      layout: of rows and blocks.
      left: first row of the block of each device, counted from its first row.
      right: the same of the blocks that it meets.
      order: of the devices in the ring; None means by number.

    Returns:
      (row tile, column tile, weight), and (first, count) of every device and step.
    """
    count, own = layout.devices, left == right
    across = max(layout.tiles(device, left) for device in range(count))
    down = max(layout.tiles(device, right) for device in range(count))
    i, j = (part.ravel() for part in np.meshgrid(range(across), range(down), indexing="ij"))
    every = np.stack([i, j, np.full_like(i, 2)], axis=1)
    lists, half = [every], -(-across // 2)
    if own:
        upper = every[i <= j]
        upper[:, 2] -= upper[:, 0] == upper[:, 1]
        lists += [upper, every[j >= half]]
    table = np.zeros((table_length(layout.length // layout.tile), 3), np.int32)
    joined = np.concatenate(lists)
    table[: len(joined)] = joined
    edges = np.cumsum([0, *(len(part) for part in lists)])
    whole = (0, len(every))
    spans = np.zeros((count, ring_steps(count, own), 2), np.int32)
    ring = range(count) if order is None else order
    for place, device in enumerate(ring):
        for step in range(spans.shape[1]):
            other = ring[(place + step) % count]
            if not layout.tiles(device, left) or not layout.tiles(other, right):
                continue
            if not own or 0 < 2 * step < count:
                spans[device, step] = whole
            elif step == 0:
                spans[device, step] = edges[1], len(lists[1])
            elif 2 * step == count and device < other:
                spans[device, step] = 0, half * down
            elif 2 * step == count:
                spans[device, step] = edges[2], len(lists[2])
    return table, spans


def batches(spans: Int32[np.ndarray, "r s 2"], most: int) -> Iterator[Int32[np.ndarray, "r s 2"]]:
    """Parts of the spans for several calls; of several devices, all in one."""
    if spans.size > 2:
        yield spans
        return
    first, count = spans.ravel().tolist()
    for start in range(first, first + count, most):
        yield np.array([[[start, min(most, first + count - start)]]], np.int32)


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()
