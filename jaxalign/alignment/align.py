"""`align`: models in, all pairwise scores with diagnostics out."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from jaxalign.alignment.engine import Engine, PairScore
from jaxalign.alignment.inputs import Inputs, collect_inputs
from jaxalign.alignment.plan import MetricPlan, plan_metrics
from jaxalign.alignment.results import COLUMNS, FOLDER, Alignment
from jaxalign.archives.atomic import require_writable
from jaxalign.guard import require_sound_jax
from jaxalign.pairwise.neighbors import check_tile_size
from jaxalign.types import Labels

PRECISION = "float64 decides"
_LATER = {
    "permutations": "permutation nulls",
    "confidence": "confidence intervals",
    "mesh": "a device mesh",
}


def align(
    models: Mapping[Any, Any],
    *,
    metrics: Sequence[str] = ("cknna", "mutual_knn"),
    k: int | Mapping[str, int] | None = None,
    normalize: str | None = None,
    ids: Labels | None = None,
    groups: Labels | Mapping[str, Any] | None = None,
    permutations: int = 0,
    confidence: float | None = None,
    on_nonfinite: str = "error",
    seed: int = 0,
    mesh: Any = None,
    tile_size: int | None = None,
    workdir: str | Path | None = None,
    progress: bool = False,
) -> Alignment:
    """Scores every pair of models under every metric.

    One neighbor search a model (and normalization), then O(n·k²) a pair; no N×N array. With a
    `workdir`, finished graphs and pairs are kept by content: the same call computes nothing again,
    and one more model costs one search and its own pairs.

    Args:
      models: label → `[n, d]` array or `Embeddings`. Embeddings are compared on the ids they share.
      metrics: metric ids.
      k: None for each metric's default, one number for all, or metric id → number.
      normalize: row normalization for all metrics; None for each metric's default.
      ids: sample ids of the rows of plain arrays.
      groups: one label a row (or id → label); rows of one group are never neighbors.
      permutations: must be 0: not available in this version.
      confidence: must be None: not available in this version.
      on_nonfinite: `"error"` names the rows; `"drop"` drops them from all models; `"nan"` gives the
        model's scores as NaN with a reason and keeps the others.
      seed: recorded with the result; the metrics of this version draw no random numbers.
      mesh: must be None: not available in this version.
      tile_size: query rows per tile; bounds memory, never changes a result.
      workdir: folder for results and finished work.
      progress: print progress lines to standard error.

    Returns:
      `Alignment` with `table`, `matrix(metric)`, `contributions(metric, a, b)` and `diagnostics`.

    Raises:
      ValueError: what came, what was wanted, how to mend it.
      StorageError: the workdir cannot be written (checked before any work).
      NotImplementedError: an option that this version does not have.
    """
    require_sound_jax()
    _refuse_later({"permutations": permutations, "confidence": confidence, "mesh": mesh})
    tile_size = check_tile_size(tile_size)
    folder = None
    if workdir is not None:
        folder = Path(workdir) / FOLDER
        require_writable(folder)
    inputs = collect_inputs(models, ids=ids, groups=groups, on_nonfinite=on_nonfinite)
    plans = plan_metrics(metrics, k=k, normalize=normalize, n=len(inputs.ids))
    engine = Engine(inputs, folder=folder, tile_size=tile_size, progress=progress)
    scores = engine.run(plans)
    result = Alignment(
        table=_table(scores, inputs, seed),
        cards={m.name: m.card for m in inputs.models},
        diagnostics=_diagnostics(engine, plans, seed),
        graphs=engine.graphs,
    )
    if workdir is not None:
        result.save(workdir)
    return result


def _refuse_later(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if value:
            raise NotImplementedError(
                f"{_LATER[name]} ({name}={value!r}) are not available in this version; "
                f"leave {name} at its default"
            )


def _versions() -> dict[str, str]:
    names = ("jaxalign", "jax", "jaxlib", "numpy")
    return {name: version(name) for name in names} | {"python": platform.python_version()}


def _table(scores: Sequence[PairScore], inputs: Inputs, seed: int) -> pd.DataFrame:
    dtypes = {m.name: str(m.values.dtype) for m in inputs.models}
    versions = " ".join(f"{name}={number}" for name, number in _versions().items())
    rows = [
        {
            "dataset": inputs.dataset,
            "model_a": s.a,
            "model_b": s.b,
            "metric": s.plan.metric.id,
            "variant": s.plan.metric.variant,
            "value": s.value,
            "n": len(inputs.ids),
            "k": s.plan.k,
            "normalization": s.plan.graph.normalize,
            "dtype": "/".join(sorted({dtypes[s.a], dtypes[s.b]})),
            "precision": PRECISION,
            "seed": seed,
            "versions": versions,
            "reason": s.reason,
        }
        for s in scores
    ]
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    absent = ["calibrated", "p", "q", "ci_low", "ci_high"]
    return table.astype(dict.fromkeys(absent, np.float64))


def _diagnostics(engine: Engine, plans: Sequence[MetricPlan], seed: int) -> dict[str, Any]:
    inputs = engine.inputs
    settings = {p.graph for p in plans}
    return {
        "n": len(inputs.ids),
        "ids": list(inputs.ids),
        "matching": inputs.matching,
        "dataset": inputs.dataset,
        "metrics": {
            p.metric.id: {"k": p.k, "normalization": p.graph.normalize, "variant": p.metric.variant}
            for p in plans
        },
        "models": engine.model_diagnostics,
        "failed_models": {m.name: m.reason for m in inputs.models if m.reason},
        "graph_keys": {
            m.name: {s.label: engine.graph_key(m.name, s) for s in settings} for m in inputs.models
        },
        "grouped": inputs.groups is not None,
        "devices": [str(device) for device in jax.local_devices()[:1]],
        "tile_size": engine.tile_size,
        "precision": PRECISION,
        "seed": seed,
        "work": vars(engine.work),
        "seconds": engine.seconds,
        "versions": _versions(),
    }
