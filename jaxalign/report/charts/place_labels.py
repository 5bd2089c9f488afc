"""Names beside points: as many as find a place where they meet neither a point nor each other."""

from __future__ import annotations

from collections.abc import Sequence

from jaxalign.report.charts.points import Label
from jaxalign.report.drawing import canvas
from jaxalign.report.vocabulary import labels

_SIZE = 7.5  # points
_GAP, _MARK = 0.07, 0.09  # inches: between point and name, and across a point
_SIDES = ("right", "left", "above", "below")


def placed_labels(
    x: Sequence[float],
    y: Sequence[float],
    names: Sequence[str],
    *,
    limits: tuple[tuple[float, float], tuple[float, float]],
    inches: tuple[float, float] = (4.2, 3.6),
) -> tuple[Label, ...]:
    """Names of points, the first ones first; a point between others may go without.

    Args:
      x: places.
      y: places.
      names: one a point; an empty one is not written.
      limits: first and last x and y that the plane shows.
      inches: width and height of the plane on paper, the smaller of the drawings.

    Returns:
      The names that have a place.
    """
    (left, right), (bottom, top) = limits
    across, up = inches[0] / (right - left), inches[1] / (top - bottom)
    at = [((a - left) * across, (b - bottom) * up) for a, b in zip(x, y, strict=True)]
    plane = (0.0, 0.0, *inches)
    taken = [(a - _MARK / 2, b - _MARK / 2, a + _MARK / 2, b + _MARK / 2) for a, b in at]
    found = []
    for number, name in enumerate(labels.short_names(list(names), limit=24)):
        if not names[number]:
            continue
        for side in _SIDES:
            box = _box(at[number], name, side)
            if _inside(box, plane) and not any(_meet(box, other) for other in taken):
                taken.append(box)
                found.append(Label(float(x[number]), float(y[number]), name, side))
                break
    return tuple(found)


def _box(at: tuple[float, float], name: str, side: str) -> tuple[float, float, float, float]:
    (a, b), (width, height) = at, canvas.extent(name, _SIZE)
    if side in ("right", "left"):
        low = a + _GAP if side == "right" else a - _GAP - width
        return low, b - height / 2, low + width, b + height / 2
    low = b + _GAP if side == "above" else b - _GAP - height
    return a - width / 2, low, a + width / 2, low + height


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _inside(box: tuple[float, ...], plane: tuple[float, ...]) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= plane[2] and box[3] <= plane[3]
