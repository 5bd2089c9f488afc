"""Every one-device target of the metrics engine as a ratio to its floor, in one run.

Usage:
    python benchmarks/metric_throughput.py --output=throughput.json
    python benchmarks/metric_throughput.py --parts=search,graphs --n=20480 --models=60

Parts:
    search   exact neighbor search against the tiled matrix product X Xᵀ alone
    graphs   all pairs of graph metrics from stored graphs against as many searches as models
    grams    the tile sweep of each kernel against its flops at the best GEMM rate of this run
    ranks    exact ranks of all ordered pairs against the same floor (float64 products)
    suite    the suite over `--models` models × `--suite_n` rows: time of each stage, peak memory
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import app, flags, logging
from measuring import report, synthetic_model, synthetic_models

import jaxalign as ja
from jaxalign.embeddings.sources import model_rows
from jaxalign.embeddings.store import create_store
from jaxalign.metrics._pair import model_graph
from jaxalign.metrics.registry import METRICS
from jaxalign.pairwise.grams import gram_terms
from jaxalign.pairwise.graph_pairs import graph_pair_terms, stack_graphs
from jaxalign.pairwise.ranks import rank_sums
from jaxalign.profiling.floors import gemm_rate, tiled_product
from jaxalign.profiling.timing import alternating, peak_bytes, seconds

_PARTS = flags.DEFINE_list("parts", ["search", "graphs", "grams", "ranks", "suite"], "What to run.")
_N = flags.DEFINE_integer("n", 20480, "Rows of search and graphs.")
_SUITE_N = flags.DEFINE_integer("suite_n", 10000, "Rows of grams, ranks and the suite.")
_D = flags.DEFINE_integer("d", 256, "Columns.")
_K = flags.DEFINE_integer("k", 25, "Neighbors per row.")
_MODELS = flags.DEFINE_integer("models", 60, "Models.")
_GRAPHS = flags.DEFINE_integer("graphs", 4, "Searches that are timed and multiplied by --models.")
_METRICS = flags.DEFINE_list("suite", [], "Metric ids of the suite; default: all but idcor.")
_WARM = flags.DEFINE_bool("warm", True, "Run the suite on two models first, to compile.")
_SUITE_K = flags.DEFINE_integer("suite_k", None, "k of the suite's neighbor metrics.")
_BUDGET = flags.DEFINE_string("memory_budget", "2GiB", "Of the suite.")
_SCRATCH = flags.DEFINE_string("scratch", None, "Folder for the suite's stores and workdir.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Alternating repetitions.")
_OUTPUT = flags.DEFINE_string("output", None, "Also write the JSON here.")


def search() -> list[dict]:
    """Search of one model against the product."""
    x = next(iter(synthetic_models(1, _N.value, _D.value).values()))
    works = {
        "tiled product": tiled_product(_N.value, _D.value).run,
        "neighbors": lambda: ja.neighbors(x, k=_K.value).indices,
    }
    times = alternating(works, repeats=_REPEATS.value)
    settings = {"n": _N.value, "d": _D.value, "k": _K.value}
    ratio = times["neighbors"] / times["tiled product"]
    return [
        {"part": "search", "what": "X Xᵀ in tiles", **settings, "seconds": times["tiled product"]},
        {"part": "search", "what": "exact search", **settings, "seconds": times["neighbors"]}
        | {"ratio": ratio, "target": 1.2},
    ]


def graphs() -> list[dict]:
    """Mutual kNN and both CKNNA of all pairs, against the searches that made the graphs."""
    models = synthetic_models(_GRAPHS.value, _N.value, _D.value)
    rows = [model_rows(x, "l2") for x in models.values()]

    def one(source):
        return model_graph(source, k=_K.value, similarity="inner")[0]

    one(rows[0])
    found = []
    spent = [seconds(lambda s=source: found.append(one(s))) for source in rows]
    searches = float(np.median(spent)) * _MODELS.value
    # The time of a pair does not depend on what its graphs hold: each graph stands for several.
    stacked = stack_graphs(found)
    pairs = np.array(
        [
            (i % len(found), j % len(found))
            for i in range(_MODELS.value)
            for j in range(i + 1, _MODELS.value)
        ],
        np.int32,
    )
    terms = tuple(METRICS[name].term for name in ("mutual_knn", "cknna", "cknna:platonic"))
    graph_pair_terms(stacked, pairs[:64], terms)
    pairs_spent = seconds(lambda: graph_pair_terms(stacked, pairs, terms))
    settings = {"n": _N.value, "d": _D.value, "k": _K.value, "models": _MODELS.value}
    return [
        {"part": "graphs", "what": f"{_MODELS.value} graphs (median of {len(found)} searches)"}
        | settings
        | {"seconds": searches},
        {"part": "graphs", "what": f"{len(pairs)} pairs x 3 metrics", **settings}
        | {"seconds": pairs_spent, "ratio": pairs_spent / searches, "target": 0.25},
    ]


def grams() -> list[dict]:
    """Each kernel's sweep against its flops at the best GEMM rate."""
    n, d, m = _SUITE_N.value, _D.value, _MODELS.value
    rows = [model_rows(x, "none") for x in synthetic_models(m, n, d).values()]
    # Symmetric tiles: half of the distances, half of the Gram.
    flops = n * n * d * m + n * n * m * m
    found = []
    for kernels in (("euclidean",), ("rbf",), ("linear",), ("euclidean", "rbf")):
        gram_terms(rows[:2], kernels=kernels)
        rate = gemm_rate(size=4096)
        spent = seconds(lambda kernels=kernels: gram_terms(rows, kernels=kernels))
        work = flops + (len(kernels) - 1) * n * n * m * m
        found.append(
            {"part": "grams", "what": " + ".join(kernels), "n": n, "d": d, "models": m}
            | {"seconds": spent, "gemm_gflops": rate / 1e9, "ratio": spent * rate / work}
            | {"target": 2.5}
        )
    return found


def ranks() -> list[dict]:
    """Exact ranks of all ordered pairs at k = 1."""
    n, d, m = _SUITE_N.value, _D.value, _MODELS.value
    rows = [model_rows(x, "none") for x in synthetic_models(m, n, d).values()]
    rng = np.random.default_rng(0)
    ids = [rng.integers(0, n, size=(n, 1)).astype(np.int32) for _ in range(m)]
    rank_sums(rows[:2], ids[:2])
    rate = gemm_rate(size=4096)
    spent = seconds(lambda: rank_sums(rows, ids))
    ratio = spent * rate / (2 * n * n * d * m)
    return [
        {"part": "ranks", "what": f"{m * m} ordered pairs", "n": n, "d": d, "k": 1, "models": m}
        | {"seconds": spent, "gemm_gflops": rate / 1e9, "ratio": ratio}
    ]


def suite() -> list[dict]:
    """The whole suite over models in embedding stores, with the memory it adds."""
    n, d, m = _SUITE_N.value, _D.value, _MODELS.value
    names = tuple(_METRICS.value) or tuple(name for name in METRICS if name != "idcor")
    with tempfile.TemporaryDirectory(dir=_SCRATCH.value) as folder:
        files = [_store(Path(folder) / f"m{i:02d}", synthetic_model(i, m, n, d)) for i in range(m)]
        models = {file.name: ja.read_embeddings(file, in_memory=False) for file in files}
        options = {"metrics": names, "k": _SUITE_K.value, "memory_budget": _BUDGET.value}
        if _WARM.value:
            ja.align(dict(list(models.items())[:2]), **options)
        before = peak_bytes()
        found: dict = {}

        def run() -> None:
            found["a"] = ja.align(models, **options, workdir=Path(folder) / "w", progress=True)

        spent = seconds(run)
    settings = {"n": n, "d": d, "models": m, "k": _SUITE_K.value or "defaults"}
    stages = found["a"].diagnostics["seconds"]
    peak = (peak_bytes() - before) / 2**30
    return [
        {"part": "suite", "what": f"{len(names)} metrics, all pairs", **settings}
        | {"seconds": spent, "peak_added_gib": peak, "budget": _BUDGET.value},
        *({"part": "suite", "what": stage, "seconds": value} for stage, value in stages.items()),
    ]


def _store(path: Path, values: np.ndarray) -> Path:
    card = ja.ModelCard(id=path.name, name=path.name, family="", modality="", pretrained=True)
    ids = [str(i) for i in range(len(values))]
    store = create_store(path, ids=ids, width=values.shape[1], card=card, info={}, chunk_rows=4096)
    for start, stop in store.pending():
        store.write(start, values[start:stop])
    return path


_RUN = {"search": search, "graphs": graphs, "grams": grams, "ranks": ranks, "suite": suite}


def main(argv: Sequence[str]) -> None:
    """Measures and prints."""
    unknown = set(_PARTS.value) - set(_RUN)
    if len(argv) > 1 or unknown:
        raise app.UsageError(f"unexpected {argv[1:]} {sorted(unknown)}; parts: {list(_RUN)}")
    rows = []
    for part in _PARTS.value:
        rows += _RUN[part]()
        logging.info("%s", rows[-1])
    report("Throughput of the metrics engine", rows, _OUTPUT.value)


if __name__ == "__main__":
    app.run(main)
