"""Trivial explanations on the page: one table, encoder by encoder, and what it assumes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from jaxalign.metrics.registry import metric_definition
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Cell, Table, number, text

_WORDS = {
    "composition": "composition",
    "atom_count": "size",
    "scaffold": "scaffold",
    "parent": "parent",
    "protein_family": "protein family",
}


def explanations_table(facts: Mapping[str, Any], ids: Sequence[str]) -> Table:
    """One row an encoder: floors, the best trivial explanation, raw and conditional alignment.

    Args:
      facts: see `analysis.explained_summary`.
      ids: models in the order of the page.

    Returns:
      The table.
    """
    found = {row["model"]: row for row in facts["encoders"]}
    rows = [_cells(found[name]) for name in ids if name in found]
    given = {c["method"]: c for c in facts["conditions"]}
    residual, strata = (given.get(method, {}).get("given", "") for method in ("residual", "strata"))
    columns = ("Encoder", "Noise floor (score)", "Its random twin with other families")
    columns += ("Best trivial explanation", "Score with it", "With other families")
    columns += (f"… given {residual}", f"… within equal {_WORDS.get(strata, strata)}")
    columns += (f"Variance not linear in {residual}",)
    title = metric_definition(facts["metric"]).title
    title = title[:1].upper() + title[1:]
    k = "" if facts["k"] is None else f", k = {facts['k']}"
    caption = f"What trivial facts explain ({title}{k}; calibrated scores)"
    return Table("explanations", caption, columns, tuple(rows))


def condition_notes(facts: Mapping[str, Any]) -> list[str]:
    """Sentences: what each condition assumes, and on how many structures it was asked."""
    notes = []
    for condition in facts["conditions"]:
        how = "Given" if condition["method"] == "residual" else "Within equal"
        name = f"{how} {_WORDS.get(condition['given'], condition['given'])}"
        if condition.get("reason"):
            notes.append(f"{name}: not asked, as {condition['reason']}")
            continue
        out = f", {condition['left_out']:,} left out" if condition["left_out"] else ""
        notes.append(
            f"{name} ({labels.count(condition['n'], 'structure')}{out}): {condition['assumption']}"
        )
    return notes


def what_remains(facts: Mapping[str, Any]) -> list[str]:
    """Sentences: how much alignment with other families outlasts a condition, and whose does not.

    Args:
      facts: see `analysis.explained_summary`.
    """
    aligned = [row for row in facts["encoders"] if (row["raw"] or 0.0) > 0.0]
    parts, gone = [], []
    for condition in facts["conditions"]:
        method, given = condition["method"], condition["given"]
        how = "given" if method == "residual" else "within equal"
        known = [row for row in aligned if row[method] is not None]
        if not known:
            continue
        left = labels.score(statistics.median(row[method] for row in known))
        parts.append(f"{left} {how} {_WORDS.get(given, given)}")
        if lost := [row["model"] for row in known if row[method] <= 0.0]:
            names = labels.joined(lost)
            gone.append(f"Nothing is left {how} {_WORDS.get(given, given)}: {names}.")
    if not parts:
        return []
    raw = labels.score(statistics.median(row["raw"] for row in aligned))
    return [
        f"Of the calibrated alignment with other families, {raw} in the median over encoders, "
        f"there remains {labels.joined(parts)}.",
        *gone,
    ]


def _cells(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    return (
        text(row["model"]),
        _score(row["floor"]),
        _score(row["twin"]),
        text(row["control"]),
        _score(row["control_score"]),
        _score(row["raw"]),
        _score(row["residual"]),
        _score(row["strata"]),
        number(row["left"], None if row["left"] is None else f"{100 * row['left']:.0f} %"),
    )


def _score(value: float | None) -> Cell:
    return number(value, None if value is None else labels.score(value))
