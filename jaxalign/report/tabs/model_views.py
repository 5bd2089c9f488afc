"""Tabs about single models: cards, state of the embeddings, estimates, drifts."""

from __future__ import annotations

from collections.abc import Sequence

from jaxalign.report.charts.measured_charts import estimates_chart, rotations_chart
from jaxalign.report.drawing.estimates import estimates_table
from jaxalign.report.drawing.rotation import is_drawn, read_drifts, rotation_table
from jaxalign.report.tabs.parts import Part, renamed
from jaxalign.report.vocabulary import tables
from jaxalign.report.vocabulary.views import View


def model_views(parts: Sequence[Part]) -> list[View]:
    """Cards, state of the embeddings, estimates and drifts of single models."""
    found = [_models(parts), _embeddings(parts), _estimates(parts), _rotations(parts)]
    return [view for view in found if view is not None]


def _models(parts: Sequence[Part]) -> View:
    cards = {name: card for part in parts for name, card in part.alignment.cards.items()}
    ids = list(dict.fromkeys(name for part in parts for name in part.ids))
    table = tables.models_table(cards, ids)
    lead = "The encoders compared, and the facts on their cards."
    return View("models", "Models", lead, (), (table,))


def _embeddings(parts: Sequence[Part]) -> View | None:
    found = [
        renamed(table, part)
        for part in parts
        if (table := tables.diagnostics_table(part.alignment.diagnostics, part.ids)).rows
    ]
    if not found:
        return None
    lead = (
        "Duplicates, ties and hubs bend neighbor scores: read the scores of flagged models with "
        "care. Duplicate rows: structures whose embedding equals another one exactly. Hubness: "
        "skewness of how often a structure is among the neighbors of others; 0 is even, above 2 a "
        "few structures dominate."
    )
    return View("embeddings", "State of the embeddings", lead, (), tuple(found))


def _estimates(parts: Sequence[Part]) -> View | None:
    charts, found, notes = [], [], []
    for part in parts:
        if not part.estimates:
            continue
        views = part.estimates
        name, title = part.named("estimates"), part.titled("Intrinsic dimension")
        charts.append(estimates_chart(views, part.ids, name=name, title=title))
        table = estimates_table(views, part.ids)
        found.append(renamed(table, part))
        for view in views:
            settings = "" if view.k is None else f", k = {view.k}"
            notes.append(f"{view.title}{settings}: {view.definition}")
    if not found:
        return None
    lead = "Quantities of one model alone; they need no other to be compared with."
    notes = tuple(dict.fromkeys(notes))
    return View("estimates", "Single-model estimates", lead, tuple(charts), tuple(found), notes)


def _rotations(parts: Sequence[Part]) -> View | None:
    charts, found, tolerances = [], [], []
    for part in parts:
        drifts = read_drifts(part.alignment.diagnostics, part.ids)
        if not drifts:
            continue
        tolerances.append(drifts[0].tolerance)
        found.append(renamed(rotation_table(drifts), part))
        if any(map(is_drawn, drifts)):
            title = part.titled("Drift under rotations and orders of atoms")
            charts.append(rotations_chart(drifts, name=part.named("rotations"), title=title))
    if not found:
        return None
    lead = (
        "Claims of the cards, checked. A rotation of a structure, or another order of its atoms, "
        "changes nothing about it. Drift: how far either moves the embedding, as a share of the "
        "embeddings’ spread (their RMS distance to the mean over the structures measured), the "
        "largest of several random rotations or orders. A model whose card says “invariant” is "
        f"held to a drift of at most {tolerances[0]:g} for every structure; rotations of others "
        "are only reported. The order of atoms must not matter to any."
    )
    title = "Rotations and permutations"
    return View("rotations", title, lead, tuple(charts), tuple(found))
