"""The points of a sweep: which sizes each part is measured at. Pure values; nothing runs here."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxalign.scaling.parts import PARTS
from jaxalign.scaling.point import ALWAYS, SIZES, Point

MODES = ("each", "grid")


@dataclasses.dataclass(frozen=True)
class Plan:
    """A checked configuration.

    Attributes:
      parts: keys of `PARTS`.
      base: sizes where nothing is varied.
      vary: size → values.
      mode: `"each"` varies one size at a time from the base, `"grid"` all at once.
      strong: numbers of devices at the base's n.
      weak: numbers of devices with n growing as their root.
      weak_n: rows of weak scaling on one device.
      share_of_n: part → factor on every n.
      details: part → kernels or metrics.
    """

    parts: tuple[str, ...]
    base: Mapping[str, int | None]
    vary: Mapping[str, tuple[int, ...]]
    mode: str
    strong: tuple[int, ...]
    weak: tuple[int, ...]
    weak_n: int
    share_of_n: Mapping[str, float]
    details: Mapping[str, tuple[str, ...]]

    def points(self) -> dict[str, list[Point]]:
        """Points by series: `strong`, `weak`, then one a varied size, or `grid`.

        The same point may belong to several series.
        """
        series: dict[str, list[Point]] = {}
        for name, changes in self._changes():
            for part in self.parts:
                # A series of a size says nothing of a part to which the size does not matter.
                if name in SIZES and name not in (*ALWAYS, *PARTS[part].sizes):
                    continue
                point = self._point(part, changes)
                if point not in series.setdefault(name, []):
                    series[name].append(point)
        return {
            name: sorted(points, key=lambda p: self.parts.index(p.part))
            for name, points in series.items()
        }

    def _changes(self) -> Iterator[tuple[str, dict[str, int]]]:
        for count in self.strong:
            yield "strong", {"devices": count}
        for count in self.weak:
            # n² work: as much for each device at every number of devices.
            yield "weak", {"devices": count, "n": round(self.weak_n * math.sqrt(count))}
        if self.mode == "grid":
            for values in itertools.product(*self.vary.values()) if self.vary else ():
                yield "grid", dict(zip(self.vary, values, strict=True))
            return
        for name, values in self.vary.items():
            for value in values:
                yield name, {name: value}

    def _point(self, part: str, changes: Mapping[str, int]) -> Point:
        sizes = {**self.base, **changes}
        sizes["n"] = round(sizes["n"] * self.share_of_n.get(part, 1.0))
        for name in SIZES:
            if name not in (*ALWAYS, *PARTS[part].sizes):
                sizes[name] = None
        return Point(part=part, **sizes, detail=tuple(self.details.get(part, ())))


def plan_sweep(config: Mapping[str, Any], *, devices: int, processes: int = 1) -> Plan:
    """Checks a configuration and fills its defaults.

    Args:
      config: fields of `configs/scaling.py`.
      devices: of all processes.
      processes: over which every chosen number of devices is spread equally.

    Raises:
      ValueError: what came, what was wanted, how to mend it.
    """
    parts, vary = tuple(config["parts"]), dict(config["vary"])
    _among(parts, PARTS, "part")
    _among(tuple(vary), SIZES, "size to vary")
    _among(tuple(config["share_of_n"]), PARTS, "part in share_of_n")
    _among((config["mode"],), MODES, "mode")
    if not isinstance(config["repeats"], int) or config["repeats"] < 1:
        raise ValueError(f"repeats must be a positive integer: got {config['repeats']!r}")
    counts = {name: _counts(config[name], devices, processes) for name in ("strong", "weak")}
    plan = Plan(
        parts=parts,
        base={name: config["base"][name] for name in SIZES if name != "devices"}
        | {"devices": config["base"]["devices"] or processes},
        vary={name: tuple(vary[name]) for name in SIZES if vary.get(name)},
        mode=config["mode"],
        **counts,
        weak_n=config["weak_n"],
        share_of_n=dict(config["share_of_n"]),
        details={"grams": tuple(config["kernels"]), "align": tuple(config["metrics"])},
    )
    for point in (p for points in plan.points().values() for p in points):
        _check(point, devices, processes)
    return plan


def _counts(chosen: Sequence[int] | None, devices: int, processes: int) -> tuple[int, ...]:
    """Numbers of devices; None means doubling from one a process to all."""
    if chosen is not None:
        return tuple(chosen)
    counts, count = [], processes
    while count < devices:
        counts.append(count)
        count *= 2
    return (*counts, devices)


def _among(names: Sequence[str], known: Sequence[str] | Mapping[str, Any], what: str) -> None:
    unknown = [name for name in names if name not in known]
    if unknown or (what == "part" and not names):
        raise ValueError(f"unknown {what} {unknown}: choose from {', '.join(known)}")


def _check(point: Point, devices: int, processes: int) -> None:
    wrong = ""
    if not 0 < point.devices <= devices:
        wrong = f"there are {devices} devices; choose fewer, or on a CPU say --cpu_devices=N"
    elif point.devices % processes:
        wrong = f"each of {processes} processes must hold as many: choose a multiple of {processes}"
    elif point.devices > point.n:
        wrong = f"{point.devices} devices need at least as many rows; raise n"
    elif point.k is not None and not 1 <= point.k < point.n:
        wrong = f"k must lie between 1 and n - 1 = {point.n - 1}"
    elif point.models is not None and point.models < PARTS[point.part].least_models:
        wrong = f"it needs models >= {PARTS[point.part].least_models}"
    elif any(size is not None and size < 1 for size in (point.d, point.tile_size)):
        wrong = "d and tile_size must be positive"
    if wrong:
        raise ValueError(f"cannot measure {point.describe()}: {wrong}")
    PARTS[point.part].check(point)
