"""The page of a scaling sweep: its figures and its table, in one static file beside them."""

from __future__ import annotations

import html
import os
from pathlib import Path
from string import Template

import pandas as pd

from jaxalign.archives.atomic import atomic_write
from jaxalign.report.drawing.panels import short_number
from jaxalign.report.scaling.scaling_figures import describe_machine, write_figures

_COLUMNS = {
    "series": "series",
    "part": "part",
    "detail": "of",
    "n": "N",
    "d": "D",
    "models": "M",
    "k": "k",
    "tile_size": "tile",
    "devices": "devices",
    "seconds": "seconds",
    "throughput": "pairs · N² / s",
    "fraction_of_floor": "floor / seconds",
    "efficiency": "efficiency",
    "compilations": "programs compiled",
    "compile_seconds": "compile seconds",
}
_MEASURED = ("seconds", "throughput", "fraction_of_floor", "efficiency", "compile_seconds")
_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>How the engine scales</title>
<style>
body { font: 15px/1.5 "DejaVu Sans", sans-serif; color: #1b1b1b; max-width: 60rem;
       margin: 2rem auto; padding: 0 1rem }
img { max-width: 100% }
table { border-collapse: collapse; font-size: 13px }
th, td { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #e6e6e6 }
th { position: sticky; top: 0; background: #fff }
</style>
</head>
<body>
<h1>How the engine scales</h1>
<p>$note</p>
$figures
<h2>All points</h2>
$table
<p>Every column: <a href="table.csv">table.csv</a>, <a href="table.parquet">table.parquet</a>.</p>
</body>
</html>
""")


def write_page(table: pd.DataFrame, folder: str | os.PathLike[str]) -> Path:
    """Writes the figures of a sweep and `index.html`, which shows them with the table.

    Args:
      table: see `jaxalign.scaling.sweep.scaling_table`.
      folder: that of the table's files.

    Returns:
      Path of the page.
    """
    figures = [path for path in write_figures(table, folder) if path.suffix == ".svg"]
    page = _PAGE.substitute(
        note=html.escape(describe_machine(table)),
        figures="\n".join(
            f'<p><img src="{path.name}" alt="{_ALTERNATIVES[path.stem]}"></p>' for path in figures
        ),
        table=_table(table),
    )
    path = Path(folder) / "index.html"
    with atomic_write(path, mode="w") as file:
        file.write(page)
    return path


_ALTERNATIVES = {
    "scaling": "Seconds and efficiency against devices, throughput against structures.",
    "sizes": "Throughput against width, models, neighbors and tile size.",
}


def _table(table: pd.DataFrame) -> str:
    shown = table[[name for name in _COLUMNS if name in table]].astype(object)
    for name in shown:
        cells = shown[name]
        number = short_number if name in _MEASURED else str
        shown[name] = ["" if pd.isna(value) else number(value) for value in cells]
    return shown.rename(columns=_COLUMNS).to_html(index=False, border=0)
