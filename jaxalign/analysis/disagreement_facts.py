"""What a report shows of disagreement: a few pairs of models, and where each disagrees most."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.disagreement import METRIC, disputed_structures
from jaxalign.analysis.drawings import draw_disputed
from jaxalign.analysis.relations.model_labels import compared_models
from jaxalign.metrics._definition import GraphMetric
from jaxalign.metrics.registry import metric_definition
from jaxalign.structures.structure import Structure

PAIRS, COUNT = 4, 3
_NEIGHBORS = 3  # of each model in a drawing
_STROKE = (  # how RDKit styles a bond: all but color and width is what SVG does anyway
    r"style='fill:none;fill-rule:evenodd;stroke:(#\w+);stroke-width:([\d.]+)px;"
    r"stroke-linecap:butt;stroke-linejoin:miter;stroke-opacity:1'"
)


def disagreement_facts(
    alignment: Alignment,
    structures: Iterable[Structure],
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    metric: str | None = None,
    count: int = COUNT,
) -> list[dict[str, Any]]:
    """The structures that pairs of models place most differently, as plain values.

    Args:
      alignment: with neighbor graphs, as from `align` or loaded from its workdir.
      structures: the structures of the alignment; drawings are of those with a SMILES.
      pairs: models; None for those of `telling_pairs`.
      metric: a metric of neighbor graphs that is a mean over structures; None for mutual kNN, or
        the first such metric of the run.
      count: structures a pair.

    Returns:
      One record a pair, for `diagnostics["disagreements"]`: `metric`, `title`, `k`, `model_a`,
      `model_b`, `score`, `n`, and `structures`: `id`, `contribution` (its part of the score),
      `equal` (structures with the same part), `neighbors_a`, `neighbors_b`, `shared` (ids) and
      `svg`, a drawing, "" where there is none. Empty if the run has no such metric.

    Raises:
      ValueError: an unknown model, or a metric without parts of structures.
      ResultError: the neighbor graphs are not at hand.
    """
    chosen = _metric(alignment) if metric is None else metric
    if chosen is None:
        return []
    smiles = {s.id: s.smiles for s in structures if s.smiles}
    found = []
    for a, b in telling_pairs(alignment, chosen) if pairs is None else pairs:
        table = disputed_structures(alignment, a, b, metric=chosen, count=count)
        scores = alignment.matrix(chosen)
        found.append(
            {
                "metric": chosen,
                "title": metric_definition(chosen).title,
                "k": int(table.attrs["k"]),
                "model_a": a,
                "model_b": b,
                "score": float(scores.sel(model_a=a, model_b=b)),
                "n": int(alignment.diagnostics["n"]),
                "structures": [_record(row, smiles) for _, row in table.iterrows()],
            }
        )
    return found


def telling_pairs(alignment: Alignment, metric: str, *, most: int = PAIRS) -> list[tuple[str, str]]:
    """The best aligned pair of trained models of every two modalities, best first.

    What models disagree on tells most where they agree otherwise. Where all are of one modality,
    the best aligned pair of two families, or else of any two models.

    Args:
      alignment: the alignment.
      metric: a similarity of pairs.
      most: pairs at most.
    """
    scores, cards = alignment.matrix(metric), alignment.cards
    names = compared_models(cards)
    best: dict[tuple, tuple[float, tuple[str, str]]] = {}
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            value = float(scores.sel(model_a=a, model_b=b))
            for number, by in enumerate(("modality", "family", "")):
                kinds = tuple(sorted(getattr(cards[name], by) if by else "" for name in (a, b)))
                if (kinds[0] != kinds[1] or not by) and np.isfinite(value):
                    key = (number, kinds if number == 0 else ())
                    best[key] = max(best.get(key, (-np.inf, (a, b))), (value, (a, b)))
    if not best:
        return []
    first = min(number for number, _ in best)
    found = sorted((v for (number, _), v in best.items() if number == first), reverse=True)
    return [pair for _, pair in found[:most]]


def _metric(alignment: Alignment) -> str | None:
    """Mutual kNN, or the first similarity of neighbor graphs that is a mean over structures."""
    usable = [
        metric
        for metric in alignment.metrics
        if isinstance(definition := metric_definition(metric), GraphMetric)
        and getattr(definition, "rows", None) is not None
        and definition.is_similarity
        and definition.symmetric
    ]
    return METRIC if METRIC in usable else next(iter(usable), None)


def _record(row: pd.Series, smiles: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": str(row["structure"]),
        "contribution": float(row["contribution"]),
        "equal": int(row["equal"]),
        **{name: list(row[name]) for name in ("neighbors_a", "neighbors_b", "shared")},
        "svg": _drawing(row, smiles),
    }


def _drawing(row: pd.Series, smiles: Mapping[str, str]) -> str:
    if row["structure"] not in smiles:
        return ""
    try:
        return compact(draw_disputed(row, smiles, count=_NEIGHBORS))
    except ValueError:  # RDKit does not read one of the SMILES: the ids say it all the same
        return ""


def compact(svg: str) -> str:
    """A drawing of RDKit in about half as many characters: records travel with the result."""
    svg = re.sub(r" class='[^']*'", "", svg)
    svg = re.sub(_STROKE, r"fill='none' stroke='\1' stroke-width='\2'", svg)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    return re.sub(r"\s+", " ", svg).replace("> <", "><")
