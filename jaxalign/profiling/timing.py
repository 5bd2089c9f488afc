"""Wall times: medians of alternating calls after a warm-up, so that drift meets all of them."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one call, until its arrays are there."""
    start = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - start


def alternating(works: Mapping[str, Callable[[], Any]], *, repeats: int) -> dict[str, float]:
    """Median wall time of each piece of work; they take turns, after one warm-up that compiles."""
    for work in works.values():
        jax.block_until_ready(work())
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {name: statistics.median(found) for name, found in times.items()}


def peak_bytes() -> int:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
