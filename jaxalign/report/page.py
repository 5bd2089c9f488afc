"""`write_report`: alignments in, one page with its tables and figures out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from jaxalign.archives.atomic import atomic_write, require_writable
from jaxalign.report.render import render
from jaxalign.report.vocabulary.source import FIGURES, AlignmentLike

_WRITTEN = ".figures-of-the-report"


def write_report(
    alignment: AlignmentLike | Mapping[str, AlignmentLike],
    out_dir: str | os.PathLike[str],
    *,
    title: str | None = None,
    claims: pd.DataFrame | None = None,
    figures: Sequence[str] = (),
) -> Path:
    """Writes the report: `index.html`, `table.csv|parquet`, and `figures/` if asked for.

    The page is one file that needs no network, no server and nothing beside it. Everything is made
    before the first file is written; every file appears whole, `index.html` last, so a page never
    shows what is not there yet. Figures that an earlier report left and this one does not write
    are removed; other files stay.

    Args:
      alignment: scores of all pairs, models without a card are listed by their label; or name of
        the data set → scores, for a study of several data sets.
      out_dir: folder, created if it does not exist.
      title: heading of the page; the default is the title of the run, or names models and data.
      claims: one row a claim, shown first: claim, statement, tested, models, data, n, estimate,
        low, high, p, verdict ("supported", "not supported", …), covers.
      figures: formats of figures for papers, of "pdf", "svg" and "png".

    Returns:
      Path of `index.html`.

    Raises:
      ValueError: nothing to show, or an unknown format.
      StorageError: the folder cannot be written (checked before any drawing).
    """
    folder = Path(out_dir)
    require_writable(folder)
    files = render(alignment, title=title, claims=claims, figures=figures)
    for name in sorted(files, key=lambda name: name == "index.html"):
        with atomic_write(folder / name) as file:
            file.write(files[name])
    _remove_stale(folder / FIGURES, keep=set(files))
    return folder / "index.html"


def _remove_stale(figures: Path, *, keep: set[str]) -> None:
    """Removes figures that an earlier report wrote; other people's files stay.

    The figures of this report are named in a file among them, for the next one.
    """
    index = figures / _WRITTEN
    before = index.read_text().split("\n") if index.is_file() else []
    names = sorted(Path(name).name for name in keep if name.startswith(f"{FIGURES}/"))
    for name in set(before) - set(names) - {""}:
        (figures / Path(name).name).unlink(missing_ok=True)
    if names:
        with atomic_write(index, mode="w") as file:
            file.write("\n".join(names))
    elif index.is_file():
        index.unlink()
