"""What every benchmark shares: seeded models, times of alternating runs, the machine, the table."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from jaxalign.archives.atomic import write_json


def synthetic_model(
    i: int, count: int, n: int, d: int, *, shared: int = 32
) -> Float32[np.ndarray, "n d"]:
    """Seeded embeddings of model i of `count`, which share a latent space in growing degree."""
    latent = np.random.default_rng(0).standard_normal((n, shared), np.float32)
    rng = np.random.default_rng([1, i])
    weight = np.float32((i + 1) / count / np.sqrt(shared))
    signal = latent @ rng.standard_normal((shared, d), np.float32)
    offset = rng.standard_normal(d, np.float32)
    return weight * signal + rng.standard_normal((n, d), np.float32) + offset


def synthetic_models(count: int, n: int, d: int) -> dict[str, Float32[np.ndarray, "n d"]]:
    """All models in memory."""
    return {f"m{i:02d}": synthetic_model(i, count, n, d) for i in range(count)}


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one call."""
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


def gemm_rate(*, size: int = 4096, repeats: int = 3) -> float:
    """Best float32 GEMM rate of this process in flop/s, at HIGHEST precision."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(size, size)).astype(np.float32))
    product = jax.jit(lambda a: jnp.matmul(a, a, precision=jax.lax.Precision.HIGHEST))
    product(x).block_until_ready()
    best = min(seconds(lambda: product(x)) for _ in range(repeats))
    return 2 * size**3 / best


def peak_bytes() -> int:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def machine() -> dict[str, Any]:
    """What must be known to read a figure."""
    packages = ("jax", "jaxlib", "numpy", "scipy", "scikit-learn", "faiss-cpu", "dcor")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "devices": [str(device) for device in jax.devices()],
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
    }


def report(title: str, rows: Sequence[Mapping[str, Any]], output: str | None) -> None:
    """Prints the rows as a table, and writes them with the machine as JSON."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns] + [[_shown(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    print(title)
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    record = {"title": title, "rows": list(rows), "machine": machine()}
    print(json.dumps(record["machine"]))
    if output:
        write_json(output, record)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
