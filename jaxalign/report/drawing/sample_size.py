"""Scores against the number of structures: curves with their limits, and verdicts, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from jaxalign.analysis.precision.sample_size_table import FIXED_K, FOLDER
from jaxalign.metrics.registry import metric_definition
from jaxalign.report.drawing.panels import Line, Panel, draw_panels
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Cell, Table, number, text

_LOOKS = {
    "best": ("o", "#1f6fa8"),
    "median": ("s", "#5b7d1f"),
    "worst": ("^", "#a03020"),
}
_NOTE = (
    "Mean scores of disjoint random subsets, bars of one standard error. Dotted: the limit of many "
    "structures, where the fit is to be trusted. Dashed: what independent models are expected to "
    "score, where that is known in closed form."
)


def read_curves(diagnostics: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Curves that a run has stored (see `ScoreCurves.summary`); None if it measured none."""
    return diagnostics.get(FOLDER) or None


def dependences(curves: Mapping[str, Any]) -> list[str]:
    """One sentence on the metrics whose order of pairs depends on N; none if no order does."""
    names = [
        f"{_name(order)} (rank correlation {labels.fixed(order['rank_correlation'], 2)} between "
        f"N = {order['n_small']:,} and {order['n_large']:,})"
        for order in curves["orders"]
        if order["depends_on_n"]
    ]
    if not names:
        return []
    return [f"The order of pairs depends on the number of structures: {labels.joined(names)}."]


def order_table(curves: Mapping[str, Any]) -> Table:
    """One row a metric and rule: whether the order of pairs depends on N.

    Args:
      curves: see `read_curves`.

    Returns:
      The table.
    """
    rows = [
        (
            text(_title(order)),
            text(_rule(order)),
            text(f"{order['n_small']:,} to {order['n_large']:,}"),
            number(order["pairs"]),
            _two(order["rank_correlation"], flagged=order["depends_on_n"]),
            _two(order["expected_correlation"]),
            text(f"{order['sign_changes']} of {order['tested_pairs']}")
            if order["tested_pairs"]
            else text(""),
            text(order["verdict"]),
        )
        for order in curves["orders"]
    ]
    columns = ("Metric", "k", "N", "Pairs", "Rank correlation", "Errors alone would leave")
    columns += ("Other side of the null", "Verdict")
    caption = "Order of pairs at the smallest and the largest number of structures"
    return Table("orders", caption, columns, tuple(rows))


def limit_table(curves: Mapping[str, Any]) -> Table:
    """One row a drawn pair: score of all structures, and the limit of many."""
    rows = [
        (
            text(_title(curve)),
            text(_rule(curve)),
            text(curve["role"]),
            text(_pair(curve)),
            number(curve["score"], _with_error(curve["score"], curve["error"])),
            number(curve["limit"], _with_error(curve["limit"], curve["limit_error"])),
            text(curve["reason"]),
        )
        for curve in curves["curves"]
    ]
    columns = ("Metric", "k", "Which", "Pair", "Score ± error", "Limit ± error", "Doubt")
    caption = "Scores of all structures, and extrapolated to many"
    return Table("limits", caption, columns, tuple(rows))


def draw_curves(curves: Mapping[str, Any]) -> Figure | None:
    """Draws the best, the median and the worst pair of each metric and rule against N.

    Args:
      curves: see `read_curves`.

    Returns:
      The figure; None where no pair has a score.
    """
    panels = curve_panels(curves)
    title = "Scores against the number of structures"
    return draw_panels(panels, title=title, note=_NOTE) if panels else None


def curve_panels(curves: Mapping[str, Any]) -> list[Panel]:
    """One panel a metric and rule that has a score."""
    panels = []
    for order in curves["orders"]:
        key = _key(order)
        mine = [curve for curve in curves["curves"] if _key(curve) == key]
        lines = [line for curve in mine for line in _lines(curve)]
        if lines:
            title = _title(order) + (f", {_rule(order)}" if order["k_full"] is not None else "")
            panels.append(Panel(title, "structures N", "score", tuple(lines), linear=True))
    return panels


def _lines(curve: Mapping[str, Any]) -> list[Line]:
    points = [point for point in curve["points"] if point["score"] is not None]
    if not points:
        return []
    mark, color = _LOOKS[curve["role"]]
    n = tuple(float(point["n"]) for point in points)
    scores = tuple(point["score"] for point in points)
    errors = tuple(point["error"] or 0.0 for point in points)
    lines = [Line(f"{curve['role']} pair", n, scores, color=color, mark=mark, errors=errors)]
    if curve["limit"] is not None and not curve["reason"]:
        lines.append(Line("", (n[0], n[-1]), (curve["limit"],) * 2, color=color))
    nulls = [(float(p["n"]), p["null_mean"]) for p in points if p["null_mean"] is not None]
    if nulls and curve["role"] == "worst":
        lines.append(Line("", *map(tuple, zip(*nulls, strict=True))))
    return lines


def _key(record: Mapping[str, Any]) -> tuple:
    return record["metric"], record["rule"], record["k_full"]


def _title(record: Mapping[str, Any]) -> str:
    title = metric_definition(record["metric"]).title
    return title[:1].upper() + title[1:]


def _rule(record: Mapping[str, Any]) -> str:
    k = record["k_full"]
    if k is None:
        return ""
    return f"k = {k}" if record["rule"] == FIXED_K else f"k/N fixed, k = {k} at the end"


def _name(record: Mapping[str, Any]) -> str:
    rule = _rule(record)
    return _title(record) + (f", {rule}" if rule else "")


def _pair(curve: Mapping[str, Any]) -> str:
    a, b = curve["model_a"], curve["model_b"]
    if a == b:
        return a
    return f"{a} {'–' if metric_definition(curve['metric']).symmetric else '→'} {b}"


def _with_error(value: float | None, error: float | None) -> str:
    shown = labels.score(value)
    return shown if error is None else f"{shown} ± {labels.score(error)}"


def _two(value: float | None, *, flagged: bool = False) -> Cell:
    shown = None if value is None else labels.fixed(value, 2)
    return number(value, shown, flagged=flagged)
