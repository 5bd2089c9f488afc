"""The table of claims: what was tested, how it came out, and on what."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from jaxalign.analysis.claims.claims_table import verdict_table
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Cell, Table, number, text
from jaxalign.report.vocabulary.views import View

COLUMNS = {
    "claim": "Claim",
    "statement": "Statement",
    "verdict": "Verdict",
    "estimate": "Estimate",
    "interval": "Interval",
    "p": "p",
    "q": "q",
    "n": "n",
    "tested": "What was tested",
    "models": "Models",
    "data": "Data",
    "covers": "What this covers",
    "reason": "Remark",
}
_NUMBERS = ("estimate", "low", "high", "p", "q", "n")


def claims_table(claims: pd.DataFrame) -> Table:
    """One row a claim, the verdict as a badge with words.

    Args:
      claims: columns claim, statement, tested, models, data, n, estimate, low, high, p, q,
        verdict, covers; absent ones are left out.

    Returns:
      The table.
    """
    known = set(claims.columns) | (
        {"interval"} if {"low", "high"} <= set(claims.columns) else set()
    )
    shown = [name for name in COLUMNS if name in known]
    rows = tuple(
        tuple(_cell(name, row) for name in shown) for row in claims.to_dict(orient="records")
    )
    return Table("all-claims", "Tests of the claims", tuple(COLUMNS[name] for name in shown), rows)


def verdict_summary(claims: pd.DataFrame) -> Table:
    """One row a claim: what it says, how its tests came out together and one by one."""
    columns = ("Claim", "Statement", "Verdict", "Tests")
    rows = tuple(
        (
            text(row.claim),
            text(row.statement),
            Cell(row.verdict, row.verdict.lower(), badge=_badge(row.verdict)),
            text(row.tests),
        )
        for row in verdict_table(claims).itertuples()
    )
    return Table("verdicts", "Claims and how they came out", columns, rows)


def claims_view(claims: pd.DataFrame) -> View:
    """The tab with every test of every claim."""
    lead = (
        "Every test of every claim: on which models and data, with its estimate, its interval and "
        "its p-value; q is that corrected for the number of tests here (Benjamini–Hochberg). A "
        "claim that only part of the needed data can test says which part."
    )
    return View("claims", "Claims", lead, tables=(claims_table(claims),))


def _cell(name: str, row: dict[str, Any]) -> Cell:
    if name == "verdict":
        words = str(row[name])
        return Cell(words, words.lower(), badge=_badge(words))
    if name == "interval":
        low, high = _float(row["low"]), _float(row["high"])
        known = math.isfinite(low) and math.isfinite(high)
        return (
            number(low, f"{labels.score(low)} to {labels.score(high)}") if known else number(None)
        )
    value = row[name]
    if name in _NUMBERS:
        found = _float(value)
        if math.isfinite(found):
            return number(found, _shown(name, found))
        # "2,000 to 10,000" is no number.
        return text(value) if isinstance(value, str) and value != "nan" else number(None)
    return text("" if value is None or value != value else value)


def _shown(name: str, value: float) -> str:
    if name == "n":
        return f"{value:,.0f}"
    return f"{value:.2g}" if name in ("p", "q") else labels.score(value)


def _badge(verdict: str) -> str:
    words = verdict.lower()
    if words.startswith("supported"):
        return "yes"
    return "no" if words.startswith("not supported") else "open"


def _float(value: Any) -> float:
    try:
        return math.nan if value is None else float(value)
    except ValueError:
        return math.nan
