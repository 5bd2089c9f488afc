"""Rings over chips that lie side by side, which TPUs need to pass blocks on while they compute.

On TPU slices of more than 16 chips, the compiler sends beside other work only what goes to chips
that are reached directly. Devices in the order of their processes are not beside each other; there
is an order in which all are, and the last beside the first, on every grid with an even side.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

from jax.sharding import Mesh

Place = tuple[int, ...]


@functools.lru_cache(maxsize=64)
def ring_order(mesh: Mesh) -> tuple[int, ...] | None:
    """Numbers of the devices of a mesh in an order in which each is beside the one before it.

    Args:
      mesh: devices; their numbers are those of the shards they hold.

    Returns:
      The order, closed to a ring; None where devices have no places on a grid, do not fill a box
      of it, or where no such ring exists: their own order is then as good as any.
    """
    places = [getattr(device, "coords", None) for device in mesh.devices.ravel().tolist()]
    return None if None in places else order_of_places([tuple(place) for place in places])


def order_of_places(places: Sequence[Place]) -> tuple[int, ...] | None:
    """Numbers of places in the order of a ring; None where they fill no box that has one."""
    lows, highs = (tuple(map(edge, zip(*places, strict=True))) for edge in (min, max))
    ring = grid_ring([high - low + 1 for low, high in zip(lows, highs, strict=True)])
    numbers = {place: number for number, place in enumerate(places)}
    if ring is None or len(ring) != len(places) or len(numbers) != len(places):
        return None
    moved = (tuple(low + at for low, at in zip(lows, place, strict=True)) for place in ring)
    return tuple(numbers[place] for place in moved)


def grid_ring(extents: Sequence[int]) -> list[Place] | None:
    """All places of a grid, each a step beside the one before it, and the first beside the last.

    Args:
      extents: of the axes.

    Returns:
      None where all extents are odd or only one exceeds 1: no such ring exists.
    """
    long = [axis for axis, extent in enumerate(extents) if extent > 1]
    even = [axis for axis in long if extents[axis] % 2 == 0]
    if len(long) < 2 or not even:
        return None
    down = even[-1]
    across = _snake([extent for axis, extent in enumerate(extents) if axis != down])
    # Back and forth over all but the first column, then home through it.
    ring = [
        (column, row)
        for row in range(extents[down])
        for column in across[1:][:: 1 if row % 2 == 0 else -1]
    ]
    ring += [(across[0], row) for row in reversed(range(extents[down]))]
    return [(*place[:down], row, *place[down:]) for place, row in ring]


def side_by_side(places: Sequence[Place], count: int) -> list[list[int]] | None:
    """Equal boxes of a grid, each of which has a ring if any cut allows it.

    Args:
      places: distinct places on the grid.
      count: number of boxes.

    Returns:
      Numbers of the places of each box, ascending; None where the places fill no box that can be
      cut into so many.
    """
    lows, highs = (tuple(map(edge, zip(*places, strict=True))) for edge in (min, max))
    extents = [high - low + 1 for low, high in zip(lows, highs, strict=True)]
    divisors = ([c for c in range(1, e + 1) if e % c == 0] for e in extents)
    cuts = [cut for cut in itertools.product(*divisors) if math.prod(cut) == count]
    if not cuts or math.prod(extents) != len(set(places)):
        return None

    def box(cut):
        return [extent // parts for extent, parts in zip(extents, cut, strict=True)]

    # Of those with a ring, the one whose chips are nearest to each other.
    sizes = box(min(cuts, key=lambda cut: (grid_ring(box(cut)) is None, sum(box(cut)))))
    found: dict[Place, list[int]] = {}
    for number, place in enumerate(places):
        at = tuple((p - low) // size for p, low, size in zip(place, lows, sizes, strict=True))
        found.setdefault(at, []).append(number)
    return [found[at] for at in sorted(found)]


def _snake(extents: Sequence[int]) -> list[Place]:
    """All places of a grid, each a step beside the one before it."""
    path: list[Place] = [()]
    for extent in extents:
        path = [
            (*place, at)
            for number, place in enumerate(path)
            for at in range(extent)[:: 1 if number % 2 == 0 else -1]
        ]
    return path
