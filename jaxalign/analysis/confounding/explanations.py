"""Trivial explanations: how much of an alignment composition, size or a fingerprint could give.

A control c (composition, atom count, ECFP4, SOAP, …) that agrees with both models of a pair could
be all that they share. For a pair (a, b) the path through c is as strong as its weaker half,

    through(a, b) = max_c min(s(a, c), s(b, c))

(for distances min_c max). It is a hint and no bound: two models may agree with c about different
structures. What is shared beyond controls is asked by `conditional`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.confounding.score_matrices import best_of, score_matrices
from jaxalign.metrics.registry import metric_definition
from jaxalign.models.card import ModelCard

_VALUES = ("value", "calibrated")


def is_trivial(card: ModelCard) -> bool:
    """Whether a model is a control that looks at structures: no network, and no noise."""
    return card.modality == "control" and card.family != "noise"


def trivial_controls(cards: Mapping[str, ModelCard]) -> list[str]:
    """Labels of the trivial controls, in order."""
    return [name for name, card in cards.items() if is_trivial(card)]


def explanations(result: Alignment, metric: str, *, k: int | None = None) -> pd.DataFrame:
    """The control that agrees best with each model.

    Of a directed metric, the score is from the control to the model: what the control tells of it.

    Args:
      result: an alignment with controls among its models.
      metric: one of its metrics, of pairs.
      k: which k; None means the first.

    Returns:
      One row a model that is no control: `model`, `metric`, `k`, `control`, its score `value`,
      `calibrated` (0 is chance, 1 a perfect match), `null_mean`, `q`. Without controls or scores,
      `control` is "" and numbers are NaN.

    Raises:
      ValueError: the metric, or this k of it, was not computed, or is of single models.
    """
    k, place, scores = score_matrices(result, metric, k=k, columns=(*_VALUES, "null_mean", "q"))
    controls = trivial_controls(result.cards)
    rows = []
    for name in result.models:
        if is_trivial(result.cards[name]):
            continue
        at = [(place[control], place[name]) for control in controls]
        best = best_of([scores["value"][cell] for cell in at], metric)
        found = {
            column: np.nan if best is None else matrix[at[best]]
            for column, matrix in scores.items()
        }
        control = "" if best is None else controls[best]
        rows.append({"model": name, "metric": metric, "k": k, "control": control, **found})
    columns = ("model", "metric", "k", "control", *scores)
    return pd.DataFrame(rows, columns=list(columns)).astype({"k": "Int64"})


def pair_explanations(result: Alignment, metric: str, *, k: int | None = None) -> pd.DataFrame:
    """The strongest path through a control for every pair of models; see the module.

    Of a directed metric a → b, the halves are a → c and c → b.

    Args:
      result: an alignment with controls among its models.
      metric: one of its metrics, of pairs.
      k: which k; None means the first.

    Returns:
      One row a pair without controls: `model_a`, `model_b`, `metric`, `k`, `value`, `calibrated`,
      `control`, `through` and `through_calibrated` (the weaker half of the path), and `beyond`:
      calibrated − through_calibrated, of which no control gives an account.

    Raises:
      ValueError: as `explanations`.
    """
    k, place, scores = score_matrices(result, metric, k=k, columns=_VALUES)
    definition = metric_definition(metric)
    controls = trivial_controls(result.cards)
    models = [name for name in result.models if name not in controls]
    weaker = min if definition.is_similarity else max
    rows = []
    for i, a in enumerate(models):
        for j, b in enumerate(models):
            if i == j or (j < i and definition.symmetric):
                continue
            halves = [((place[a], place[c]), (place[c], place[b])) for c in controls]
            paths = [weaker(scores["value"][half] for half in pair) for pair in halves]
            best = best_of(paths, metric)
            cell = place[a], place[b]
            row = {"model_a": a, "model_b": b, "metric": metric, "k": k}
            row |= {column: matrix[cell] for column, matrix in scores.items()}
            row |= {"control": "", "through": np.nan, "through_calibrated": np.nan}
            if best is not None:
                both = [scores["calibrated"][half] for half in halves[best]]
                row |= {"control": controls[best], "through": paths[best]}
                row["through_calibrated"] = float(np.min(both))
            row["beyond"] = row["calibrated"] - row["through_calibrated"]
            rows.append(row)
    columns = ("model_a", "model_b", "metric", "k", *_VALUES, "control", "through")
    columns += ("through_calibrated", "beyond")
    return pd.DataFrame(rows, columns=list(columns)).astype({"k": "Int64"})
