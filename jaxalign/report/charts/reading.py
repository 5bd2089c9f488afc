"""What the views read from the alignments of a report."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from jaxalign.analysis.relations.model_labels import compared_models
from jaxalign.models.card import ModelCard
from jaxalign.report.charts.marks import Marks
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.source import AlignmentLike, blank_card

_FEW = 3  # findings that the lead has room for

HOME = "in_distribution_of"
"""Fact of an alignment: the models whose training data are of the kind of its structures."""

CORPORA = "training_data"
"""Fact of an alignment: model → corpus, where its card does not name it in one word."""

PREFERRED = ("cknna", "mutual_knn")
"""Metrics that the views of relations are drawn of: the first that was computed."""


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """One data set of the report.

    Attributes:
      name: of the data set; "" where it has none.
      slug: part of names of figures, "" or with a hyphen in front.
      alignment: its scores.
      cards: one a model, in order.
      alone: whether it is the only data set.
    """

    name: str
    slug: str
    alignment: AlignmentLike
    cards: Mapping[str, ModelCard]
    alone: bool

    @property
    def prefix(self) -> str:
        """What stands before a sentence about this data set."""
        return "" if self.alone or not self.name else f"{self.name}: "

    def titled(self, words: str) -> str:
        """A heading that names the data set where there are several."""
        return words if self.alone or not self.name else f"{words}: {self.name}"


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """All data sets, and the marks that their views share.

    Attributes:
      sources: data sets in order.
      marks: colors and symbols.
    """

    sources: tuple[Source, ...]
    marks: Marks


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """A matrix of similarities that a view is drawn of.

    Attributes:
      metric: metric id.
      title: its name for people.
      axis: quantity for axes, with k and whether it is calibrated.
      matrix: `[model_a, model_b]`.
      column: `"value"` or `"calibrated"`.
    """

    metric: str
    title: str
    axis: str
    matrix: xr.DataArray
    column: str


def read_report(alignments: Mapping[str, AlignmentLike]) -> Report:
    """Names and cards of all data sets.

    Args:
      alignments: name of the data set → alignment.
    """
    slugs = _slugs(list(alignments))
    sources = []
    for (name, alignment), slug in zip(alignments.items(), slugs, strict=True):
        found = [str(v) for v in alignment.cards]
        cards = {model: alignment.cards.get(model) or blank_card(model) for model in found}
        sources.append(Source(str(name), slug, alignment, cards, len(alignments) == 1))
    every = [card for source in sources for card in source.cards.values()]
    return Report(tuple(sources), Marks(every))


def similarity(
    source: Source, *, calibrated: bool = True, wanted: Sequence[str] = PREFERRED
) -> Scores | None:
    """The scores that relations are drawn of; None if the run has no similarity of pairs.

    Args:
      source: data set.
      calibrated: prefer calibrated scores where the run has them.
      wanted: metrics, best first; without any of them the first symmetric similarity.
    """
    kinds = {metric: source.alignment.metadata(metric) for metric in source.alignment.metrics}
    usable = [
        metric
        for metric, facts in kinds.items()
        if facts.get("similarity", True)
        and facts.get("symmetric", True)
        and not facts.get("of_single_models")
    ]
    chosen = next((m for m in (*wanted, *usable) if m in usable), None)
    if chosen is None:
        return None
    facts = kinds[chosen]
    title = str(facts.get("title") or chosen)
    title = title[:1].upper() + title[1:]
    k = facts.get("k")
    axis = title if k is None else f"{title} (k = {k})"
    matrix = source.alignment.matrix(chosen)
    if calibrated and (found := _column(source.alignment, chosen, k, matrix)) is not None:
        return Scores(chosen, title, f"{axis}, calibrated", found, "calibrated")
    return Scores(chosen, title, axis, matrix, "value")


def compared(source: Source) -> list[str]:
    """Models whose relations are looked at: without random weights, descriptors and noise."""
    return compared_models(source.cards)


def chosen_scores(scores: Scores, names: Sequence[str]) -> xr.DataArray:
    """The matrix over some of the models."""
    return scores.matrix.sel(model_a=list(names), model_b=list(names))


def plural(parts: Iterable[str]) -> tuple[str, ...]:
    """Sentences without repetitions or empty ones."""
    return tuple(dict.fromkeys(part for part in parts if part))


def span(low: float, high: float) -> str:
    """An interval in words; "" without one."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"95 % interval {labels.score(low)} to {labels.score(high)}"


def p_words(p: float) -> str:
    """A p-value in words; "" without one."""
    if not math.isfinite(p):
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def in_brackets(*parts: str) -> str:
    """The parts that say something, in brackets after a blank; "" if none does."""
    told = [part for part in parts if part]
    return f" ({'; '.join(told)})" if told else ""


def _column(
    alignment: AlignmentLike, metric: str, k: Any, like: xr.DataArray
) -> xr.DataArray | None:
    """Calibrated scores, with the raw diagonal's places; None where there are none."""
    table = alignment.table
    if "calibrated" not in table:
        return None
    rows = table[(table["metric"] == metric) & (table["model_a"] != table["model_b"])]
    if k is not None and "k" in rows:
        rows = rows[rows["k"] == k]
    if not np.isfinite(rows["calibrated"].to_numpy(float)).any():
        return None
    place = {str(name): i for i, name in enumerate(like.coords["model_a"].values)}
    a, b = (rows[side].map(place).to_numpy(int) for side in ("model_a", "model_b"))
    values = np.full(like.shape, np.nan)
    values[a, b] = values[b, a] = rows["calibrated"].to_numpy(float)
    np.fill_diagonal(values, 1.0)  # a model with itself, by definition
    return like.copy(data=values)


def _slugs(names: Sequence[str]) -> list[str]:
    if len(names) == 1:
        return [""]
    plain = [re.sub(r"[^a-z0-9]+", "-", str(name).lower()).strip("-") for name in names]
    return [
        f"-{slug}" if slug and plain.count(slug) == 1 else f"-{slug or 'data'}-{number}"
        for number, slug in enumerate(plain)
    ]


def leading(
    question: str, findings: Sequence[str], notes: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """Where findings stand: few in the lead, many in front of the notes.

    Args:
      question: what the view asks, and how it is read.
      findings: sentences.
      notes: further sentences.

    Returns:
      Lead and notes.
    """
    findings, notes = plural(findings), plural(notes)
    if len(findings) <= _FEW:
        return " ".join([question, *findings]), notes
    return question, (*findings, *notes)


def p_shown(p: float) -> str | None:
    """A p-value in a table."""
    if not math.isfinite(p):
        return None
    return "< 0.001" if p < 0.001 else f"{p:.2g}"
