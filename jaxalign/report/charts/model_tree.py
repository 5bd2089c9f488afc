"""The tree of models: which ones see alike, and whether families hang together."""

from __future__ import annotations

import dataclasses
import math
import re

import pandas as pd
import xarray as xr

from jaxalign.analysis.relations.model_labels import model_labels
from jaxalign.analysis.relations.replicates import read_replicates
from jaxalign.analysis.relations.tree import Tree, model_tree, newick
from jaxalign.analysis.relations.tree_groups import GroupRecovery, group_branches, group_recovery
from jaxalign.report.charts import reading
from jaxalign.report.charts.marks import Marks, modality_words
from jaxalign.report.charts.model_points import model_points
from jaxalign.report.charts.points import GRAY, Axis, Line, PointFigure, Points, row_axis
from jaxalign.report.charts.points_page import points_plotly
from jaxalign.report.charts.points_paper import draw_points
from jaxalign.report.charts.tree_places import TreePlaces, centered, tree_places
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Cell, Table, number, text
from jaxalign.report.vocabulary.views import Chart, View

LEAST_MODELS = 4
_BY = {"family": "family", "modality": "modality"}
_QUESTION = (
    "Which models see the same structures alike? Models that hang on neighboring branches have "
    "similar scores with all others."
)
_CAPTION = (
    "Neighbor-joining tree of the rows of {axis}, compared by the square root of their "
    "Jensen–Shannon divergence. Distances are read along the horizontal lines; the tree has no "
    "root: it is drawn from the middle of its longest path."
)
_DEEP = 250  # rows from which on the tree is left to the download


def tree_view(report: reading.Report) -> tuple[View | None, list[str]]:
    """The tab of trees, and what is missing for it.

    Args:
      report: all data sets.

    Returns:
      The view, or None, and sentences for what could not be drawn.
    """
    charts, findings, notes, missing = [], [], [], []
    rows: list[tuple[Cell, ...]] = []
    texts: list[tuple[Cell, ...]] = []
    for source in report.sources:
        found = _tree(source)
        if isinstance(found, str):
            missing.append(f"{source.prefix}{found}")
            continue
        tree, scores = found
        families = model_labels(source.cards, "family")
        charts.append(_chart(source, report.marks, tree, scores))
        findings += _findings(source, tree)
        notes += _notes(source, tree, scores)
        rows += _group_rows(source, tree, families)
        texts.append((text(source.name), number(len(tree.names)), Cell(spaced(newick(tree.root)))))
    if not charts:
        return None, missing
    lead, notes = reading.leading(_QUESTION, findings, notes)
    tables = [_groups_table(rows)] if rows else []
    columns = ("Data set", "Models", "Newick")
    tables.append(Table("newick", "The trees in Newick format", columns, tuple(texts)))
    view = View("tree", "Tree of models", lead, tuple(charts), tuple(tables), notes)
    return view, missing


def spaced(newick_text: str) -> str:
    """The tree with blanks between branches, which the format allows: long lines can be broken."""
    return re.sub(r"('(?:[^']|'')*')|,", lambda found: found[1] or ", ", newick_text)


def _tree(source: reading.Source) -> tuple[Tree, reading.Scores] | str:
    """The tree of a data set, or why there is none."""
    scores = reading.similarity(source, calibrated=False)
    if scores is None:
        return "a tree of models needs a similarity of pairs: add cknna to the metrics"
    names = reading.compared(source)
    chosen = reading.chosen_scores(scores, names)
    facts = source.alignment.diagnostics.get("replicates")
    if len(names) < LEAST_MODELS:
        count = labels.count(len(names), "trained model")
        return f"a tree needs at least {LEAST_MODELS} trained models: there is {count}"
    try:
        tree = model_tree(chosen, replicates=_usable(facts, chosen))
    except ValueError as reason:  # no model has all of its scores
        return f"no tree of {scores.title}: {reason}"
    return tree, scores


def _usable(facts, scores: xr.DataArray) -> list[xr.DataArray]:
    """Replicates without gaps: a tree needs every score."""
    return [found for found in read_replicates(facts, scores) if found.notnull().all()]


def _chart(source: reading.Source, marks: Marks, tree: Tree, scores: reading.Scores) -> Chart:
    places = tree_places(centered(tree.root))
    figure = tree_figure(places, source, marks)
    title = source.titled("Tree of models")
    names = [name for name, _ in places.leaves]
    neighbors = labels.joined(names[:3])
    data = pd.DataFrame(tree.distances, index=list(tree.names), columns=list(tree.names))
    return Chart(
        name=f"tree{source.slug}",
        title=title,
        alt=f"Tree of {labels.count(len(names), 'model')}, from top to bottom: {neighbors}, …",
        caption=_CAPTION.format(axis=scores.axis),
        plotly=points_plotly(figure),
        draw=lambda: draw_points(figure, title),
        data=data.reset_index(names="model"),
    )


def tree_figure(places: TreePlaces, source: reading.Source, marks: Marks) -> PointFigure:
    """Branches, and a mark a leaf in the color of its modality; names stand at the right."""
    names = labels.short_names([name for name, _ in places.leaves])
    ends = [end for _, end in places.leaves]
    across = places.reach or 1.0
    lines = [Line(*zip(*places.strokes, strict=True), width=1.5)] if places.strokes else []
    leaders = [(end, float(row)) for row, end in enumerate(ends)]
    dots = [p for x, y in leaders for p in ((x, y), (1.03 * across, y), (math.nan, math.nan))]
    lines.insert(0, Line(*zip(*dots, strict=True), color="#b4b4b4", dash="dot", width=0.8))
    leaves = [name for name, _ in places.leaves]
    hover = [_hover(name, source.cards[name]) for name in leaves]
    rows = list(map(float, range(len(leaves))))
    points = list(model_points(ends, rows, leaves, hover, source.cards, marks))
    if places.supports and len(names) <= _DEEP:
        x, y, support = zip(*places.supports, strict=True)
        words = [f"{100 * s:.0f}" for s in support]
        points.append(Points(x, [h - 0.3 for h in y], words=words, color=GRAY))
    title = "distance (√JSD of rows of scores)"
    axis = Axis(title, limits=(-0.02 * across, 1.03 * across))
    listed = dataclasses.replace(row_axis(names, opposite=True), grid=False)
    return PointFigure(axis, listed, tuple(points), tuple(lines), rows=len(names))


def _hover(name: str, card) -> str:
    facts = [name, card.family, modality_words(card.modality), card.training_data]
    return "\n".join(fact for fact in facts if fact)


def _findings(source: reading.Source, tree: Tree) -> list[str]:
    found = []
    for by, word in _BY.items():
        own = model_labels(source.cards, by)
        recovery = group_recovery(tree.root, {name: own[name] for name in tree.names})
        if not recovery.reason:
            found.append(source.prefix + recovery_words(recovery, word))
    return found


def recovery_words(recovery: GroupRecovery, word: str) -> str:
    """One sentence: does the tree keep groups together, and would a random one?"""
    changes = labels.count(recovery.changes, "time")
    if recovery.null_mean <= recovery.least:
        return (
            f"Along the branches the {word} changes {changes}, as with any shuffled labels: with "
            f"one {word} of more than a single model this says nothing."
        )
    groups = recovery.least + 1
    chance = labels.fixed(recovery.null_mean, 1)
    best = "the fewest possible"
    if recovery.changes > recovery.least:
        best = f"at least {recovery.least} with {groups} groups"
    return (
        f"Along the branches the {word} changes {changes} ({best}; {chance} with shuffled labels; "
        f"{reading.p_words(recovery.p)}, {labels.count(recovery.models, 'model')})."
    )


def _notes(source: reading.Source, tree: Tree, scores: reading.Scores) -> list[str]:
    notes = []
    if tree.replicates:
        notes.append(
            f"{source.prefix}Numbers on branches: percent of {tree.replicates} subsamples of the "
            "structures whose tree has the same branch."
        )
    else:
        notes.append(
            f"{source.prefix}How well branches are supported is not known: the run kept no scores "
            "over halves of the structures (halves = 20 in the config)."
        )
    if tree.left_out:
        names = labels.joined(tree.left_out)
        notes.append(f"{source.prefix}Left out for want of scores: {names}.")
    if scores.metric != "cknna":
        notes.append(f"{source.prefix}The tree is of {scores.title}: the run has no CKNNA.")
    return notes


def _group_rows(source: reading.Source, tree: Tree, families) -> list[tuple[Cell, ...]]:
    table = group_branches(tree.root, families)
    return [
        (
            text(source.name),
            text(row.group),
            number(int(row.models)),
            text("yes" if row.together else "no"),
            number(row.support, labels.fixed(100 * row.support, 0) + " %"),
        )
        for row in table.itertuples()
    ]


def _groups_table(rows: list[tuple[Cell, ...]]) -> Table:
    columns = ("Data set", "Family", "Models", "On a branch of its own", "Support")
    caption = "Families of two models and more in the tree"
    return Table("tree-families", caption, columns, tuple(rows))
