"""Rows over devices: equal shards, the last ones padded, and back to the rows of this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Shaped

from jaxalign.parallel.mesh import split, whole


@dataclasses.dataclass(frozen=True)
class Shards:
    """n rows in equal consecutive shards, one a device; what exceeds n is padding.

    Attributes:
      n: rows that are not padding.
      count: number of shards.
      size: rows of each.
    """

    n: int
    count: int
    size: int

    @property
    def padded(self) -> int:
        """Rows with the padding."""
        return self.count * self.size

    def bounds(self, shard: int) -> tuple[int, int]:
        """First row of a shard and one past its last, without padding; may be empty."""
        start = min(shard * self.size, self.n)
        return start, min(start + self.size, self.n)

    def of_process(self, mesh: Mesh) -> tuple[int, int]:
        """Rows that the devices of this process hold: they follow each other."""
        mine = own_shards(mesh)
        return self.bounds(mine[0])[0], self.bounds(mine[-1])[1]


def row_shards(n: int, mesh: Mesh, *, multiple: int = 1) -> Shards:
    """Shards of n rows over all devices of a mesh; their size is a multiple of the given number."""
    count = mesh.size
    size = -(-n // count)
    return Shards(n, count, -(-size // multiple) * multiple)


def place_rows(
    read: Callable[[int, int], Shaped[np.ndarray, "rows ..."]],
    shards: Shards,
    mesh: Mesh,
    *,
    fill: float = 0,
) -> Shaped[Array, "padded ..."]:
    """One array over all devices; each process reads the rows of its own devices alone.

    Args:
      read: rows `start:stop`; called for no rows (`start == stop`) too.
      shards: of the rows.
      mesh: where they go.
      fill: of padding rows.
    """
    like = read(0, 0)

    def shard(index):
        first = index[0].start or 0
        start, stop = shards.bounds(first // shards.size)
        out = np.full((shards.size, *like.shape[1:]), fill, like.dtype)
        if stop > start:
            out[: stop - start] = read(start, stop)
        return out

    shape = (shards.padded, *like.shape[1:])
    return jax.make_array_from_callback(shape, split(mesh), shard)


def place_whole(values: Shaped[np.ndarray, "*shape"], mesh: Mesh) -> Shaped[Array, "*shape"]:
    """The same array on every device; every process must have all of it."""
    return jax.make_array_from_callback(values.shape, whole(mesh), lambda index: values[index])


def own_rows(array: Shaped[Array, "padded ..."], shards: Shards) -> Shaped[np.ndarray, "rows ..."]:
    """The rows of an array over all devices that this process holds, without padding."""
    parts = own_parts(array, shards.count)
    bounds = {shard: shards.bounds(shard) for shard in parts}
    return np.concatenate([parts[s][: stop - start] for s, (start, stop) in bounds.items()])


def own_parts(array: Shaped[Array, "all ..."], count: int) -> dict[int, Shaped[np.ndarray, ...]]:
    """What devices of this process hold of an array over all `count` devices, by their numbers."""
    size = len(array) // count
    parts = {(p.index[0].start or 0) // size: np.asarray(p.data) for p in array.addressable_shards}
    return {number: parts[number] for number in sorted(parts)}


def own_shards(mesh: Mesh) -> list[int]:
    """Numbers of the shards that devices of this process hold."""
    devices = mesh.devices.ravel().tolist()
    return [s for s, d in enumerate(devices) if d.process_index == jax.process_index()]


def place_shards(values: Shaped[np.ndarray, "own ..."], mesh: Mesh) -> Shaped[Array, "all ..."]:
    """Equal shards of all devices as one array, from those of this process's devices."""
    mine = own_shards(mesh)
    size = len(values) // len(mine)

    def shard(index):
        place = mine.index((index[0].start or 0) // size) * size
        return values[place : place + size]

    shape = (size * mesh.size, *values.shape[1:])
    return jax.make_array_from_callback(shape, split(mesh), shard)
