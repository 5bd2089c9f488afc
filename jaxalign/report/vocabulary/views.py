"""The vocabulary of the report: a view is a question, with figures and tables that answer it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from jaxalign.report.vocabulary.tables import Table


@dataclasses.dataclass(frozen=True, eq=False)
class Chart:
    """One figure, as the page shows it and as a paper prints it.

    Attributes:
      name: part of file names and of the anchor, unique in the report, e.g. `"tree-qm9"`.
      title: short heading.
      alt: what it shows, in words, for those who do not see it.
      caption: how it is read; no interpretation.
      plotly: `{"data": [...], "layout": {...}}` of plotly.js, JSON-ready. Colors of ink, paper and
        grid are left to the page, which has a light and a dark theme.
      draw: draws the same with matplotlib, inside `canvas.style()`; None where a picture on paper
        has no use.
      data: the numbers drawn, to be downloaded; None where a table beside it has them.
    """

    name: str
    title: str
    alt: str
    caption: str
    plotly: Mapping[str, Any]
    draw: Callable[[], Figure] | None = None
    data: pd.DataFrame | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """One tab of the page.

    Attributes:
      name: anchor, e.g. `"tree"`.
      title: words of the tab.
      lead: one to three sentences: the question, and how to read the answer.
      charts: figures, in order.
      tables: tables, in order.
      notes: sentences below: assumptions, what was left out and why.
    """

    name: str
    title: str
    lead: str
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
