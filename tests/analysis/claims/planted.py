"""Alignments whose scores are planted: what the claims should find is known."""

import numpy as np
import pandas as pd

from jaxalign.alignment.graph_cache import GraphCache
from jaxalign.alignment.results import COLUMNS, Alignment
from jaxalign.analysis.claims.replicates import FACT, replicate_facts
from jaxalign.models.card import ModelCard

SINGLE = ("id:twonn", "id:mle")


def card(name, family, modality="3d", *, pretrained=True):
    return ModelCard(
        id=name,
        name=name,
        family=family,
        modality=modality,
        pretrained=pretrained,
        pooling="none" if modality == "control" else "mean",
    )


def planted(cards, scores, *, dataset="qm9", n=1000, columns=None, halves=None, **facts):
    """An alignment of these scores.

    Args:
      cards: one card a model.
      scores: (metric, k) → `[m, m]` matrix; of metrics of single models, `[m]`.
      dataset: name of the data set.
      n: number of structures.
      columns: (metric, k) → column → `[m, m]` of further columns of the table.
      halves: matrices of CKNNA over halves of the structures.
      **facts: further diagnostics.
    """
    names = [c.id for c in cards]
    rows, ks = [], {}
    for (metric, k), values in scores.items():
        ks.setdefault(metric, []).append(k)
        further = (columns or {}).get((metric, k), {})
        for i, a in enumerate(names):
            for j, b in enumerate(names):
                single = metric in SINGLE
                directed = metric == "information_imbalance"
                if (single and i != j) or (i > j and not directed):
                    continue
                row = {"model_a": a, "model_b": b, "metric": metric, "k": k, "reason": ""}
                row["value"] = values[i] if single else values[i, j]
                rows.append(row | {c: m[i, j] for c, m in further.items()})
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS)).astype({"k": "Int64"})
    numbers = ["value", "calibrated", "null_mean", "z", "p", "q", "ci_low", "ci_high"]
    table = table.astype(dict.fromkeys(numbers, float))
    known = {m: {"k": v[0] if len(v) == 1 else v} for m, v in ks.items()}
    facts |= {"metrics": known, "n": n, "dataset": {"name": dataset}, "failed_models": {}}
    if halves is not None:
        upper = np.triu_indices(len(names))
        values = np.array([half[upper] for half in halves])
        facts[FACT] = replicate_facts(values, metric="cknna", k=25, models=names, taken=n / 2)
    return Alignment(table, {c.id: c for c in cards}, facts, GraphCache(None))


def families_of(counts, modality="3d"):
    """Cards of so many models a family: {"A": 3, "B": 2}."""
    return [card(f"{f}{i}", f, modality) for f, count in counts.items() for i in range(count)]


def symmetric(rng, m, noise=0.01):
    """Symmetric noise with a zero diagonal."""
    values = np.triu(rng.normal(scale=noise, size=(m, m)), 1)
    return values + values.T


def grouped_scores(rng, labels, *, within=0.3, base=0.3, noise=0.01):
    """1 with itself, `base` between groups and `within` more inside."""
    labels = np.array(list(labels))
    same = labels[:, None] == labels[None, :]
    values = base + within * same + symmetric(rng, len(labels), noise)
    np.fill_diagonal(values, 1.0)
    return values
