"""The marks of the heatmap that are no colour of its scale, and the legend that explains them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from jaxalign.models.card import ModelCard
from jaxalign.report.drawing import canvas
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.colors import DIAGONAL, MISSING, modality_colors
from jaxalign.report.vocabulary.source import MetricView

_ROW, _BOX, _INDENT, _SIZE = 0.19, 0.12, 0.2, 7.5
_INK = "#1b1b1b"


def draw_box(axes: Axes, x: float, y: float, *, size: float, kind: str) -> None:
    """A cell without a colour of the scale.

    Args:
      axes: a sheet in inches.
      x: left edge.
      y: lower edge.
      size: inches.
      kind: `"self"` (hatched) or `"missing"` (crossed).
    """
    style = {"lw": 0.3, "ec": "white"}
    if kind == "self":
        axes.add_patch(Rectangle((x, y), size, size, fc=DIAGONAL, **style))
        axes.add_patch(Rectangle((x, y), size, size, fill=False, hatch="////", lw=0, ec="#a5a5a5"))
        return
    axes.add_patch(Rectangle((x, y), size, size, fc=MISSING, **style))
    near, far = 0.3 * size, 0.7 * size
    cross = [[(x + near, y + near), (x + far, y + far)], [(x + near, y + far), (x + far, y + near)]]
    axes.add_collection(LineCollection(cross, colors="#a03020", linewidths=0.7))


def draw_swatch(
    axes: Axes, x: float, y: float, *, width: float, height: float, color: str, hatched: bool
) -> None:
    """A piece of a modality strip; hatched for a network without training."""
    axes.add_patch(Rectangle((x, y), width, height, fc=color, ec="white", lw=0.5))
    if hatched:
        hatch = {"fill": False, "hatch": "xxxxxx", "lw": 0, "ec": "white"}
        axes.add_patch(Rectangle((x, y), width, height, **hatch))


def is_hatched(card: ModelCard) -> bool:
    """Whether a model's swatch is hatched: an untrained network; controls have their own colour."""
    return not card.pretrained and card.modality != "control"


def legend_size(view: MetricView) -> tuple[float, float]:
    """Width and height of the legend in inches, from the middle of its heading."""
    entries = _entries(view)
    words = canvas.widest([text for _, _, text in entries], _SIZE)
    return _INDENT + words, _ROW * (len(entries) + 0.5)


def draw_legend(axes: Axes, view: MetricView, *, x: float, top: float) -> None:
    """Draws the legend.

    Args:
      axes: a sheet in inches.
      view: scores and cards; only what occurs is explained.
      x: left edge.
      top: middle of the heading.
    """
    canvas.write(
        axes, x, top, "Modality", size=_SIZE, gid="legend-title", weight="bold", va="center"
    )
    for number, (kind, color, text) in enumerate(_entries(view)):
        y = top - _ROW * (number + 1)
        low = y - _BOX / 2
        if kind in ("self", "missing"):
            draw_box(axes, x, low, size=_BOX, kind=kind)
            axes.add_patch(Rectangle((x, low), _BOX, _BOX, fill=False, lw=0.4, ec="#9a9a9a"))
        elif kind != "note":
            style = {"width": _BOX, "height": _BOX, "color": color}
            draw_swatch(axes, x, low, hatched=kind == "hatched", **style)
        left = x if kind == "note" else x + _INDENT
        style = {"size": _SIZE, "va": "center_baseline", "color": _INK}
        canvas.write(axes, left, y, text, gid=f"legend-{number}", **style)


def _entries(view: MetricView) -> list[tuple[str, str, str]]:
    """(kind, colour, text) of the legend's lines."""
    colors = modality_colors([card.modality for card in view.cards])
    names = labels.short_names([name or "not stated" for name in colors])
    entries = [("plain", color, name) for color, name in zip(colors.values(), names, strict=True)]
    if any(is_hatched(card) for card in view.cards):
        entries.append(("hatched", "#777777", "hatched: not trained"))
    entries.append(("self", "", "model with itself"))
    if not np.isfinite([pair.value for pair in view.pairs]).all():
        entries.append(("missing", "", "not computed"))
    if not view.symmetric:
        entries.append(("note", "", "read: row → column"))
    return entries
