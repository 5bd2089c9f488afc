"""The tables of the page: models, diagnostics, pairs. Plain cells; the template does the markup."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxalign.models.card import ModelCard
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.relations import RELATIONS
from jaxalign.report.vocabulary.source import MetricView, blank_card

DISCOVERY = 0.05
"""False-discovery rate at which a pair is said to stand out from chance."""

# From here on a diagnostic is worth a reader's attention.
_MANY_DUPLICATES, _MANY_TIES, _STRONG_HUBS, _MANY_ANTIHUBS = 0.05, 0.05, 2.0, 0.25


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
      text: what is shown.
      sort: key it sorts by; None sorts last.
      flagged: whether to draw attention.
      number: right-aligned, sorted by value.
      badge: `"yes"`, `"no"` or `"open"` for a verdict, whose color and sign say the same as its
        words; "" for none.
    """

    text: str
    sort: float | int | str | None = None
    flagged: bool = False
    number: bool = False
    badge: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a caption, as the template draws it."""

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def text(value: Any) -> Cell:
    """A cell of words; "–" for nothing."""
    words = "" if value is None else str(value)
    return Cell(words or "–", words.lower() or None)


def number(value: float | int | None, shown: str | None = None, *, flagged: bool = False) -> Cell:
    """A cell of a number, right-aligned; "–" for none or NaN."""
    if value is None or not math.isfinite(value):
        return Cell("–", None, flagged, number=True)
    return Cell(f"{value:,}" if shown is None else shown, float(value), flagged, number=True)


def models_table(cards: Mapping[str, ModelCard], ids: Sequence[str]) -> Table:
    """Facts of the cards, one row a model.

    Args:
      cards: cards by label; a model without one gets an empty row.
      ids: labels in the order of the page.

    Returns:
      The table.
    """
    rows = []
    for name in ids:
        card = cards.get(name) or blank_card(name)
        known = name in cards and bool(card.modality)
        rows.append(
            (
                text(name),
                text(card.name),
                text(card.family),
                text(card.modality),
                text(("yes" if card.pretrained else "no") if known else ""),
                number(card.width),
                number(card.parameters),
                text(card.training_data),
                text(card.symmetry if known else ""),
                text(card.pooling if known else ""),
                text(card.licence),
                text(card.verified if known else ""),
                text(card.citation),
            )
        )
    columns = ("Model", "Name", "Family", "Modality", "Pretrained", "Width d", "Parameters")
    columns += ("Training data", "Rotations", "Pooling", "Licence", "Port verified on", "Citation")
    return _filled("models", "Models and the facts on their cards", columns, rows)


def diagnostics_table(diagnostics: Mapping[str, Any], ids: Sequence[str]) -> Table:
    """State of every model's embeddings, in words; unusual values are flagged.

    Args:
      diagnostics: `alignment.diagnostics`.
      ids: labels in the order of the page.

    Returns:
      The table, one row a model and neighbor graph.
    """
    n = int(diagnostics.get("n") or 0)
    models, failed = diagnostics.get("models", {}), diagnostics.get("failed_models") or {}
    rows = [
        _diagnostic_row(name, graph, facts, n, failed=failed.get(name))
        for name in ids
        if name in models or name in failed
        for graph, facts in _graphs(models.get(name) or {})
    ]
    columns = ("Model", "Neighbors by", "Type", "Width d", "Duplicate rows", "Zero rows")
    columns += ("Non-finite rows", "Rows with ties", "Hubness", "Nobody's neighbor", "Remarks")
    return _filled("diagnostics", "State of the embeddings", columns, rows)


def significance_table(views: Sequence[MetricView]) -> Table:
    """What chance explains under every metric that has a null, one row a metric."""
    rows = []
    for view in views:
        if not view.null_kind:
            continue
        q, z = view.tested
        low, high = (labels.score(float(edge(view.chance))) for edge in (np.min, np.max))
        rows.append(
            (
                text(view.title),
                text(low if low == high else f"{low} to {high}"),
                number(len(q)),
                number(int((q <= DISCOVERY).sum())),
                number(float(np.median(z)), labels.fixed(float(np.median(z)), 1)),
                text(view.null_kind),
            )
        )
    columns = ("Metric", "Expected by chance", "Pairs tested", "Stand out (q ≤ 0.05)")
    columns += ("Median z (standard deviations)", "Null")
    return Table("significance", "Scores beside what chance explains", columns, tuple(rows))


def groups_table(views: Sequence[MetricView]) -> Table:
    """Mean and range of every group of pairs under every metric."""
    rows = []
    for name, words in RELATIONS.items():
        found = [view.spreads.get(name) for view in views]
        if not any(found):
            continue
        cells = [text(words)]
        for spread in found:
            if spread is None or not spread.count:
                cells.append(number(None))
                continue
            limits = f"{labels.score(spread.low)} to {labels.score(spread.high)}"
            shown = f"{labels.score(spread.mean)}  ({limits}; {spread.count:,})"
            cells.append(number(spread.mean, shown))
        rows.append(tuple(cells))
    caption = "Mean score of every group of pairs (smallest to largest; number of pairs)"
    return Table("groups", caption, ("Pairs", *(view.title for view in views)), tuple(rows))


def _filled(
    name: str, caption: str, columns: Sequence[str], rows: Sequence[tuple[Cell, ...]]
) -> Table:
    """The table without the columns in which no row states anything."""
    kept = [i for i in range(len(columns)) if any(row[i].sort is not None for row in rows)]
    cells = tuple(tuple(row[i] for i in kept) for row in rows)
    return Table(name, caption, tuple(columns[i] for i in kept), cells)


def _graphs(facts: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(graph, facts): diagnostics come per model, or per model and neighbor graph."""
    nested = {key: value for key, value in facts.items() if isinstance(value, Mapping)}
    if nested:
        yield from nested.items()
    else:
        yield "", facts


def _diagnostic_row(
    name: str, graph: str, facts: Mapping[str, Any], n: int, *, failed: str | None
) -> tuple[Cell, ...]:
    duplicates, zeros = facts.get("duplicate_rows"), facts.get("zero_rows")
    broken, ties = facts.get("nonfinite_rows"), facts.get("tie_fraction")
    skewness, antihubs = facts.get("hubness_skewness"), facts.get("antihub_share")
    remarks = {"failed": f"not scored: {failed}"} if failed else _remarks(facts, n)
    return (
        text(name),
        text(graph.replace("/", ", ") if graph else ""),
        text(facts.get("dtype")),
        number(facts.get("width")),
        number(duplicates, flagged="duplicates" in remarks),
        number(zeros, flagged="zeros" in remarks),
        number(broken, flagged="broken" in remarks),
        number(ties, _percent(ties), flagged="ties" in remarks),
        number(skewness, f"{skewness or 0.0:.2f}", flagged="hubs" in remarks),
        number(antihubs, _percent(antihubs), flagged="antihubs" in remarks),
        text("; ".join(remarks.values()) or "nothing unusual"),
    )


def _remarks(facts: Mapping[str, Any], n: int) -> dict[str, str]:
    """Sentences about what is unusual, by the diagnostic they concern."""
    found = {}
    duplicates = facts.get("duplicate_rows") or 0
    if n and duplicates > _MANY_DUPLICATES * n:
        groups = labels.count(int(facts.get("duplicate_groups") or 0), "group")
        found["duplicates"] = (
            f"{duplicates:,} of {n:,} structures share their embedding with another one ({groups})"
        )
    if zeros := facts.get("zero_rows"):
        found["zeros"] = f"{labels.count(int(zeros), 'embedding')} without any signal (all zero)"
    if broken := facts.get("nonfinite_rows"):
        found["broken"] = f"{labels.count(int(broken), 'embedding')} with NaN or infinity"
    if (facts.get("tie_fraction") or 0.0) > _MANY_TIES:
        found["ties"] = (
            "many equally near neighbors: which of them count is decided by row number, so pairs "
            "of such models score above chance even when independent"
        )
    if (facts.get("hubness_skewness") or 0.0) > _STRONG_HUBS:
        found["hubs"] = "a few structures are neighbors of very many (hubs)"
    if (facts.get("antihub_share") or 0.0) > _MANY_ANTIHUBS:
        share = _percent(facts["antihub_share"])
        found["antihubs"] = f"{share} of the structures are nobody's neighbor"
    return found


def _percent(share: float | int | None) -> str | None:
    return None if share is None else f"{100 * share:.1f} %"
