"""`write_report`: an alignment in, one static page with its figures and tables out."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from jaxalign.archives.atomic import atomic_write, require_writable
from jaxalign.report.source import FIGURES, AlignmentLike
from jaxalign.types import JaxalignError

_EXTRA = ("matplotlib", "jinja2")


class MissingExtraError(JaxalignError):
    """The packages that draw the report are not installed."""


def write_report(
    alignment: AlignmentLike, out_dir: str | os.PathLike[str], *, title: str | None = None
) -> Path:
    """Writes the report: `index.html`, `table.csv` and `figures/*.png|svg`.

    The page needs no network and no server. Everything is drawn before the first file is written;
    every file appears whole, `index.html` last, so a page never shows what is not there yet.

    Args:
      alignment: scores of all pairs; models without a card are listed by their label.
      out_dir: folder, created if it does not exist.
      title: heading of the page; the default is the title of the run, or names models and data.

    Returns:
      Path of `index.html`.

    Raises:
      MissingExtraError: matplotlib or jinja2 is not installed; the message names the extra.
      StorageError: the folder cannot be written (checked before any drawing).
    """
    require_extra()
    # Only now, so that this module imports without the extra.
    from jaxalign.report.render import render

    folder = Path(out_dir)
    require_writable(folder)
    files = render(alignment, title=title)
    for name in sorted(files, key=lambda name: name == "index.html"):
        with atomic_write(folder / name) as file:
            file.write(files[name])
    _remove_stale(folder / FIGURES, keep=set(files))
    return folder / "index.html"


def require_extra() -> None:
    """Checks that the packages which draw are there.

    Raises:
      MissingExtraError: naming the extra.
    """
    for package in _EXTRA:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingExtraError(
                f"the report needs {' and '.join(_EXTRA)}, and {package} cannot be imported "
                f"({error}); install both with: pip install 'jaxalign[report]'"
            ) from error


def _remove_stale(figures: Path, *, keep: set[str]) -> None:
    """Removes figures of an earlier report with other metrics; other people's files stay."""
    for kind in ("heatmap", "pairs"):
        for path in (*figures.glob(f"{kind}-*.png"), *figures.glob(f"{kind}-*.svg")):
            if f"{FIGURES}/{path.name}" not in keep:
                path.unlink(missing_ok=True)
