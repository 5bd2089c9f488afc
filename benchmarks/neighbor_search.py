"""Exact neighbor search against its floor: the tiled matrix product alone, in the same run.

Usage:
    python benchmarks/neighbor_search.py --n=20480 --d=256 --k=25 [--output=result.json]

Prints one JSON object: median seconds of both over `--repeats` alternating runs after a warm-up
that compiles, their ratio, the memory that the search added, and everything needed to repeat it.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

import jaxalign as ja
from jaxalign.archives.atomic import write_json

_N = flags.DEFINE_integer("n", 20480, "Rows; a multiple of the tile.")
_D = flags.DEFINE_integer("d", 256, "Columns.")
_K = flags.DEFINE_integer("k", 25, "Neighbors per row.")
_COSINE = flags.DEFINE_float("mean_cosine", 0.0, "Mean cosine of the rows to each other.")
_TILE = flags.DEFINE_integer("tile_size", None, "Query rows per tile of the search.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Alternating repetitions.")
_PEERS = flags.DEFINE_bool("peers", False, "Also run faiss-cpu IndexFlat and scikit-learn brute.")
_OUTPUT = flags.DEFINE_string("output", None, "Also write the JSON here.")


def rows(n: int, d: int, mean_cosine: float) -> np.ndarray:
    """Seeded rows around one axis."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(n, d))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    axis = np.eye(1, d)
    return (np.sqrt(mean_cosine) * axis + np.sqrt(1 - mean_cosine) * noise).astype(np.float32)


def product(x: jax.Array, tile: int) -> Callable[[], jax.Array]:
    """The floor: all tiles of X Xᵀ at HIGHEST precision, each reduced to a column."""

    @jax.jit
    def run(x):
        def one(block):
            return jnp.matmul(block, x.T, precision=jax.lax.Precision.HIGHEST).max(1)

        return jax.lax.map(one, x.reshape(-1, tile, x.shape[1]))

    return lambda: run(x).block_until_ready()


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peers(x: np.ndarray, k: int) -> dict[str, Callable[[], object]]:
    """Brute-force searches of other packages, on the same rows and threads; self included."""
    import faiss
    from sklearn.neighbors import NearestNeighbors

    unit = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    def flat() -> object:
        index = faiss.IndexFlatIP(x.shape[1])
        index.add(unit)
        return index.search(unit, k + 1)

    def brute() -> object:
        return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(unit).kneighbors()

    return {"faiss_flat": flat, "sklearn_brute": brute}


def main(argv: Sequence[str]) -> None:
    """Measures and prints."""
    if len(argv) > 1 or _N.value % 512:
        raise app.UsageError("--n must be a multiple of --tile_size")
    x = rows(_N.value, _D.value, _COSINE.value)
    floor = product(jnp.asarray(x), 512)
    found = {}

    def search() -> None:
        found["neighbors"] = ja.neighbors(x, k=_K.value, tile_size=_TILE.value)

    floor()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    search()
    first = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    works = {"product": floor, "search": search} | (peers(x, _K.value) if _PEERS.value else {})
    times = {name: [] for name in works}
    for _ in range(_REPEATS.value):
        for name, work in works.items():
            times[name].append(seconds(work))
    medians = {name: statistics.median(values) for name, values in times.items()}
    product_s, search_s = medians["product"], medians["search"]
    result = {
        "n": _N.value,
        "d": _D.value,
        "k": _K.value,
        "mean_cosine": _COSINE.value,
        "tile_size": _TILE.value,
        "dtype": "float32",
        "product_seconds": round(product_s, 3),
        "product_gflops": round(2 * _N.value**2 * _D.value / product_s / 1e9, 1),
        "search_seconds": round(search_s, 3),
        "ratio": round(search_s / product_s, 2),
        "ratios": [round(b / a, 2) for a, b in zip(times["product"], times["search"], strict=True)],
        "ratios_of_all": {name: round(s / product_s, 2) for name, s in medians.items()},
        "peer_over_search": {
            name: round(s / search_s, 2)
            for name, s in medians.items()
            if name not in ("product", "search")
        },
        "first_call_seconds": round(first, 2),
        "peak_memory_added_mib": round((after - before) / 1024, 1),
        "diagnostics": dict(found["neighbors"].diagnostics),
        "devices": [str(device) for device in jax.devices()],
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "jax": jax.__version__,
    }
    print(json.dumps(result, indent=2))
    if _OUTPUT.value:
        write_json(_OUTPUT.value, result)


if __name__ == "__main__":
    app.run(main)
