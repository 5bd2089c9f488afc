"""The start of every run over embeddings: models matched, settings checked, a store opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxalign.alignment.inputs import collect_inputs
from jaxalign.alignment.plan import EDGE_BYTES, MetricPlan, graph_sizes, plan_metrics
from jaxalign.alignment.results import FOLDER
from jaxalign.alignment.state import State
from jaxalign.archives.atomic import require_writable
from jaxalign.guard import require_sound_jax
from jaxalign.pairwise.search_arguments import check_tile_size
from jaxalign.parallel.mesh import check_mesh
from jaxalign.types import Labels
from jaxalign.validation import check_bytes

DEFAULT_METRICS = ("cknna", "mutual_knn", "dcor")
DEFAULT_BUDGET = "2GiB"


def start_run(
    models: Mapping[Any, Any],
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    k: int | Sequence[int] | Mapping[str, Any] | None = None,
    normalize: str | None = None,
    similarity: str | None = None,
    ids: Labels | None = None,
    groups: Labels | Mapping[str, Any] | None = None,
    permute_within: Labels | Mapping[str, Any] | None = None,
    on_nonfinite: str = "error",
    seed: int = 0,
    mesh: Any = None,
    tile_size: int | None = None,
    memory_budget: int | str | None = None,
    workdir: str | Path | None = None,
    reuse: str | Path | None = None,
    progress: bool = False,
) -> tuple[State, tuple[MetricPlan, ...]]:
    """Checks everything, matches the models by sample id and opens their store; scores nothing.

    Args:
      models: see `align`, as all that follow.
      metrics: metric ids.
      k: neighbors.
      normalize: of rows.
      similarity: ordering of neighbors.
      ids: of the rows of plain arrays.
      groups: rows that are never neighbors.
      permute_within: rows that may change places under a null.
      on_nonfinite: what becomes of non-finite rows.
      seed: of random subsets.
      mesh: devices.
      tile_size: query rows per tile.
      memory_budget: bytes that a sweep may hold.
      workdir: folder of results and finished work.
      reuse: workdir of another run, whose finished work is read.
      progress: print progress lines.

    Returns:
      The run, and one plan a metric and k.

    Raises:
      ValueError: what came, what was wanted, how to mend it.
      StorageError: the workdir cannot be written.
    """
    require_sound_jax()
    mesh = check_mesh(mesh)
    if tile_size is not None:
        check_tile_size(tile_size)
    budget = check_bytes(DEFAULT_BUDGET if memory_budget is None else memory_budget)
    folder = None
    if workdir is not None:
        folder = Path(workdir) / FOLDER
        require_writable(folder)
    inputs = collect_inputs(
        models, ids=ids, groups=groups, strata=permute_within, on_nonfinite=on_nonfinite
    )
    n = len(inputs.ids)
    plans = plan_metrics(metrics, k=k, normalize=normalize, similarity=similarity, n=n)
    held = len(inputs.models) * sum(graph_sizes(plans).values()) * n * EDGE_BYTES
    state = State(
        inputs,
        folder=folder,
        tile_size=tile_size,
        memory_budget=budget,
        progress=progress,
        keep_graphs=folder is not None or held <= budget,
        seed=seed,
        mesh=mesh,
        reuse=None if reuse is None else Path(reuse) / FOLDER,
    )
    return state, plans
