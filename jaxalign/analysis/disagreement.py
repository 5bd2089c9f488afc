"""Structures on which two models disagree: their parts of the score, and both lists of neighbors.

The score of a metric that is a mean over structures, such as mutual kNN, has a part of every
structure. Many parts are equal: with k neighbors a structure shares 0 … k of them. Equal ones are
told apart by the share of a longer list where the neighbor graph holds one, then ordered by id, so
that the answer does not depend on the order of the rows; the table says how many are equal.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int

from jaxalign.alignment.plan import GraphSettings
from jaxalign.alignment.results import Alignment, ResultError
from jaxalign.metrics.registry import metric_definition

METRIC = "mutual_knn"


def shared_neighbors(a: Int[np.ndarray, "n k"], b: Int[np.ndarray, "n k"]) -> Int[np.ndarray, " n"]:
    """|kNN_a(i) ∩ kNN_b(i)| of every structure i; the order in a list has no meaning."""
    both = np.sort(np.concatenate([a, b], axis=1), axis=1)
    return (both[:, 1:] == both[:, :-1]).sum(axis=1)


def disputed_structures(
    alignment: Alignment,
    a: str,
    b: str,
    *,
    metric: str = METRIC,
    k: int | None = None,
    count: int = 20,
) -> pd.DataFrame:
    """The structures with the least agreement of two models.

    Args:
      alignment: with neighbor graphs, as from `align` or loaded from its workdir.
      a: first model.
      b: second model.
      metric: one that is a mean over structures.
      k: which k, of a metric that was computed for several; None means the first.
      count: structures at most.

    Returns:
      One row a structure, least agreement first: `structure` (id), `row` (in
      `diagnostics["ids"]`), `contribution` (its part, whose mean is the score), `wider` (share of
      common neighbors in the longest lists at hand; NaN if these are no longer), `equal` (number of
      structures that neither number tells from this one), `neighbors_a` and `neighbors_b` (ids,
      nearest first), `shared` (ids in both). `attrs` has `k` and the `k_wider`.

    Raises:
      ValueError: an unknown metric or model, a metric that is no mean over structures, or a count
        below 1.
      ResultError: the neighbor graphs are not at hand.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1: got {count}")
    parts = alignment.contributions(metric, a, b, k=k)
    chosen = int(alignment.metadata(metric, k=k)["k"])
    wider = _longest_k(alignment, (a, b), metric, chosen)
    lists = [neighbor_lists(alignment, name, metric=metric, k=wider) for name in (a, b)]
    share = shared_neighbors(*lists) / wider if wider > chosen else np.full(len(parts), np.nan)
    ids = np.array(alignment.diagnostics["ids"], dtype=object)
    order = _least_first(parts if metric_definition(metric).is_similarity else -parts, share, ids)
    table = pd.DataFrame({"structure": ids, "row": np.arange(len(ids)), "contribution": parts})
    table["wider"] = share
    # Rounded: equal parts may differ in the last bit.
    keys = [table["contribution"].round(12), table["wider"].round(12)]
    table["equal"] = table.groupby(keys, dropna=False)["row"].transform("size")
    table = table.iloc[order[:count]].reset_index(drop=True)
    for side, found in zip("ab", lists, strict=True):
        table[f"neighbors_{side}"] = [tuple(ids[found[row, :chosen]]) for row in table["row"]]
    table["shared"] = [
        tuple(name for name in first if name in second)
        for first, second in zip(table["neighbors_a"], table["neighbors_b"], strict=True)
    ]
    table.attrs = {"metric": metric, "model_a": a, "model_b": b, "k": chosen, "k_wider": wider}
    return table


def structure_agreement(
    alignment: Alignment,
    models: Sequence[str],
    *,
    metric: str = METRIC,
    k: int | None = None,
) -> pd.Series:
    """Mean part of every structure over all pairs of some models: where they disagree in general.

    Args:
      alignment: with neighbor graphs.
      models: at least two.
      metric: one that is a mean over structures; of a directed one both directions are taken.
      k: which k, of a metric that was computed for several; None means the first.

    Returns:
      Agreement by structure id, in the order of the rows; its mean is the mean score of the pairs.

    Raises:
      ValueError: fewer than two different models, or as `disputed_structures`.
      ResultError: the neighbor graphs are not at hand.
    """
    if len(set(models)) < 2:
        raise ValueError(f"agreement needs at least two different models: got {list(models)}")
    symmetric = metric_definition(metric).symmetric
    pairs = list((itertools.combinations if symmetric else itertools.permutations)(models, 2))
    total = sum(alignment.contributions(metric, a, b, k=k) for a, b in pairs)
    index = pd.Index(alignment.diagnostics["ids"], name="structure")
    return pd.Series(total / len(pairs), index=index, name=metric)


def neighbor_lists(
    alignment: Alignment, model: str, *, metric: str = METRIC, k: int
) -> Int[np.ndarray, "n k"]:
    """Row numbers of the neighbors of every structure, nearest first, as the metric saw them.

    Raises:
      ResultError: no such graph is stored.
    """
    found = _graph_key(alignment, model, metric)
    graph = None if found is None else alignment.graphs.get(found, k=k)
    if graph is None:
        raise ResultError(f"no stored graph of {k} neighbors of {model!r}; run align again")
    return np.asarray(graph[0].ids)


def _graph_key(alignment: Alignment, model: str, metric: str) -> str | None:
    settings = alignment.diagnostics["metrics"][metric]
    label = GraphSettings(settings["normalization"], settings["similarity"]).label
    return alignment.diagnostics["graph_keys"].get(model, {}).get(label)


def _longest_k(alignment: Alignment, models: Sequence[str], metric: str, k: int) -> int:
    """The largest k that a metric of the same graphs was computed for, and that these hold."""
    settings = alignment.diagnostics["metrics"]
    own = {name: settings[metric][name] for name in ("normalization", "similarity")}
    asked: set[int] = set()
    for other in settings.values():
        if {name: other.get(name) for name in own} == own:
            ks = other["k"] if isinstance(other["k"], list) else [other["k"]]
            asked |= {int(value) for value in ks if value is not None and value > k}
    for wider in sorted(asked, reverse=True):
        keys = [_graph_key(alignment, name, metric) for name in models]
        if all(key and alignment.graphs.get(key, k=wider) for key in keys):
            return wider
    return k


def _least_first(
    parts: Float64[np.ndarray, " n"],
    share: Float64[np.ndarray, " n"],
    ids: np.ndarray,
) -> Int[np.ndarray, " n"]:
    """Rows by part, then by share, then by id."""
    by_id = np.argsort(np.argsort(ids.astype(str), kind="stable"), kind="stable")
    return np.lexsort((by_id, np.nan_to_num(share).round(12), parts.round(12)))
