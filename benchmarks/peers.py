"""The engine beside the packages and the public code that people use today, in one run.

Usage:
    python benchmarks/peers.py --n=20480 --d=256 --k=25 --pair_n=10000 --output=peers.json

Neighbor search: faiss-cpu IndexFlat and scikit-learn brute force on the same rows and threads.
Pairs: the dense public forms (`public_code.py`) and the dcor package, timed on one pair and
extrapolated to all pairs of `--models`; the engine runs all of them. Needs the `test` extra.
"""

from __future__ import annotations

from collections.abc import Sequence

import faiss
import numpy as np
from absl import app, flags
from measuring import report, synthetic_models
from public_code import cka, cknna, information_imbalance, mutual_knn
from sklearn.neighbors import NearestNeighbors

import jaxalign as ja
from jaxalign.profiling.timing import alternating, seconds

_N = flags.DEFINE_integer("n", 20480, "Rows of the neighbor search.")
_D = flags.DEFINE_integer("d", 256, "Columns.")
_K = flags.DEFINE_integer("k", 25, "Neighbors per row.")
_PAIR_N = flags.DEFINE_integer("pair_n", 10000, "Rows of the pair that public code scores.")
_DCOR_N = flags.DEFINE_integer("dcor_n", 1500, "Rows that the dcor package is timed on.")
_MODELS = flags.DEFINE_integer("models", 60, "Models whose pairs are extrapolated to, and run.")
_REPEATS = flags.DEFINE_integer("repeats", 3, "Alternating repetitions of the searches.")
_OUTPUT = flags.DEFINE_string("output", None, "Also write the JSON here.")

SUITE = ("mutual_knn", "cknna:platonic", "cka", "dcor", "information_imbalance")


def search_rows() -> list[dict]:
    """Exact neighbor search against faiss and scikit-learn."""
    x = next(iter(synthetic_models(1, _N.value, _D.value).values()))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    k = _K.value

    def flat():
        index = faiss.IndexFlatIP(_D.value)
        index.add(x)
        return index.search(x, k + 1)[1]

    def brute():
        model = NearestNeighbors(n_neighbors=k, algorithm="brute", n_jobs=-1).fit(x)
        return model.kneighbors(return_distance=False)

    works = {
        "jaxalign": lambda: ja.neighbors(x, k=k, similarity="inner").indices,
        "faiss IndexFlatIP": flat,
        "scikit-learn brute": brute,
    }
    times = alternating(works, repeats=_REPEATS.value)
    settings = {"what": "exact neighbors", "n": _N.value, "d": _D.value, "k": k}
    return [
        settings | {"by": name, "seconds": spent, "ratio": spent / times["jaxalign"]}
        for name, spent in times.items()
    ]


def pair_rows() -> list[dict]:
    """One pair by public code, all pairs by the engine, for the same five metrics."""
    import dcor  # compiles for half a minute when it is imported

    models = synthetic_models(_MODELS.value, _PAIR_N.value, _D.value)
    x, y = list(models.values())[:2]
    # The package holds an array [n, n, d]: it is timed on fewer rows, and scaled by n².
    few_rows = [v[: _DCOR_N.value].astype(np.float64) for v in (x, y)]
    scale = (_PAIR_N.value / len(few_rows[0])) ** 2
    dcor.u_distance_correlation_sqr(*(v[:64] for v in few_rows))
    k = _K.value
    public = {
        "mutual_knn": lambda: mutual_knn(x, y, k),
        "cknna:platonic": lambda: cknna(x, y, k),
        "cka": lambda: cka(x, y),
        "dcor": lambda: dcor.u_distance_correlation_sqr(*few_rows),
        "information_imbalance": lambda: information_imbalance(x, y),
    }
    one = {name: seconds(work) for name, work in public.items()}
    one["dcor"] *= scale
    pairs = _MODELS.value * (_MODELS.value - 1) // 2
    few = dict(list(models.items())[:2])
    for part in (few, models):  # the first call compiles
        found: dict = {}
        spent = seconds(lambda part=part, found=found: found.update(a=_align(part)))
    stages = found["a"].diagnostics["seconds"]
    rows = [
        {"what": f"public code, one pair: {name}", "n": _PAIR_N.value, "seconds": value}
        | ({"note": f"from {_DCOR_N.value} rows, times n²"} if name == "dcor" else {})
        for name, value in one.items()
    ]
    total = sum(one.values()) * pairs
    rows.append({"what": f"public code, {pairs} pairs (extrapolated)", "seconds": total})
    rows.append({"what": f"jaxalign, {pairs} pairs (measured)", "seconds": spent})
    rows += [{"what": f"  of which {stage}", "seconds": value} for stage, value in stages.items()]
    rows.append({"what": "public / jaxalign", "ratio": total / spent})
    return rows


def _align(models: dict) -> ja.Alignment:
    return ja.align(
        models,
        metrics=SUITE,
        k={"mutual_knn": _K.value, "cknna:platonic": _K.value},
        progress=True,
    )


def main(argv: Sequence[str]) -> None:
    """Measures and prints."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}")
    report("jaxalign beside its peers", search_rows() + pair_rows(), _OUTPUT.value)


if __name__ == "__main__":
    app.run(main)
