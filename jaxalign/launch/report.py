"""Write the HTML report of a finished alignment, or of a study of several data sets.

Usage:
    jaxalign report --workdir=W            writes W/report/index.html
    jaxalign report --workdir=W --output=pages --title="Our encoders on QM9"
    jaxalign report --workdir=W --figures=pdf,svg     also writes W/report/figures/
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from jaxalign import api
from jaxalign.launch import workflow
from jaxalign.launch.process import run_verb

_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run or of `jaxalign align`.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the page; default: WORKDIR/report.")
_TITLE = flags.DEFINE_string("title", None, "Heading of the page.")
_FIGURES = flags.DEFINE_list("figures", [], "Figures for papers: pdf, svg, png; none if empty.")
flags.mark_flags_as_required(["workdir"])


def main(words: Sequence[str]) -> None:
    """Writes the page and prints its path."""
    if words:
        raise ValueError(f"unexpected arguments {list(words)}: options start with --")
    folder = Path(_OUTPUT.value or Path(_WORKDIR.value) / workflow.REPORT)
    figures = tuple(name.strip().lower() for name in _FIGURES.value)
    page = api.write_report(_WORKDIR.value, folder, title=_TITLE.value, figures=figures)
    print(f"report: {page.resolve()}")


if __name__ == "__main__":
    run_verb(main, "jaxalign.launch.report")
