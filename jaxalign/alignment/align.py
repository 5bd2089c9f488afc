"""`align`: models in, all pairwise scores with diagnostics out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxalign.alignment import engine
from jaxalign.alignment.best_layers import best_layers, check_encoders
from jaxalign.alignment.confidence import (
    IntervalSettings,
    interval_columns,
    interval_settings,
    replicate_rows,
)
from jaxalign.alignment.engine import PairScore
from jaxalign.alignment.facts import diagnostics, versions
from jaxalign.alignment.inputs import Inputs
from jaxalign.alignment.null_choice import Nulls, choose_nulls, plan_sampling
from jaxalign.alignment.plan import MetricPlan
from jaxalign.alignment.results import COLUMNS, Alignment
from jaxalign.alignment.sampled_nulls import Sampling
from jaxalign.alignment.significance_columns import significance_columns
from jaxalign.alignment.start import DEFAULT_METRICS, start_run
from jaxalign.alignment.state import State
from jaxalign.guard import require_sound_jax
from jaxalign.parallel.multihost import require_agreement
from jaxalign.types import Labels


def align(
    models: Mapping[Any, Any],
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    k: int | Sequence[int] | Mapping[str, Any] | None = None,
    normalize: str | None = None,
    similarity: str | None = None,
    ids: Labels | None = None,
    groups: Labels | Mapping[str, Any] | None = None,
    permutations: int = 0,
    permute_within: Labels | Mapping[str, Any] | None = None,
    encoders: Mapping[str, str] | None = None,
    confidence: float | int | None = None,
    interval_method: str = "subsample",
    on_nonfinite: str = "error",
    seed: int = 0,
    mesh: Any = None,
    tile_size: int | None = None,
    memory_budget: int | str | None = None,
    workdir: str | Path | None = None,
    reuse: str | Path | None = None,
    progress: bool = False,
) -> Alignment:
    """Scores every pair of models under every metric.

    One neighbor search a model (and normalization), one sweep over tiles of all models for metrics
    of distances or kernels, one for ranks, then small terms of pairs; no N×N array. With a
    `workdir`, finished graphs and pairs are kept by content: the same call computes nothing again,
    and one more model costs one search, its own pairs, and a sweep that sums its products alone.

    Args:
      models: label → `[n, d]` array, `Embeddings`, or `StoredEmbeddings` that stay on disk.
        Embeddings are compared on the ids they share.
      metrics: metric ids; `jaxalign.metrics.METRICS` lists them with their definitions.
      k: None for each metric's default; one number, or several, for all metrics that compare
        neighbors; or metric id → number or numbers. Several k share one graph.
      normalize: row normalization for all metrics; None for each metric's default.
      similarity: ordering of neighbors in metrics of neighbor graphs: `"cosine"`, `"inner"` or
        `"euclidean"`; None means cosine. Ranks and dimensions are Euclidean.
      ids: sample ids of the rows of plain arrays.
      groups: one label a row (or id → label); rows of one group are never neighbors.
      permutations: most permutations that are sampled for a score, e.g. 999. Closed forms serve
        all pairs of most metrics; permutations are spent where these do not decide (p between .001
        and .25), on metrics without one, and under `groups` (whole groups of one size change
        places) or `permute_within`. Sampling of a score stops when it is decided.
      permute_within: one label a row (or id → label); only structures of one label change places:
        the null is that the models agree on nothing beyond these labels, given that structures of
        one label are exchangeable. Needs `permutations`.
      encoders: label → encoder, where models are layers: `best_layers` of the result then compares
        encoders by their best pair of layers, under the maximum statistic. Needs `permutations`.
      confidence: probability that an interval (`ci_low`, `ci_high`) covers the expected score of
        as many structures, e.g. 0.95; None for no intervals. They come from 20 random splits of the
        structures (with `groups`, of whole groups) into halves: 40 runs over half as many, for
        which k stays as it is. See `jaxalign.significance.intervals`.
      interval_method: `"subsample"`, or `"jackknife"`: 20 runs without one block of structures (or
        of whole groups) each; as many rows as k needs stay, but errors of neighbor scores come out
        up to one half too large.
      on_nonfinite: `"error"` names the rows; `"drop"` drops them from all models; `"nan"` gives the
        model's scores as NaN with a reason and keeps the others.
      seed: of the random subsets that some metrics draw (bandwidth of RBF kernels, half split of
        reconstruction, pairs of Spearman RSA); recorded with the result.
      mesh: devices that work: a `jax.sharding.Mesh` with the axes `rows` and `models`, text such
        as `"rows:4"`, or devices. None means all devices of all processes; of a single process,
        as many as get 512 structures each. The result does not depend on it.
      tile_size: query rows per tile; bounds memory, never changes a result.
      memory_budget: bytes that a sweep may hold beside one model's rows, e.g. `"4GiB"`; None means
        2 GiB. Graphs are read as they are needed from the workdir, or without one, when they are
        larger than the budget, from a temporary folder.
      workdir: folder for results and finished work.
      reuse: workdir of another run: graphs and pairs that it has finished are read there, and
        nothing there is changed.
      progress: print progress lines to standard error.

    Returns:
      `Alignment` with `table`, `matrix(metric)`, `contributions(metric, a, b)` and `diagnostics`.

    Raises:
      ValueError: what came, what was wanted, how to mend it.
      StorageError: the workdir cannot be written (checked before any work).
    """
    require_sound_jax()
    intervals = None
    if confidence is not None:
        intervals = interval_settings(confidence, method=interval_method)
    _agree(
        models,
        metrics=metrics,
        k=k,
        normalize=normalize,
        similarity=similarity,
        seed=seed,
        permutations=permutations,
        encoders=encoders,
        confidence=confidence,
        interval_method=interval_method,
    )
    state, plans = start_run(
        models,
        metrics=metrics,
        k=k,
        normalize=normalize,
        similarity=similarity,
        ids=ids,
        groups=groups,
        permute_within=permute_within,
        on_nonfinite=on_nonfinite,
        seed=seed,
        mesh=mesh,
        tile_size=tile_size,
        memory_budget=memory_budget,
        workdir=workdir,
        reuse=reuse,
        progress=progress,
    )
    if reuse is not None:
        state.facts["reuse"] = str(Path(reuse).resolve())
    sampling = _sampling(state.inputs, permutations, encoders)
    if intervals is not None:  # what cannot be had is refused before any work
        replicate_rows(plans, intervals, n=state.n, seed=seed, groups=state.inputs.groups)
    result = _evaluate(state, plans, sampling, intervals)
    if workdir is not None:
        result.save(workdir)
    return result


def _sampling(
    inputs: Inputs, permutations: int, encoders: Mapping[str, str] | None
) -> Sampling | None:
    names = [model.name for model in inputs.models]
    return plan_sampling(
        len(inputs.ids),
        permutations=permutations,
        groups=inputs.groups,
        within=inputs.strata,
        encoders=None if encoders is None else check_encoders(encoders, names),
    )


def _evaluate(
    state: State,
    plans: Sequence[MetricPlan],
    sampling: Sampling | None,
    intervals: IntervalSettings | None,
) -> Alignment:
    """Scores, their nulls and intervals."""
    scores = engine.run(state, plans)
    with state.timed("permutations"):
        nulls = choose_nulls(state, scores, sampling)
    table, layers = _table(scores, state, nulls), None
    if sampling is not None and sampling.encoders is not None:
        layers = best_layers(scores, nulls.samples, sampling.encoders, state.n)
    if intervals is not None:
        found = interval_columns(state, plans, scores, intervals)
        table = table.assign(**pd.DataFrame(found.columns))
        state.facts["intervals"] = found.facts
    models = state.inputs.models
    return Alignment(
        table=table,
        cards={m.name: m.card for m in models},
        diagnostics=diagnostics(state, plans) | {"sampled_nulls": nulls.facts},
        graphs=state.graphs,
        rows={m.name: m.rows for m in models},
        best_layers=layers,
    )


def _agree(models: Mapping[Any, Any], **settings: Any) -> None:
    """All processes of a run must ask for the same, or they would wait for each other forever."""
    names = list(map(str, models)) if isinstance(models, Mapping) else type(models).__name__
    facts = {"models": names, **settings, "versions": versions()}
    require_agreement(**{name: json.dumps(v, default=str) for name, v in facts.items()})


def _table(scores: Sequence[PairScore], state: State, nulls: Nulls) -> pd.DataFrame:
    inputs = state.inputs
    dtypes = {m.name: str(m.rows.dtype) for m in inputs.models}
    numbers = " ".join(f"{name}={number}" for name, number in versions().items())
    significance = significance_columns(scores, nulls.of, state.n, nulls.scheme)
    rows = [
        {
            "dataset": inputs.dataset,
            "model_a": s.a,
            "model_b": s.b,
            "metric": s.plan.metric.id,
            "variant": s.plan.metric.variant,
            "value": s.value,
            "n": state.n,
            "k": s.plan.k,
            "normalization": s.plan.normalize,
            "dtype": "/".join(sorted({dtypes[s.a], dtypes[s.b]})),
            "precision": state.precision.get(s.plan, ""),
            "seed": state.seed,
            "versions": numbers,
            "reason": s.reason,
            **columns,
        }
        for s, columns in zip(scores, significance, strict=True)
    ]
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    return table.astype({"ci_low": np.float64, "ci_high": np.float64, "k": "Int64"})
