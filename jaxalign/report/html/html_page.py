"""One self-contained HTML file out of views: the part of a report that knows nothing of scores."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from plotly.offline import get_plotlyjs

from jaxalign.report.vocabulary.colors import page_colors
from jaxalign.report.vocabulary.tables import Table
from jaxalign.report.vocabulary.views import View

_FOLDER = Path(__file__).parent
# In the order in which they use each other.
_SCRIPTS = (
    *("theme", "numbers", "csv", "tables", "charts", "tabs", "payload"),
    *("matrix_order", "matrix_plot", "pair_detail", "matrix", "pairs", "main"),
)
_HOME = "overview"
_STATIC_ROWS = 400  # longer tables are built by the browser, some rows at a time


def render_page(
    *,
    title: str,
    lead: str,
    views: Mapping[str, Sequence[View]],
    findings: Sequence[str] = (),
    claims: Table | None = None,
    overview: View | None = None,
    explorer: Mapping[str, Any] | None = None,
    version: str = "",
) -> bytes:
    """Builds the page: an overview, then one tab a view.

    Everything is inside: plotly.js, scripts, styles, numbers. The page asks no network, and a
    content security policy forbids it to. Charts are drawn when they come into sight; without
    scripts there remain all words and the tables of up to 400 rows.

    Args:
      title: heading.
      lead: one paragraph below it: what was compared.
      views: heading of the navigation → tabs under it; the heading may be "".
      findings: sentences that stand out, on the first tab.
      claims: first table of the first tab (see `claims.verdict_summary`).
      overview: what else the first tab shows; its lead, title and name are not used.
      explorer: numbers of the matrix and of the table of pairs (see `payload.explorer_payload`);
        None leaves these two tabs out.
      version: of the package that made the numbers.

    Returns:
      The HTML file, UTF-8.

    Raises:
      ValueError: two views, charts or tables of the same name: names are anchors.
    """
    shown = [view for group in views.values() for view in group]
    charts = [chart for view in _with(overview, shown) for chart in view.charts]
    tables = [table for view in _with(overview, shown) for table in view.tables]
    reserved = [_HOME, "matrix", "pairs"] if explorer else [_HOME]
    _require_distinct([*reserved, *(view.name for view in shown)], "views")
    _require_distinct([chart.name for chart in charts], "charts")
    _require_distinct([table.name for table in _with(claims, tables)], "tables")
    long = [table for table in tables if len(table.rows) > _STATIC_ROWS]
    page = _template().render(
        title=title,
        lead=lead,
        findings=findings,
        claims=claims,
        overview=overview,
        groups={heading: list(group) for heading, group in views.items() if group},
        explorer=None if explorer is None else _json(explorer),
        charts=_json({chart.name: chart.plotly for chart in charts}),
        rows=_json({table.name: _rows(table) for table in long}),
        colors=_json(page_colors()),
        static_rows=_STATIC_ROWS,
        version=version,
        style=_static("page.css"),
        script="\n".join(_static(f"{name}.js") for name in _SCRIPTS),
        plotly=get_plotlyjs(),
    )
    return page.encode()


def _with(first: Any | None, rest: Sequence[Any]) -> list[Any]:
    return [*([] if first is None else [first]), *rest]


def _require_distinct(names: Sequence[str], kind: str) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{kind} of a page need names of their own: got {repeated} twice")


def _rows(table: Table) -> list[list[list[Any]]]:
    """Cells as `[text, key, marks]`; numbers sort by their value."""
    return [
        [[c.text, c.sort, ("f" if c.flagged else "") + ("n" if c.number else "")] for c in row]
        for row in table.rows
    ]


def _json(data: Any) -> str:
    """JSON inside a script element: no closing tag in a name may end it.

    NaN and infinities are no JSON; they become null.
    """
    text = json.dumps(_plain(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _plain(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, np.ndarray):
        return _plain(data.tolist())
    if isinstance(data, list | tuple | Iterator):
        return [_plain(value) for value in data]
    if isinstance(data, np.generic):
        return _plain(data.item())
    return None if isinstance(data, float) and not math.isfinite(data) else data


@functools.cache
def _static(name: str) -> str:
    return (_FOLDER / "static" / name).read_text(encoding="utf-8")


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,  # names come from users
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html.jinja")
