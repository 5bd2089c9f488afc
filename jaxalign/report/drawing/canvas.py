"""A figure measured in inches: text is measured before it is placed, so that nothing overlaps."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

DPI = 160
SMALLEST = 6.0  # points; nothing in any figure is smaller
_STYLE = Path(__file__).parent / "paper.mplstyle"


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Settings for drawing and saving; the caller's matplotlib settings come back afterwards."""
    with mpl.rc_context(fname=_STYLE):
        yield


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one invisible axes over all of it whose data coordinates are inches.

    Args:
      width: inches.
      height: inches.

    Returns:
      Figure and axes; (0, 0) is the lower left corner.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def write(
    axes: Axes, x: float, y: float, text: str, *, size: float, gid: str, **style: Any
) -> Text:
    """Places text at inches (x, y); `gid` names the element in the SVG and for tests."""
    return axes.text(x, y, text, fontsize=size, gid=gid, **style)


@functools.lru_cache(maxsize=4096)
def extent(text: str, size: float, weight: str = "normal") -> tuple[float, float]:
    """Width and height in inches of a line of text of `size` points."""
    font = FontProperties(family=["DejaVu Sans"], size=size, weight=weight)
    width, height, _ = _ruler().get_text_width_height_descent(text, font, ismath=False)
    return width / _RULER_DPI, height / _RULER_DPI


def widest(texts: list[str], size: float) -> float:
    """Width in inches of the widest of some lines; 0 without any."""
    return max((extent(text, size)[0] for text in texts), default=0.0)


def wrap(text: str, *, width: float, size: float, weight: str = "normal") -> list[str]:
    """Breaks text at spaces into lines of at most `width` inches; a longer word keeps its line.

    "k = 10" stays together.
    """
    lines: list[str] = []
    for word in text.replace(" = ", "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}").split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and extent(longer, size, weight)[0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


# What would differ from run to run, or names the program that draws.
_UNSTATED = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
FORMATS = tuple(_UNSTATED)


def encode(figure: Figure, formats: Sequence[str] = ("png", "svg")) -> dict[str, bytes]:
    """The figure in each of some `FORMATS`; equal figures give equal bytes."""
    # Which tables of a font it leaves out of a PDF is nothing to tell a user.
    logging.getLogger("fontTools.subset").setLevel(logging.WARNING)
    files = {}
    for name in formats:
        file = io.BytesIO()
        figure.savefig(file, format=name, dpi=DPI, metadata=_UNSTATED[name])
        files[name] = file.getvalue()
    return files


_RULER_DPI = 720.0  # fine, so that hinting does not round widths


@functools.cache
def _ruler():
    return FigureCanvasAgg(Figure(dpi=_RULER_DPI)).get_renderer()
