"""Figures for papers: what the charts of a page show, drawn with matplotlib into files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jaxalign.report.drawing import canvas
from jaxalign.report.vocabulary.source import FIGURES
from jaxalign.report.vocabulary.views import Chart


def require_formats(formats: Sequence[str]) -> None:
    """Checks the kinds of files asked for.

    Raises:
      ValueError: an unknown one.
    """
    unknown = sorted(set(formats) - set(canvas.FORMATS))
    if unknown:
        raise ValueError(f"figures can be written as {', '.join(canvas.FORMATS)}: got {unknown}")


def figure_files(charts: Iterable[Chart], formats: Sequence[str]) -> dict[str, bytes]:
    """Draws charts.

    Args:
      charts: those that cannot be drawn on paper are left out.
      formats: of `canvas.FORMATS`; nothing is drawn without any.

    Returns:
      `figures/NAME.FORMAT` → content.

    Raises:
      ValueError: an unknown format.
    """
    require_formats(formats)
    files = {}
    for chart in charts if formats else ():
        if chart.draw is None:
            continue
        with canvas.style():
            found = canvas.encode(chart.draw(), formats)
        files |= {f"{FIGURES}/{chart.name}.{kind}": content for kind, content in found.items()}
    return files
