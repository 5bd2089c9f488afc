"""The structures on which two models disagree most, with drawings of molecules."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from jaxalign.report.charts import reading
from jaxalign.report.charts.points_page import escaped
from jaxalign.report.charts.points_paper import INK, drawable
from jaxalign.report.drawing import canvas
from jaxalign.report.drawing.line_art import draw_line_art, drawing_size
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Cell, Table, number, text
from jaxalign.report.vocabulary.views import Chart, View

FACT = "disagreements"
_HEIGHT, _WORDS = 330, 30  # CSS pixels of a drawing, and of the line above it
_INCHES = 6.5  # width of drawings on paper
_QUESTION = (
    "Which structures do two models place differently, although they agree on others? Shown are "
    "the structures with the smallest part of the score, before the nearest neighbors that each "
    "model gives them."
)
_TIES = "Of structures with equal parts those with the least agreement in longer lists come first."


def disagreement_view(report: reading.Report) -> tuple[View | None, list[str]]:
    """The tab of disagreement, and what is missing for it."""
    charts, missing, findings = [], [], []
    rows: list[tuple[Cell, ...]] = []
    for source in report.sources:
        records = source.alignment.diagnostics.get(FACT)
        if not records:
            missing.append(
                f"{source.prefix}the structures on which models disagree need mutual_knn among the "
                "metrics, and the structures at hand: jaxalign run has them"
            )
            continue
        for place, record in enumerate(records):
            drawn = [found for found in record["structures"] if found["svg"]]
            if drawn:
                charts.append(_chart(source, record, drawn, place))
            rows += _rows(source, record)
        findings.append(source.prefix + _words(records[0]))
    if not rows:
        return None, missing
    columns = ("Data set", "Model a", "Model b", "Score", "Structure", "Its part of the score")
    columns += ("Structures with this part", "Nearest in a", "Nearest in b", "In both")
    table = Table("disagreements", "Most disputed structures", columns, tuple(rows))
    lead, notes = reading.leading(_QUESTION, findings, [_TIES])
    return View("disagreement", "Disagreement", lead, tuple(charts), (table,), notes), missing


def _words(record: Mapping[str, Any]) -> str:
    worst = record["structures"][0]
    share = 100 * worst["equal"] / record["n"]
    part = labels.score(worst["contribution"])
    return (
        f"{record['model_a']} and {record['model_b']} score {labels.score(record['score'])} under "
        f"{record['title']} (k = {record['k']}); the smallest part of a structure, {part}, is that "
        f"of {worst['equal']:,} of {record['n']:,} structures ({labels.fixed(share, 1)} %)."
    )


def _chart(
    source: reading.Source, record: Mapping[str, Any], drawn: list[Mapping], place: int
) -> Chart:
    a, b = record["model_a"], record["model_b"]
    title = source.titled(f"Disputed between {a} and {b}")
    ids = labels.joined([str(found["id"]) for found in drawn])
    data = pd.DataFrame(record["structures"]).drop(columns="svg")
    return Chart(
        name=f"disagreement-{place}{source.slug}",
        title=title,
        alt=f"Drawings of {ids}, each before its nearest neighbors in {a} and in {b}.",
        caption=(
            f"Left: the structure. Beside it its three nearest neighbors, in {a} on the upper and "
            f"in {b} on the lower line; structures without a molecule leave their place free."
        ),
        plotly=drawings_plotly(drawn, k=record["k"]),
        draw=lambda: draw_disputed_structures(drawn, title, record),
        data=data,
    )


def drawings_plotly(drawn: list[Mapping], *, k: int) -> dict[str, Any]:
    """Drawings below each other on light panels, whatever the theme of the page: ink is dark.

    Args:
      drawn: structures with `id`, `contribution`, `shared` and `svg`.
      k: neighbors that were compared.
    """
    step = _HEIGHT + _WORDS
    whole = step * len(drawn)
    images, panels, words = [], [], []
    for place, found in enumerate(drawn):
        top, bottom = 1 - (place * step + _WORDS) / whole, 1 - (place + 1) * step / whole
        where = {"xref": "paper", "yref": "paper"}
        panel = {"type": "rect", "x0": 0, "x1": 1, "y0": bottom, "y1": top, "layer": "below"}
        panels.append(where | panel | {"fillcolor": "#ffffff", "line": {"width": 0}})
        image = {"x": 0.5, "y": top, "xanchor": "center", "yanchor": "top", "sizing": "contain"}
        image |= {"sizex": 1, "sizey": top - bottom, "layer": "above"}
        images.append(where | image | {"source": _uri(found["svg"])})
        told = _told(found, k)
        note = {"x": 0, "y": top, "xanchor": "left", "yanchor": "bottom", "showarrow": False}
        words.append(where | note | {"text": escaped(told), "font": {"size": 13}})
    hidden = {"visible": False, "fixedrange": True, "range": [0, 1]}
    layout = {
        "height": whole + 10,
        "margin": {"l": 5, "r": 5, "t": 0, "b": 10},
        "xaxis": hidden,
        "yaxis": dict(hidden),
        "images": images,
        "shapes": panels,
        "annotations": words,
        "showlegend": False,
        "hovermode": False,
    }
    trace = {"type": "scatter", "mode": "markers", "x": [], "y": [], "hoverinfo": "skip"}
    return {"data": [trace], "layout": layout}


def draw_disputed_structures(
    drawn: Sequence[Mapping], title: str, record: Mapping[str, Any]
) -> Figure:
    """The same for paper; call it inside `canvas.style()`.

    Args:
      drawn: see `drawings_plotly`.
      title: of the figure.
      record: of two models, with `model_a`, `model_b` and `k`.
    """
    tall = [_INCHES * size[1] / size[0] for size in (drawing_size(each["svg"]) for each in drawn)]
    whole = 0.75 + sum(tall) + 0.3 * len(drawn)
    heading = drawable(title)
    lines = drawable(
        f"Left: the structure. Beside it its nearest neighbors, in {record['model_a']} above, "
        f"in {record['model_b']} below."
    )
    # Long names of models make the sheet wider, not the words shorter.
    wide = max(_INCHES, canvas.extent(heading, 10, "bold")[0], canvas.extent(lines, 7)[0])
    figure, axes = canvas.sheet(wide + 0.3, whole)
    style = {"weight": "bold", "color": INK, "va": "top"}
    canvas.write(axes, 0.15, whole - 0.15, heading, size=10, gid="title-0", **style)
    canvas.write(axes, 0.15, whole - 0.42, lines, size=7, gid="lines", va="top")
    top = whole - 0.75
    for place, (each, height) in enumerate(zip(drawn, tall, strict=True)):
        words = drawable(_told(each, record["k"]))
        canvas.write(axes, 0.15, top - 0.05, words, size=8, gid=f"structure-{place}", va="top")
        draw_line_art(axes, each["svg"], left=0.15, top=top - 0.25, width=_INCHES)
        top -= height + 0.3
    return figure


def _told(found: Mapping[str, Any], k: int) -> str:
    return f"{found['id']}: {len(found['shared'])} of {k} neighbors in common"


def _uri(svg: str) -> str:
    """A drawing as an image: nothing in it can run, or reach the page."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _rows(source: reading.Source, record: Mapping[str, Any]) -> list[tuple[Cell, ...]]:
    return [
        (
            text(source.name),
            text(record["model_a"]),
            text(record["model_b"]),
            number(record["score"], labels.score(record["score"])),
            text(found["id"]),
            number(found["contribution"], labels.score(found["contribution"])),
            number(int(found["equal"])),
            text(_listed(found["neighbors_a"])),
            text(_listed(found["neighbors_b"])),
            number(len(found["shared"])),
        )
        for found in record["structures"]
    ]


def _listed(ids: list) -> str:
    shown = ", ".join(str(name) for name in ids[:3])
    return shown + (", …" if len(ids) > 3 else "")
