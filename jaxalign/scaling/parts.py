"""What a sweep measures: the stages of the engine, their work, and their floors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jax.sharding import Mesh

from jaxalign.alignment.align import align
from jaxalign.alignment.plan import plan_metrics
from jaxalign.embeddings.sources import ModelRows, StoredEmbeddings, model_rows
from jaxalign.metrics._definition import GramMetric, GraphMetric, PairRankMetric, RankMetric
from jaxalign.metrics.registry import METRICS, metric_definition
from jaxalign.models.card import ModelCard
from jaxalign.pairwise.edges import GraphStatistics
from jaxalign.pairwise.grams import gram_terms
from jaxalign.pairwise.graph_pairs import graph_pair_terms, stack_graphs
from jaxalign.pairwise.kernels import check_kernels
from jaxalign.pairwise.model_neighbors import neighbors_of_rows
from jaxalign.pairwise.ranks import rank_sums
from jaxalign.pairwise.row_blocks import row_blocks
from jaxalign.profiling.synthetic import SyntheticRows, random_lists
from jaxalign.scaling.point import Point

PRODUCT, FLOPS, READS = "X Xᵀ in tiles", "flops at the GEMM rate", "bytes at the read rate"
_PAIR_METRICS = ("mutual_knn", "cknna", "cknna:platonic")
_EDGE_BYTES = 8  # an id and a value
_MEMORY = 2**32  # bytes of embeddings that a process holds


@dataclasses.dataclass(frozen=True)
class Part:
    """One stage of the engine, as a sweep runs it.

    Attributes:
      title: for plots.
      sizes: of a point that matter to it, beside n and devices.
      pairs: N×N problems of a point: what n² is multiplied with in the throughput.
      prepare: builds the inputs of a point; what it returns runs the stage once.
      floor: kind and amount: flops, bytes, or products X Xᵀ.
      precision: of the stage, for the table.
      least_models: below which there is nothing to do.
      check: raises ValueError for a detail that is unknown.
    """

    title: str
    sizes: tuple[str, ...]
    pairs: Callable[[Point], int]
    prepare: Callable[[Point, Mesh], Callable[[], Any]]
    floor: Callable[[Point], tuple[str, float]]
    precision: str
    least_models: int = 1
    check: Callable[[Point], Any] = lambda point: None


def _search(point: Point, mesh: Mesh) -> Callable[[], Any]:
    rows = row_blocks(_rows(point, normalize="l2")[0])
    settings = {"k": point.k, "tile_size": point.tile_size}
    return lambda: neighbors_of_rows(
        rows, similarity="cosine", normalized=True, **settings, mesh=mesh
    )


def _grams(point: Point, mesh: Mesh) -> Callable[[], Any]:
    rows = _rows(point)
    return lambda: gram_terms(
        rows,
        kernels=point.detail,
        route="tiles",
        precision="float32",  # at every n, so that points can be compared
        tile_size=point.tile_size,
        mesh=mesh,
    )


def _ranks(point: Point, mesh: Mesh) -> Callable[[], Any]:
    rows = _rows(point)
    lists = [random_lists(point.n, point.k, seed=i) for i in range(point.models)]
    return lambda: rank_sums(rows, lists, tile_size=point.tile_size, mesh=mesh)


def _graph_pairs(point: Point, mesh: Mesh) -> Callable[[], Any]:
    stacked = stack_graphs([_random_graph(point, seed=i) for i in range(point.models)])
    pairs = np.array(np.triu_indices(point.models, 1), np.int32).T
    terms = tuple(METRICS[name].term for name in _PAIR_METRICS)
    return lambda: graph_pair_terms(stacked, pairs, terms, mesh=mesh)


def _align(point: Point, mesh: Mesh) -> Callable[[], Any]:
    ids = tuple(map(str, range(point.n)))
    models = {
        f"m{i:02d}": StoredEmbeddings(rows.raw, ids, _card(f"m{i:02d}"))
        for i, rows in enumerate(_rows(point))
    }
    settings = {"metrics": point.detail, "k": point.k, "tile_size": point.tile_size}
    return lambda: align(models, **settings, mesh=mesh).table


def _rows(point: Point, *, normalize: str = "none") -> list[ModelRows]:
    """Models of a point: in memory, or where they are too many, made anew at each reading."""
    count = point.models or 1
    sources = [SyntheticRows(i, count, point.n, point.d) for i in range(count)]
    if 4 * point.n * point.d * count > _MEMORY:
        return [model_rows(source, normalize) for source in sources]
    return [model_rows(source.read(0, point.n), normalize) for source in sources]


def _random_graph(point: Point, *, seed: int) -> GraphStatistics:
    """A graph without meaning: the time of a pair does not depend on what its graphs hold."""
    shape, rng = (point.n, point.k), np.random.default_rng(seed)
    return GraphStatistics(
        ids=random_lists(*shape, seed=seed),
        reverse=np.full(shape, -1, np.int16),
        centered=rng.standard_normal(shape, np.float32),
        scores=np.zeros((point.n, 0), np.float32),
        means=rng.standard_normal(point.n),
    )


def _card(name: str) -> ModelCard:
    return ModelCard(id=name, name=name, family="", modality="", pretrained=True)


def _gram_flops(point: Point, kernels: int) -> float:
    """Symmetric tiles: half of the distances once, half of the Gram of each kernel."""
    m = point.models
    return float(point.n) ** 2 * (point.d * m + kernels * m * m)


def _align_flops(point: Point) -> float:
    """Products of one search a model, one tile sweep and one of ranks, as the metrics need them."""
    found = [metric_definition(name) for name in point.detail]
    square = 2.0 * point.n**2 * point.d * point.models
    flops = square * any(isinstance(m, GraphMetric) for m in found)
    flops += square * any(isinstance(m, RankMetric | PairRankMetric) for m in found)
    kernels = {m.kernel for m in found if isinstance(m, GramMetric)}
    return flops + (_gram_flops(point, len(kernels)) if kernels else 0.0)


def _graph_bytes(point: Point) -> float:
    """Both graphs of every pair, read once."""
    return point.models * (point.models - 1) * point.n * point.k * float(_EDGE_BYTES)


PARTS = {
    "search": Part(
        title="neighbor search",
        sizes=("d", "k", "tile_size"),
        pairs=lambda p: 1,
        prepare=_search,
        floor=lambda p: (PRODUCT, 1.0),
        precision="float64 decides",
    ),
    "grams": Part(
        title="Gram sweep",
        sizes=("d", "models", "tile_size"),
        pairs=lambda p: p.models * (p.models + 1) // 2,
        prepare=_grams,
        floor=lambda p: (FLOPS, _gram_flops(p, len(p.detail))),
        precision="float32",
        check=lambda p: check_kernels(p.detail),
    ),
    "ranks": Part(
        title="ranks",
        sizes=("d", "models", "k", "tile_size"),
        pairs=lambda p: p.models**2,
        prepare=_ranks,
        floor=lambda p: (FLOPS, 2.0 * p.n**2 * p.d * p.models),
        precision="float64",
    ),
    "pairs": Part(
        title="graph pairs",
        sizes=("models", "k"),
        pairs=lambda p: p.models * (p.models - 1) // 2,
        prepare=_graph_pairs,
        floor=lambda p: (READS, _graph_bytes(p)),
        precision="float64",
        least_models=2,
    ),
    "align": Part(
        title="whole alignment",
        sizes=("d", "models", "k", "tile_size"),
        pairs=lambda p: p.models * (p.models - 1) // 2,
        prepare=_align,
        floor=lambda p: (FLOPS, _align_flops(p)),
        precision="each metric's own",
        least_models=2,
        check=lambda p: plan_metrics(p.detail, k=p.k, normalize=None, n=p.n),
    ),
}
"""Parts by the name that a configuration gives them."""
