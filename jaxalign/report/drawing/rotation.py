"""Rotations and orders of atoms: what cards claim beside what was measured, as plot and table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from jaxalign.analysis.rotation import RotationDrift
from jaxalign.report.drawing import canvas
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Cell, Table, number, text

_PAD, _ROW, _PLOT, _SIZE = 0.14, 0.26, 4.6, 8.0
_INK, _SOFT, _RED = "#1b1b1b", "#5c5c5c", "#a03020"
_COLORS = {True: "#1f6fa8", False: _RED, None: "#7d7d7d"}
_MEANING = {True: "claim holds", False: "claim fails", None: "no claim"}
_SMALLEST = 1e-9  # drawn at the edge: below what float32 can resolve
_SHIFT = 0.055  # inches between the two marks of a model


def read_drifts(diagnostics: Mapping[str, Any], ids: Sequence[str]) -> list[RotationDrift]:
    """Drifts that a run has stored, in the order of the page.

    Args:
      diagnostics: `alignment.diagnostics`.
      ids: models in the order of the page; others are left out.

    Returns:
      The records; empty if the run measured none.
    """
    stored = [RotationDrift.from_json(facts) for facts in diagnostics.get("rotations") or ()]
    by_model = {drift.model: drift for drift in stored}
    return [by_model[name] for name in ids if name in by_model]


def failures(drifts: Sequence[RotationDrift]) -> list[str]:
    """One sentence a kind of claim that a measurement contradicts."""
    found = []
    for words, broken in (
        ("rotations", [d.model for d in drifts if d.holds_under_rotations is False]),
        ("the order of atoms", [d.model for d in drifts if d.holds_under_permutations is False]),
    ):
        if broken:
            verb = "embeddings move" if len(broken) > 1 else "embedding moves"
            found.append(
                f"Not invariant: the {verb} with {words} for {labels.joined(broken)}; "
                "see “Rotations and permutations”."
            )
    return found


def rotation_table(drifts: Sequence[RotationDrift]) -> Table:
    """One row a model: claim, drifts in units of the spread, what became of the claim.

    Args:
      drifts: records in the order of the page.

    Returns:
      The table.
    """
    rows = [
        (
            text(drift.model),
            text(drift.claim),
            number(drift.structures or None),
            _drift(drift.rotation_median),
            _drift(drift.rotation_max, flagged=drift.holds_under_rotations is False),
            _drift(drift.permutation_median),
            _drift(drift.permutation_max, flagged=drift.holds_under_permutations is False),
            _verdict(drift.holds_under_rotations),
            _verdict(drift.holds_under_permutations),
            text(drift.reason),
        )
        for drift in drifts
    ]
    columns = ("Model", "Card says", "Structures", "Rotations: median", "Rotations: largest")
    columns += ("Orders: median", "Orders: largest", "Invariant to rotations")
    columns += ("Invariant to orders", "Not measured because")
    caption = "Drift of embeddings, in units of their spread"
    return Table("rotations", caption, columns, tuple(rows))


def is_drawn(drift: RotationDrift) -> bool:
    """Whether a model has a place in the figure."""
    return not math.isnan(drift.rotation_max)


def draw_rotations(drifts: Sequence[RotationDrift]) -> Figure:
    """Draws drifts on a logarithmic scale, one row a model, with the tolerance as a line.

    Args:
      drifts: at least one record for which `is_drawn`; others are left out.

    Returns:
      The figure.
    """
    shown = [drift for drift in drifts if is_drawn(drift)]
    names = labels.short_names([drift.model for drift in shown])
    left = _PAD + canvas.widest(names, _SIZE) + 0.15
    legend = canvas.widest(list(_legend_words()), _SIZE) + 0.35
    width = left + _PLOT + 0.2 + legend + _PAD
    above, below = _PAD + 0.62, 0.6
    height = above + _ROW * max(len(shown), len(_legend_words())) + below
    figure, axes = canvas.sheet(width, height)
    title = "Drift under rotations and orders of atoms"
    style = {"va": "top", "weight": "bold", "color": _INK}
    canvas.write(axes, _PAD, height - _PAD, title, size=10.0, gid="title-0", **style)
    top = height - above
    scale = _Scale(shown, left=left)
    _axis(axes, scale, bottom=top - _ROW * len(shown), top=top)
    _tolerance(axes, scale, shown[0].tolerance, bottom=top - _ROW * len(shown), top=top)
    for row, (name, drift) in enumerate(zip(names, shown, strict=True)):
        y = top - _ROW * (row + 0.5)
        style = {"ha": "right", "va": "center_baseline", "color": _INK}
        canvas.write(axes, left - 0.12, y, name, size=_SIZE, gid=f"row-label-{row}", **style)
        _marks(axes, scale, drift, y, row)
    _legend(axes, x=left + _PLOT + 0.3, top=top)
    return figure


class _Scale:
    """Places of drifts on the logarithmic axis, in inches."""

    def __init__(self, shown: Sequence[RotationDrift], *, left: float):
        largest = max(
            max(drift.rotation_max, _or_zero(drift.permutation_max), drift.tolerance)
            for drift in shown
        )
        self.left = left
        self.low = round(math.log10(_SMALLEST))
        self.high = max(0, math.ceil(math.log10(largest)))

    def place(self, drift: float) -> float:
        exponent = math.log10(max(drift, _SMALLEST))
        return self.left + _PLOT * (exponent - self.low) / (self.high - self.low)


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _axis(axes: Axes, scale: _Scale, *, bottom: float, top: float) -> None:
    decades = range(scale.low, scale.high + 1)
    places = [scale.place(10.0**decade) for decade in decades]
    grid = [[(x, bottom), (x, top)] for x in places]
    axes.add_collection(LineCollection(grid, colors="#e6e6e6", linewidths=0.6, zorder=0))
    base = [[(places[0], bottom), (places[-1], bottom)]]
    axes.add_collection(LineCollection(base, colors=_SOFT, linewidths=0.8, zorder=1))
    style = {"size": 7.5, "va": "top", "ha": "center", "color": _INK}
    for decade, x in zip(decades, places, strict=True):
        words = "1" if decade == 0 else f"10{_superscript(decade)}"
        words = f"≤ {words}" if decade == scale.low else words
        canvas.write(axes, x, bottom - 0.06, words, gid=f"x-tick-{decade}", **style)
    words = "drift (share of the spread of the embeddings)"
    middle = scale.left + _PLOT / 2
    canvas.write(axes, middle, bottom - 0.28, words, gid="x-axis", **style)


def _superscript(decade: int) -> str:
    return str(decade).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _tolerance(axes: Axes, scale: _Scale, tolerance: float, *, bottom: float, top: float) -> None:
    x = scale.place(tolerance)
    dashes = {"colors": _RED, "linewidths": 1.0, "linestyles": [(0, (3, 2))], "zorder": 2}
    axes.add_collection(LineCollection([[(x, bottom), (x, top + 0.08)]], **dashes))
    words = f"invariant: at most {tolerance:g}"
    style = {"size": 7.5, "ha": "center", "va": "bottom", "color": _RED}
    canvas.write(axes, x, top + 0.1, words, gid="tolerance", **style)


def _marks(axes: Axes, scale: _Scale, drift: RotationDrift, y: float, row: int) -> None:
    for kind, mark, shift, low, high, holds in (
        ("rotation", "o", _SHIFT, drift.rotation_median, drift.rotation_max,
         drift.holds_under_rotations),
        ("order", "D", -_SHIFT, drift.permutation_median, drift.permutation_max,
         drift.holds_under_permutations),
    ):  # fmt: skip
        if math.isnan(high):
            continue
        ends = [(scale.place(value), y + shift) for value in (low, high)]
        color = _COLORS[holds]
        axes.add_collection(LineCollection([ends], colors=color, linewidths=1.2, zorder=2))
        style = {"s": 18 if mark == "o" else 12, "marker": mark, "color": color, "lw": 0}
        axes.scatter(*ends[1], gid=f"{kind}-{row}", zorder=3, **style)


def _legend_words() -> dict[str, tuple[str, str]]:
    marks = {"rotations: median to largest": ("o", _INK), "orders of atoms": ("D", _INK)}
    return marks | {words: ("s", _COLORS[holds]) for holds, words in _MEANING.items()}


def _legend(axes: Axes, *, x: float, top: float) -> None:
    for place, (words, (mark, color)) in enumerate(_legend_words().items()):
        y = top - _ROW * (place + 0.5)
        axes.scatter([x], [y], s=18, marker=mark, color=color, lw=0, gid=f"legend-{place}")
        style = {"va": "center_baseline", "color": _INK}
        canvas.write(axes, x + 0.14, y, words, size=_SIZE, gid=f"legend-text-{place}", **style)


def _drift(value: float, *, flagged: bool = False) -> Cell:
    shown = "0" if value == 0 else f"{value:.1e}".replace("-", labels.MINUS)
    return number(value, shown, flagged=flagged)


def _verdict(holds: bool | None) -> Cell:
    words = {True: "yes", False: "no", None: ""}[holds]
    cell = text(words)
    return Cell(cell.text, cell.sort, flagged=holds is False)
