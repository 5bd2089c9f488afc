"""Tabs about pairs of models: groups, chance, best layers, trivial explanations, structures."""

from __future__ import annotations

from collections.abc import Sequence

from jaxalign.report.charts.measured_charts import sizes_charts
from jaxalign.report.charts.score_charts import strips_chart
from jaxalign.report.drawing.sample_size import limit_table, order_table, read_curves
from jaxalign.report.tabs.best_layers import best_layers_table
from jaxalign.report.tabs.explanations import condition_notes, explanations_table
from jaxalign.report.tabs.parts import Part, renamed
from jaxalign.report.vocabulary import tables
from jaxalign.report.vocabulary.views import View


def pair_views(parts: Sequence[Part]) -> list[View]:
    """Pairs by relation, and what chance explains."""
    found = [_relations(parts), _significance(parts), _best_layers(parts), _explanations(parts)]
    return [*(view for view in found if view is not None), *_sizes(parts)]


def _relations(parts: Sequence[Part]) -> View | None:
    charts, found = [], []
    for part in parts:
        names = part.metric_names("pairs")
        charts += [
            strips_chart(view, name=name, title=part.titled(_title(view)))
            for view, name in zip(part.metrics, names, strict=True)
            if any(spread.count for spread in view.spreads.values())
        ]
        if (table := tables.groups_table(part.metrics)).rows:
            found.append(renamed(table, part))
    if not found:
        return None
    lead = (
        "Pairs of models, grouped by how the two are related. Pairs with an untrained network, a "
        "descriptor or noise are the baseline: what training adds is the part above them."
    )
    return View("relations", "Groups of pairs", lead, tuple(charts), tuple(found))


def _significance(parts: Sequence[Part]) -> View | None:
    found = [
        renamed(table, part)
        for part in parts
        if (table := tables.significance_table(part.metrics)).rows
    ]
    if not found:
        return None
    lead = (
        "How far scores stand above what chance explains. The null: the structures of one model "
        "relabelled at random, all relabellings counted in closed form or some of them sampled, as "
        "the last column says."
    )
    notes = [
        "z: how many standard deviations of that null a score lies on the side of more alike. q: "
        "Benjamini–Hochberg over the pairs of a metric.",
        "The test assumes that structures are exchangeable; copies of one parent or members of one "
        "series are not.",
    ]
    for part in parts:
        facts = part.alignment.diagnostics
        sampled = facts.get("sampled_nulls") or {}
        if words := facts.get("exchangeable") or sampled.get("exchanged"):
            notes.append(part.titled(f"Sampled permutations assume: {words}"))
    return View("significance", "Beside chance", lead, (), tuple(found), tuple(notes))


def _best_layers(parts: Sequence[Part]) -> View | None:
    found = []
    for part in parts:
        layers = getattr(part.alignment, "best_layers", None)
        if layers is not None and not layers.empty:
            found.append(renamed(best_layers_table(layers), part))
    if not found:
        return None
    lead = (
        "Encoders compared by the layers that agree best. The best of many layer pairs is high by "
        "choice alone: its null is the best score over the same layer pairs under one random "
        "relabelling (maximum statistic)."
    )
    return View("best-layers", "Best layers", lead, (), tuple(found))


def _explanations(parts: Sequence[Part]) -> View | None:
    found, notes = [], []
    for part in parts:
        facts = part.alignment.diagnostics.get("explanations") or {"encoders": ()}
        if facts["encoders"]:
            found.append(renamed(explanations_table(facts, part.ids), part))
            notes += [part.titled(note) for note in condition_notes(facts)]
    if not found:
        return None
    lead = (
        "Models may agree because they see composition or size, and nothing more. Calibrated "
        "scores: 0 is what chance gives, 1 a perfect match. Columns about other families are "
        "medians over their pretrained encoders. The noise floor is the raw score of two draws of "
        "Gaussian noise with the mean and the covariance of the encoder’s embeddings."
    )
    title = "Trivial explanations"
    return View("explanations", title, lead, (), tuple(found), tuple(notes))


def _sizes(parts: Sequence[Part]) -> list[View]:
    charts, found, notes = [], [], []
    for part in parts:
        if curves := read_curves(part.alignment.diagnostics):
            charts += sizes_charts(curves, name=part.named("sizes"), titled=part.titled)
            found += [renamed(order_table(curves), part), renamed(limit_table(curves), part)]
            notes += [part.titled(note) for note in curves["notes"]]
    if not found:
        return []
    lead = (
        "Which conclusions depend on the number of structures. With k fixed, the neighbors of a "
        "structure come closer as N grows; with k/N fixed they stay as near, and only the noise "
        "falls. A conclusion about the order of pairs holds if it is the same for few structures "
        "and for all. Limits of many structures are fitted as s∞ + c·N^(−β), averaged over β "
        "(β = 1 for metrics of all pairs of structures); their error includes that of β."
    )
    title = "Number of structures"
    return [View("sizes", title, lead, tuple(charts), tuple(found), tuple(notes))]


def _title(view) -> str:
    return view.title + ("" if view.k is None else f", k = {view.k}")
