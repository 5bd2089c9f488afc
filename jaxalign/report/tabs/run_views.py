"""Tabs about the run: its facts, what is missing, how everything is to be read."""

from __future__ import annotations

from collections.abc import Sequence

from jaxalign.report.tabs import summary
from jaxalign.report.tabs.parts import Part
from jaxalign.report.tabs.reading_notes import reading_notes, version_notes
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Table, text
from jaxalign.report.vocabulary.views import View


def run_views(parts: Sequence[Part]) -> list[View]:
    """The run, what is missing, and how everything is to be read."""
    found = [_run(parts), _missing(parts), _reading(parts)]
    return [view for view in found if view is not None]


def _run(parts: Sequence[Part]) -> View:
    found = []
    for part in parts:
        facts = summary.run_facts(part.alignment, part.metrics)
        if command := part.alignment.diagnostics.get("command"):
            facts.insert(0, ("Command", command))
        found.append(_pairs_of_words("run-facts", "Run", ("Fact", "Value"), facts, part))
        if work := part.alignment.diagnostics.get("embedding"):
            lines = [(str(model), str(words)) for model, words in work.items()]
            found.append(
                _pairs_of_words("embedding-work", "Embedding", ("Model", "Work"), lines, part)
            )
    lead = "What is needed to repeat this run, and what its embeddings took."
    notes = tuple(note for part in parts for note in version_notes(part.alignment))
    return View("run", "Run", lead, (), tuple(found), tuple(dict.fromkeys(notes)))


def _missing(parts: Sequence[Part]) -> View | None:
    found = []
    for part in parts:
        for heading, lines in summary.losses(part.alignment, part.metrics).items():
            stem = f"missing-{labels.slug(heading.lower())}"
            found.append(_pairs_of_words(stem, heading, ("What", "Why"), lines, part))
    if not found:
        return None
    lead = "Structures, models and cells without a score, and why."
    return View("missing", "What is missing", lead, (), tuple(found))


def _reading(parts: Sequence[Part]) -> View:
    views = {(view.metric, view.k): view for part in parts for view in part.metrics}
    rows = [
        (
            text(view.title),
            text(view.metric),
            text(view.definition),
            text("larger" if view.similarity else "smaller"),
            text("no" if view.symmetric else "yes: from a to b"),
        )
        for view in {view.metric: view for view in views.values()}.values()
    ]
    columns = ("Metric", "Id", "Definition", "More alike is", "Directed")
    found = (Table("definitions", "Metrics", columns, tuple(rows)),) if rows else ()
    lead = "What the numbers mean, and what they do not."
    return View("reading", "How to read this", lead, (), found, reading_notes(parts))


def _pairs_of_words(
    stem: str,
    caption: str,
    columns: tuple[str, str],
    lines: Sequence[tuple[str, str]],
    part: Part,
) -> Table:
    rows = tuple((text(name), text(words)) for name, words in lines)
    return Table(part.named(stem), part.titled(caption), columns, rows)
