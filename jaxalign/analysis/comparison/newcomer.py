"""The new model: its rows matched with those of the run, and whether the run has them already."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxalign.alignment.recorded import over_ids, pair_metrics
from jaxalign.alignment.results import Alignment
from jaxalign.embeddings.record import Embeddings
from jaxalign.embeddings.sources import Readable, StoredEmbeddings
from jaxalign.metrics._definition import GramMetric, GraphMetric
from jaxalign.metrics.registry import metric_definition
from jaxalign.models.card import ModelCard
from jaxalign.validation import check_matrix

IDENTICAL, SIMILAR = "identical", "up to rotation and scale"

_BLOCK = 4096
_ROUNDING = 1e-6  # of a perfect score, from rows in float32
_NAME = "new"  # of an array without a label


def matched(
    new: Embeddings | StoredEmbeddings | np.ndarray, result: Alignment, *, name: str | None
) -> tuple[str, StoredEmbeddings, tuple[str, ...], dict[str, Any]]:
    """Rows of the new model over the structures that it shares with the run.

    Args:
      new: embeddings; rows without ids count as those of the run, in its order.
      result: the run's.
      name: label; None for the id on the card.

    Returns:
      The label, embeddings, common ids in the order of the run, and what was matched.

    Raises:
      ValueError: no structure in common, rows without ids of another number, or a label that the
        run has.
    """
    if isinstance(new, np.ndarray):
        values = check_matrix(new, name="the new embeddings")
        names = tuple(map(str, range(len(values))))
        card = ModelCard(name or _NAME, name or _NAME, family="", modality="", pretrained=True)
        new = Embeddings(values, names, card, {"implicit_ids": True})
    name = name or new.card.id
    if name in result.cards:
        raise ValueError(
            f"the run has a model {name!r} already: give the new one another label (--name=…, or "
            "name=… in Python)"
        )
    wanted = tuple(result.diagnostics["ids"])
    by_position = bool(new.info.get("implicit_ids"))
    if by_position:
        if len(new) != len(wanted):
            raise ValueError(
                f"{name!r} has {len(new)} rows without ids, and the run {len(wanted)} structures: "
                "give one row a structure in the run's order, or ids (an 'ids' array in .npz, or "
                f"NAME.ids.txt), as the run has them: {', '.join(wanted[:3])}, …"
            )
        ids = wanted
    else:
        own = set(new.ids)
        ids = tuple(identifier for identifier in wanted if identifier in own)
        if not ids:
            raise ValueError(
                f"{name!r} shares no structure with the run: its ids are like "
                f"{', '.join(new.ids[:3])}, those of the run like {', '.join(wanted[:3])}; embed "
                "the same structures, or rename"
            )
    record = over_ids(new, ids, name=name, card=dataclasses.replace(new.card, id=name))
    matching = {"n": len(ids), "n_run": len(wanted), "n_new": len(new), "by_position": by_position}
    return name, record, ids, matching


def same_rows(alignment: Alignment, name: str, others: Sequence[str]) -> dict[str, str]:
    """Models that are the new one again: the same numbers, or those that no metric tells apart.

    Args:
      alignment: with the new model and all rows.
      name: the new model.
      others: models to look at.

    Returns:
      Model → `IDENTICAL` or `SIMILAR`; others are left out.
    """
    found = {}
    for other in others:
        if _equal(alignment.rows[name], alignment.rows[other]):
            found[other] = IDENTICAL
        elif _perfect(alignment, name, other):
            found[other] = SIMILAR
    return found


def _equal(a: Readable, b: Readable) -> bool:
    if a.shape != b.shape:
        return False
    blocks = (slice(start, start + _BLOCK) for start in range(0, a.shape[0], _BLOCK))
    ends = ((block.start, min(block.stop, a.shape[0])) for block in blocks)
    return all(np.array_equal(a.read(*block), b.read(*block)) for block in ends)


def _perfect(alignment: Alignment, name: str, other: str) -> bool:
    """Whether all scores of neighbors and of kernels say that nothing differs."""
    asked = []
    for metric in pair_metrics(alignment):
        definition = metric_definition(metric)
        if isinstance(definition, GraphMetric | GramMetric):
            value = float(alignment.matrix(metric).sel(model_a=name, model_b=other))
            asked.append(abs(value - definition.best) < _ROUNDING)
    return bool(asked) and all(asked)
