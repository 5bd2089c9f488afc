"""Modelled time of a compiled program on TPU chips: published rates, and routes over the torus.

A model, never a measurement. The time is the largest of: matrix products at the published bfloat16
peak (a float32 product at precision HIGHEST takes six bfloat16 passes), other arithmetic at one
operation a lane, unit and cycle, main memory traffic at the published bandwidth, and communication
that no work hides. What it leaves out: units waiting for each other, latency of messages and of
loops; of a sort it counts the steps of a bitonic network, of a selection one look at each element.

Rates: Cloud TPU documentation, "TPU v5e", "TPU v5p" and "TPU v6e" (docs.cloud.google.com/tpu/docs),
where links are given as the sum over all ports and both directions. Clocks: the published peak over
the operations that the matrix units make in a cycle; the compiler's estimates of one large product,
in cycles, agree with them. Vector units: 8 × 128 lanes of 4 units a core ("How to Scale Your
Model", jax-ml.github.io/scaling-book, appendix A of the chapter on TPUs).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Sequence

from hlo_costs import Cost, Message

_LANES = 8 * 128 * 4  # operations of a vector unit in one cycle


@dataclasses.dataclass(frozen=True)
class Chip:
    """Published rates of one chip, in units of one and second.

    Attributes:
      memory: bytes of main memory.
      bandwidth: of main memory.
      peak: bfloat16 operations.
      link: bytes over one link in one direction.
      cores: that share the work of a chip.
      clock: cycles.
      ring: chips from which on an axis of the slice closes to a ring.
    """

    memory: float
    bandwidth: float
    peak: float
    link: float
    cores: int
    clock: float
    ring: int


CHIPS = {
    "v5e": Chip(16e9, 819e9, 197e12, 400e9 / 4 / 2, 1, 1.5e9, 16),
    "v5p": Chip(95e9, 2765e9, 459e12, 1200e9 / 6 / 2, 2, 1.75e9, 4),
    "v6e": Chip(32e9, 1638e9, 918e12, 800e9 / 4 / 2, 1, 1.75e9, 16),
}

Place = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Modelled:
    """Seconds of one run on one chip, by what they are spent on.

    Attributes:
      matrix: products.
      vector: other arithmetic.
      memory: main memory.
      exchange: all messages, hidden or not.
      exposed: of `exchange`, what no work hides.
      compiler: sum of the compiler's estimates, which cover neither sorts nor gathers.
    """

    matrix: float
    vector: float
    memory: float
    exchange: float
    exposed: float
    compiler: float

    @property
    def seconds(self) -> float:
        """The largest part."""
        return max(self.matrix, self.vector, self.memory, self.exposed)

    @property
    def bound(self) -> str:
        """Name of the largest part."""
        return max(("matrix", "vector", "memory", "exposed"), key=lambda name: getattr(self, name))


def modelled(cost: Cost, chip: Chip, places: Sequence[Place]) -> Modelled:
    """Time of a program.

    Args:
      cost: work of one chip.
      chip: its rates.
      places: coordinates of the chips, in the order of the program's partitions.
    """
    exchange = exposed = 0.0
    for message in cost.messages:
        once = message_seconds(message, chip, places)
        hidden = work_seconds(message.meanwhile, chip)
        exchange += message.times * once
        exposed += message.times * max(0.0, once - hidden)
    matrix, vector, memory = _parts(cost, chip)
    return Modelled(matrix, vector, memory, exchange, exposed, cost.cycles / chip.clock)


def message_seconds(message: Message, chip: Chip, places: Sequence[Place]) -> float:
    """Time of one message: its bytes over the busiest link.

    Collectives of all chips are taken to use every link of a chip in both directions.
    """
    if message.pairs:
        return message.bytes * busiest_link(message.pairs, places, ring=chip.ring) / chip.link
    extents = _extents(places)
    links = sum(min(extent - 1, 2) for extent in extents if extent > 1)
    return message.bytes / (chip.link * max(links, 1))


def busiest_link(pairs: Sequence[tuple[int, int]], places: Sequence[Place], *, ring: int) -> int:
    """Messages that share the busiest link when each goes along one axis after the other."""
    extents, loads = _extents(places), Counter()
    for source, target in pairs:
        for hop in _route(places[source], places[target], extents, ring):
            loads[hop] += 1
    return max(loads.values(), default=0)


def _route(source: Place, target: Place, extents: Sequence[int], ring: int):
    here = list(source)
    for axis, extent in enumerate(extents):
        distance = target[axis] - here[axis]
        if extent >= ring and abs(distance) > extent // 2:
            distance -= extent if distance > 0 else -extent
        step = 1 if distance > 0 else -1
        for _ in itertools.repeat(None, abs(distance)):
            following = here.copy()
            following[axis] = (here[axis] + step) % extent
            yield tuple(here), tuple(following)
            here = following


def _extents(places: Sequence[Place]) -> list[int]:
    return [max(axis) + 1 for axis in zip(*places, strict=True)]


def _parts(cost: Cost, chip: Chip) -> tuple[float, float, float]:
    return (
        cost.passes / chip.peak,
        cost.vector / (_LANES * chip.cores * chip.clock),
        cost.bytes / chip.bandwidth,
    )


def work_seconds(cost: Cost, chip: Chip) -> float:
    """Time of work without its messages."""
    return max(_parts(cost, chip))
