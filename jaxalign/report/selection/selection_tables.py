"""Tables of a selection."""

from __future__ import annotations

import math
from typing import Any

from jaxalign.learning.selection.selection import Selection
from jaxalign.report.selection.selection_charts import TRUTHS
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Cell, Table, number, text


def ranking_table(selection: Selection, task: str) -> Table:
    """One row a candidate of one task, with held-out errors beside.

    Args:
      selection: the selection.
      task: name of a task.
    """
    ranked = selection.ranking[selection.ranking["task"] == task]
    truths = [truth for truth in TRUTHS if truth in ranked]
    rows = []
    for row in ranked.to_dict("records"):
        cells = [
            number(row["rank"], None if _missing(row["rank"]) else f"{row['rank']:.0f}"),
            text(row["candidate"]),
            text(row["family"]),
            number(row["value"], labels.score(row["value"])),
            text(_told(row["distinguishable"])),
        ]
        for truth in truths:
            cells += [_interval(row, truth, f"{truth}_low", f"{truth}_high")]
            cells += [number(row[f"{truth}_rank"], _whole(row[f"{truth}_rank"]))]
        rows.append((*cells, text(row["training_data"] if row["pretrained"] else "")))
    columns = [
        "Rank",
        "Candidate",
        "Family",
        str(selection.settings["rank_by"]),
        "Worse than first",
    ]
    for truth in truths:
        columns += [f"Held out, {truth}", f"Its rank, {truth}"]
    name = f"ranking-{labels.slug(task)}"
    return Table(name, f"Candidates for {task}", (*columns, "Trained on"), tuple(rows))


def quality_table(selection: Selection) -> Table:
    """One row a task, criterion, probe of the held-out error and choice of candidates."""
    rows = tuple(
        (
            text(row["task"]),
            text(row["criterion"]),
            text(row["truth"]),
            text(row["among"]),
            number(row["candidates"], _whole(row["candidates"])),
            _interval(row, "spearman", "low", "high"),
            number(row["p"], "" if _missing(row["p"]) else f"{row['p']:.2g}"),
            _percent(row["regret"]),
            _percent(row["regret_by_lot"]),
            text("" if _missing(row["reason"]) else row["reason"]),
        )
        for row in selection.quality.to_dict("records")
    )
    columns = ("Task", "Criterion", "Held out by", "Among", "Candidates", "Rank correlation")
    columns += ("p", "Regret", "Regret of a choice by lot", "Remark")
    return Table("quality", "How well criteria rank", columns, rows)


def left_out_table(selection: Selection) -> Table:
    """One row a task that was left out, and rule by which the criterion was chosen."""
    rows = tuple(
        (
            text(row["task"]),
            text(row["truth"]),
            text(row["chosen_on"]),
            text(row["rule"]),
            text(row["criterion"]),
            _interval(row, "spearman", "low", "high"),
            _percent(row["regret"]),
            text("" if _missing(row["reason"]) else row["reason"]),
        )
        for row in selection.leave_one_task_out.to_dict("records")
    )
    columns = ("Task left out", "Held out by", "Chosen on", "Rule", "Criterion chosen")
    columns += ("Rank correlation", "Regret", "Remark")
    return Table("leave-one-task-out", "One task left out", columns, rows)


def criteria_table(selection: Selection) -> Table:
    """One row a criterion: what it is, and which direction is good."""
    rows = tuple(
        (
            text(criterion.id),
            text(criterion.title),
            text(criterion.kind),
            text("larger" if criterion.sign > 0 else "smaller"),
            text(criterion.definition),
        )
        for criterion in selection.criteria
    )
    columns = ("Criterion", "Title", "Sees", "Promises a small error if", "Definition")
    return Table("criteria", "Criteria", columns, rows)


def _interval(row: dict[str, Any], value: str, low: str, high: str) -> Cell:
    found = row[value]
    if _missing(found):
        return number(None)
    words = labels.score(found)
    if not _missing(row[low]):
        words += f" ({labels.score(row[low])} to {labels.score(row[high])})"
    return number(found, words)


def _percent(share: Any) -> Cell:
    return number(None) if _missing(share) else number(share, f"{100 * share:.0f} %")


def _told(flag: Any) -> str:
    return {True: "yes", False: "cannot be told"}.get(flag, "") if flag is not None else ""


def _whole(value: Any) -> str | None:
    return None if _missing(value) else f"{value:.0f}"


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
