"""One point: warm-up with its compilations, alternating timed calls, and the floor beside them."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from jaxalign.parallel.mesh import spread_mesh
from jaxalign.parallel.multihost import exchange_objects, wait_for_all
from jaxalign.profiling.compilations import compilations
from jaxalign.profiling.floors import Probe, memory_reads, square_products, tiled_product
from jaxalign.profiling.timing import seconds
from jaxalign.profiling.traces import stage, trace
from jaxalign.scaling.parts import FLOPS, PARTS, PRODUCT
from jaxalign.scaling.point import SIZES, Point


def measure(point: Point, *, repeats: int, profile: Path | None = None) -> dict[str, Any]:
    """Runs a point and returns its row of the table.

    Every process of the run calls this with the same point; times are those of the slowest.

    Args:
      point: checked.
      repeats: timed calls; the median counts.
      profile: folder for a trace of one further call, which is not timed.

    Returns:
      Sizes, seconds, throughput in N×N problems · N² a second, fraction of the floor (floor
      seconds over seconds: 1 is the floor itself), and compilations of the first call.
    """
    part, mesh = PARTS[point.part], spread_mesh(point.devices)
    run, before = part.prepare(point, mesh), compilations()
    first = _slowest([seconds(run)])[0]
    made = compilations() - before
    kind, amount = part.floor(point)
    probe = _probe(kind, point, mesh)
    jax.block_until_ready(probe.run())  # compiles
    before, spent, probed = compilations(), [], []
    for _ in range(repeats):  # in turns: a machine's rate drifts
        wait_for_all("timed call")
        spent.append(seconds(run))
        probed.append(seconds(probe.run))
    again = compilations() - before
    spent, probed = _slowest(spent), _slowest(probed)
    if profile is not None:
        with trace(profile), stage(point.part):
            jax.block_until_ready(run())
    median = statistics.median(spent)
    # The same product is as likely to be disturbed as the work; of a rate, the best is the floor.
    usual = statistics.median(probed) if kind == PRODUCT else min(probed)
    least = amount / probe.amount * usual
    return {
        **{name: getattr(point, name) for name in ("part", *SIZES)},
        "detail": ", ".join(point.detail),
        "processes": jax.process_count(),
        "dtype": "float32",
        "precision": part.precision,
        "seconds": median,
        "fastest": min(spent),
        "slowest": max(spent),
        "repeats": repeats,
        "pairs": part.pairs(point),
        "throughput": part.pairs(point) * point.n**2 / median,
        "floor": kind,
        "floor_seconds": least,
        "fraction_of_floor": least / median,
        "first_call_seconds": first,
        "compilations": made.compiled,
        "read_from_cache": made.cached,
        "compile_seconds": made.seconds,
        "compilations_while_timed": again.compiled + again.cached,
        "platform": mesh.devices.flat[0].platform,
        "device_kind": mesh.devices.flat[0].device_kind,
        "cores": os.cpu_count(),
    }


def _probe(kind: str, point: Point, mesh: Mesh) -> Probe:
    if kind == PRODUCT:
        return tiled_product(point.n, point.d, mesh)
    return square_products(mesh) if kind == FLOPS else memory_reads(mesh)


def _slowest(times: Sequence[float]) -> list[float]:
    """Elementwise maximum over the processes."""
    return [max(found) for found in zip(*exchange_objects(list(times)), strict=True)]
