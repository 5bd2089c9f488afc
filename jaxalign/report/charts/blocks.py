"""Mean scores by family, modality and training data, and whether the groups mean anything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from jaxalign.analysis.relations.blocks import Contrast, block_contrast, block_matrix
from jaxalign.analysis.relations.model_labels import LABELS, model_labels
from jaxalign.report.charts import reading
from jaxalign.report.charts.grid import Grid, draw_grid, grid_plotly, numbers
from jaxalign.report.charts.marks import modality_words
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Cell, Table, number, text
from jaxalign.report.vocabulary.views import Chart, View

WORDS = {"family": "family", "modality": "modality", "training_data": "training data"}
_QUESTION = (
    "Are models of one kind more alike than others? Each cell is the mean score over all pairs of "
    "two groups of trained models; the diagonal is over pairs within a group."
)
_TEST = (
    "The contrast is the mean within groups minus the mean between groups; p by shuffling the "
    "labels over the models, the interval by leaving out one model at a time, or one family where "
    "families are not the groups."
)
_PERMUTATIONS = 999


def blocks_view(report: reading.Report) -> tuple[View | None, list[str]]:
    """The tab of blocks, and what is missing for it."""
    charts, findings, missing = [], [], []
    rows: list[tuple[Cell, ...]] = []
    for source in report.sources:
        scores = reading.similarity(source)
        names = reading.compared(source)
        if scores is None or len(names) < 2:
            why = "a similarity of pairs (cknna, mutual_knn)" if scores is None else "two models"
            missing.append(f"{source.prefix}means by groups of trained models need {why}")
            continue
        matrix = reading.chosen_scores(scores, names)
        for by in LABELS:
            own = _labels(source, names, by)
            if len(set(own.values()) - {""}) < 2:
                continue
            charts.append(_chart(source, scores, matrix, by, own))
            contrast = _contrast(matrix, by, own, source)
            rows.append(_row(source, by, contrast))
            findings.append(source.prefix + contrast_words(contrast, WORDS[by]))
    if not charts:
        return None, missing
    lead, notes = reading.leading(_QUESTION, findings, [_TEST])
    view = View("blocks", "Groups of models", lead, tuple(charts), (_table(rows),), notes)
    return view, missing


def _labels(source: reading.Source, names: Sequence[str], by: str) -> dict[str, str]:
    """Label of every model; corpora as the run states them, else as the cards do."""
    own = model_labels({name: source.cards[name] for name in names}, by)
    if by == "training_data":
        stated = source.alignment.diagnostics.get(reading.CORPORA) or {}
        own = {name: stated.get(name) or label for name, label in own.items()}
    return own


def _contrast(
    matrix: xr.DataArray, by: str, own: Mapping[str, str], source: reading.Source
) -> Contrast:
    families = model_labels(source.cards, "family")
    # Single models where families are the groups; one of unknown family is alone, too.
    parts = {name: name if by == "family" else families[name] or name for name in own}
    return block_contrast(matrix, own, clusters=parts, permutations=_PERMUTATIONS)


def contrast_words(contrast: Contrast, word: str) -> str:
    """One sentence: within against between groups, with interval and p."""
    within, between = labels.score(contrast.within), labels.score(contrast.between)
    if math.isnan(contrast.difference):
        return f"Pairs of the same and of different {word} cannot be compared: {contrast.reason}."
    told = reading.in_brackets(
        reading.span(contrast.low, contrast.high), reading.p_words(contrast.p)
    )
    pairs = f"{contrast.pairs_within:,} and {contrast.pairs_between:,} pairs"
    return (
        f"Pairs of the same {word} score {within} on average, others {between} ({pairs}): a "
        f"difference of {labels.score(contrast.difference)}{told}."
    )


def _chart(
    source: reading.Source,
    scores: reading.Scores,
    matrix: xr.DataArray,
    by: str,
    own: Mapping[str, str],
) -> Chart:
    found = block_matrix(matrix, own)
    groups = tuple(str(g) for g in found["block_a"].values)
    sizes = {group: sum(label == group for label in own.values()) for group in groups}
    shown = [modality_words(group) if by == "modality" else group for group in groups]
    named = tuple(f"{name} ({sizes[g]})" for name, g in zip(shown, groups, strict=True))
    means, counts = found["mean"].values, found["pairs"].values
    hover = tuple(
        tuple(_hover(found, i, j) for j in range(len(groups))) for i in range(len(groups))
    )
    word = WORDS[by]
    finite = means[np.isfinite(means)]
    grid = Grid(
        values=means,
        rows=named,
        columns=named,
        hover=hover,
        x=f"{word} (number of models)",
        y="",
        quantity="mean score",
        low=float(finite.min(initial=0.0)),
        high=float(finite.max(initial=0.0)),
        numbers=numbers(means),
    )
    title = source.titled(f"By {word}")
    data = pd.DataFrame(
        {
            "group_a": np.repeat(groups, len(groups)),
            "group_b": np.tile(groups, len(groups)),
            "mean": means.ravel(),
            "pairs": counts.ravel(),
            "low": found["low"].values.ravel(),
            "high": found["high"].values.ravel(),
        }
    )
    return Chart(
        name=f"blocks-{by.replace('_', '-')}{source.slug}",
        title=title,
        alt=f"Mean {scores.title} between {labels.count(len(groups), 'group')} by {word}.",
        caption=(
            f"Mean over pairs of trained models of {scores.axis}; empty where there is no pair, "
            "as within a group of one."
        ),
        plotly=grid_plotly(grid),
        draw=lambda: draw_grid(grid, title),
        data=data,
    )


def _hover(found: xr.Dataset, i: int, j: int) -> str:
    groups = [str(g) for g in found["block_a"].values]
    pairs = int(found["pairs"].values[i, j])
    first = f"{groups[i]} – {groups[j]}" if i != j else f"within {groups[i]}"
    if not pairs:
        return f"{first}\nno pair"
    low, mean, high = (labels.score(float(found[c].values[i, j])) for c in ("low", "mean", "high"))
    return f"{first}\nmean {mean} over {labels.count(pairs, 'pair')}\n{low} to {high}"


def _row(source: reading.Source, by: str, c: Contrast) -> tuple[Cell, ...]:
    ends = (labels.score(c.low), labels.score(c.high))
    return (
        text(source.name),
        text(WORDS[by]),
        number(c.models),
        number(c.groups),
        number(c.within, labels.score(c.within)),
        number(c.pairs_within),
        number(c.between, labels.score(c.between)),
        number(c.pairs_between),
        number(c.difference, labels.score(c.difference)),
        number(c.low, f"{ends[0]} to {ends[1]}"),
        number(c.p, reading.p_shown(c.p)),
        text(c.reason),
    )


def _table(rows: list[tuple[Cell, ...]]) -> Table:
    columns = ("Data set", "Grouped by", "Models", "Groups of two and more", "Mean within")
    columns += ("Pairs within", "Mean between", "Pairs between", "Difference", "95 % interval")
    columns += ("p", "Remarks")
    caption = "Within groups against between groups"
    return Table("contrasts", caption, columns, tuple(rows))
