"""The page of a selection: what to choose for each task, and how well criteria would choose."""

from __future__ import annotations

from pathlib import Path

from jaxalign.archives.atomic import atomic_write, require_writable
from jaxalign.learning.selection.selection import Selection
from jaxalign.learning.selection.wording import choices
from jaxalign.report.html.html_page import render_page
from jaxalign.report.selection.selection_charts import TRUTHS, candidates_chart, criteria_chart
from jaxalign.report.selection.selection_tables import (
    criteria_table,
    left_out_table,
    quality_table,
    ranking_table,
)
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.views import View

_READING = (
    "A criterion sees the labels of the target set alone: probes within it, the evidence of a "
    "linear model, alignment of embedding and label, and what needs no label.",
    "Held-out errors are those of probes on frozen embeddings, trained on many labels and tested "
    "on others. What an encoder gives when it is fine-tuned is not measured.",
    "Regret: how much larger the held-out error of the chosen candidate is than that of the best.",
    "A candidate that was trained on labels like these has seen what the others have not.",
)


def write_selection(selection: Selection, folder: str | Path, *, version: str) -> Path:
    """Writes `index.html`: one file that needs no network.

    Args:
      selection: the selection.
      folder: where to.
      version: of the package that made the numbers.

    Returns:
      Path of the page.

    Raises:
      StorageError: the folder cannot be written.
    """
    folder = Path(folder)
    require_writable(folder)
    tasks = len(selection.tasks)
    page = render_page(
        title=f"Encoders for {labels.count(tasks, 'task')}",
        lead=_lead(selection),
        views={"Tasks": _task_views(selection), "": _further_views(selection)},
        findings=choices(selection),
        overview=_overview(selection),
        version=version,
    )
    path = folder / "index.html"
    with atomic_write(path) as file:
        file.write(page)
    return path


def _lead(selection: Selection) -> str:
    told = [
        f"{facts['name']} ({labels.count(facts['candidates'], 'candidate')}, {facts['target']:,} "
        f"of {facts['n']:,} labels seen)"
        for facts in selection.tasks
    ]
    return f"Which encoder for which task? {labels.joined(told)}."


def _overview(selection: Selection) -> View:
    charts = [criteria_chart(selection, truth) for truth in TRUTHS]
    lead = (
        "Above: what to choose, by the labels seen. Below: how well every criterion would have "
        "ranked the candidates."
    )
    return View("choices", "", lead, charts=tuple(chart for chart in charts if chart is not None))


def _task_views(selection: Selection) -> list[View]:
    views = []
    for facts in selection.tasks:
        name, beyond = facts["name"], " beyond composition" if facts["beyond_composition"] else ""
        chart = candidates_chart(selection, name)
        lead = f"Candidates for {name}{beyond} of {facts['dataset']}, best first."
        views.append(
            View(
                f"task-{labels.slug(name)}",
                name,
                lead,
                charts=() if chart is None else (chart,),
                tables=(ranking_table(selection, name),),
                notes=tuple(facts["notes"]),
            )
        )
    return views


def _further_views(selection: Selection) -> list[View]:
    views = []
    if len(selection.quality):
        lead = (
            "Rank correlation of every criterion with held-out errors, with its interval over "
            "families of candidates, and what the choice by it would have cost."
        )
        views.append(View("criteria", "Criteria", lead, tables=(quality_table(selection),)))
    if len(selection.leave_one_task_out):
        lead = (
            "A criterion is chosen by how well it ranks on other tasks, and judged on the one left "
            "out: what may be hoped for on a task without many labels."
        )
        views.append(
            View("left-out", "One task left out", lead, tables=(left_out_table(selection),))
        )
    reading = View(
        "reading", "How to read this", "", tables=(criteria_table(selection),), notes=_READING
    )
    return [*views, reading]
