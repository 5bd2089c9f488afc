"""Centered inner products of the kernel matrices of all models: one pass over tiles of all pairs.

Distances are computed once and serve every kernel; each tile of every model is a row of one matrix
F, and G += F Fᵀ gives all pairs of models at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxalign.embeddings.sources import ModelRows
from jaxalign.guard import require_sound_jax
from jaxalign.pairwise.centered_rows import check_lengths
from jaxalign.pairwise.centering import GramTerms
from jaxalign.pairwise.feature_grams import linear_feature_terms
from jaxalign.pairwise.gram_sweep import GramSweep
from jaxalign.pairwise.kernels import check_kernels
from jaxalign.pairwise.precision import is_ieee
from jaxalign.parallel.mesh import choose_mesh
from jaxalign.progress import Progress

DEFAULT_BUDGET = 2**30
"""Bytes of working memory where the caller names none."""


def gram_terms(
    models: Sequence[ModelRows],
    *,
    kernels: Sequence[str],
    new: Sequence[int] | None = None,
    bandwidth: float = 1.0,
    seed: int = 0,
    precision: str | None = None,
    route: str | None = None,
    tile_size: int | None = None,
    memory_budget: int | None = None,
    progress: str | None = None,
    mesh: Mesh | None = None,
    gather: bool | None = None,
) -> dict[str, GramTerms]:
    """Biased, debiased and grand-mean centered inner products of N×N matrices, all pairs of models.

    For matrices A, B with entries a_ij of one kernel (‖x_i − x_j‖, exp(−‖x_i − x_j‖²/2σ²) or
    x_i·x_j of column-centered rows): Σ_ij (HAH)_ij (HBH)_ij, Σ_{i≠j} Ã_ij B̃_ij of the U-centered
    matrices, and Σ_{i<j} (a_ij − ā)(b_ij − b̄). No N×N array exists at any time.

    Args:
      models: rows of M models over the same structures.
      kernels: of `"euclidean"`, `"rbf"`, `"linear"`.
      new: models whose terms with all models are wanted; None means all. Tiles of all models are
        built either way, but only the new rows are accumulated.
      bandwidth: σ in units of the median distance of a seeded sample of 2,000 rows.
      seed: of that sample, which also supplies estimates of row means.
      precision: `"float64"` or `"float32"` of the entries; None means float64 up to 2,048
        structures, where that is IEEE. Sums are taken in float64 either way.
      route: `"tiles"` or `"features"` (cross-covariances, float64) for the linear kernel; None
        takes the one with fewer operations.
      tile_size: rows and columns of a tile; never changes more than the rounding.
      memory_budget: bytes for blocks of rows and tiles of all models on the devices of a process,
        1 GiB where None; row sums of all models (24 bytes a model, structure and kernel) come on
        top.
      progress: label of a progress line; None prints nothing.
      mesh: devices over which rows are split; None for the default of `choose_mesh`.
      gather: let a device hold the blocks of all devices at once (True), or pass blocks round a
        ring (False); None gathers what fits a quarter of the budget.

    Returns:
      One `GramTerms` a kernel, in units of the data.

    Raises:
      ValueError: unequal numbers of rows, an unknown kernel, or an argument out of range.

    Note:
      Terms agree between tile sizes to 1e-6 relative in float32, to 1e-12 in float64. Distances
      below the rounding of their computation are exactly 0; so are self terms of pure rounding.
      The number of devices changes no more than the rounding either. Each process reads the rows
      of its own devices and, once, its share of all rows for column means and sample.
    """
    require_sound_jax()
    kernels, n = tuple(dict.fromkeys(kernels)), check_lengths(models)
    check_kernels(kernels)
    _check(bandwidth, precision, route, tile_size, memory_budget)
    chosen = list(range(len(models))) if new is None else [int(index) for index in new]
    budget = DEFAULT_BUDGET if memory_budget is None else memory_budget
    route = route or linear_route(n, [model.d for model in models])
    tiled = tuple(k for k in kernels if k != "linear" or route == "tiles")
    terms: dict[str, GramTerms] = {}
    if tiled:
        mesh = choose_mesh(mesh, n)
        sweep = GramSweep(
            models,
            tiled,
            chosen,
            mesh=mesh,
            gather=gather,
            bandwidth=float(bandwidth),
            seed=seed,
            dtype=precision or _entries(n, mesh),
            tile_size=tile_size,
            budget=budget,
        )
        with (
            jax.enable_x64(True),
            Progress(
                progress or "", total=sweep.tiles, unit="tiles", enabled=progress is not None
            ) as shown,
        ):
            terms |= sweep.run(shown)
    if len(tiled) < len(kernels):
        terms["linear"] = linear_feature_terms(
            models, new=new, memory_budget=budget, progress=progress and f"{progress} (features)"
        )
    return {kernel: terms[kernel] for kernel in kernels}


_FLOAT64_ROWS = 2048  # up to here float64 tiles cost little


def _entries(n: int, mesh: Mesh) -> str:
    # Bounds of float64 entries are those of IEEE.
    return "float64" if n <= _FLOAT64_ROWS and is_ieee(mesh) else "float32"


def linear_route(n: int, widths: Sequence[int]) -> str:
    """`"tiles"` or `"features"`, by operations: n²·ΣD against n·(ΣD)²."""
    return "tiles" if n < sum(widths) else "features"


def _check(bandwidth: Any, precision: Any, route: Any, tile_size: Any, memory_budget: Any) -> None:
    if not 0 < float(bandwidth) < float("inf"):
        raise ValueError(f"bandwidth must be positive and finite: got {bandwidth!r}")
    if precision not in (None, "float32", "float64"):
        raise ValueError(f"precision must be 'float32' or 'float64': got {precision!r}")
    if route not in (None, "tiles", "features"):
        raise ValueError(f"route must be 'tiles' or 'features': got {route!r}")
    for name, value in (("tile_size", tile_size), ("memory_budget", memory_budget)):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} must be a positive integer: got {value!r}")
