"""Tables of training: every run with its slope, and the stretches against the rule."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from jaxalign.analysis.convergence.slopes import exceptions, run_slopes
from jaxalign.report.charts.reading import Source
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Table, number, text

Tracked = Sequence[tuple[Source, pd.DataFrame]]


def runs_table(tracked: Tracked) -> Table:
    """One row a run and data set: where it ended, and how alignment followed the error.

    Args:
      tracked: data sets with rows of their trajectories, to one reference.
    """
    rows = []
    for source, found in tracked:
        slopes = run_slopes(found).set_index("run")
        for row in found[found["last"]].to_dict("records"):
            own = slopes.loc[row["run"]]
            interval = f"{labels.score(row['low'])} to {labels.score(row['high'])}"
            cells = (
                text(source.name),
                text(row["run"]),
                text(row["architecture"]),
                number(int(row["parameters"])),
                number(int(row["step"])),
                number(row["error_ev"], f"{row['error_ev']:.4f}"),
                number(row["calibrated"], labels.score(row["calibrated"])),
                number(row["low"], interval),
                number(own["slope"], labels.score(own["slope"])),
                number(own["spearman"], labels.score(own["spearman"])),
            )
            rows.append(cells)
    columns = ("Data set", "Run", "Architecture", "Parameters", "Best step", "Error (eV)")
    columns += ("Alignment to other architectures", "95 % interval", "Slope per tenfold error")
    columns += ("Rank correlation",)
    return Table("training-runs", "Networks that were trained", columns, tuple(rows))


def exceptions_table(tracked: Tracked) -> Table:
    """Stretches of training in which the error fell and alignment was lost.

    Args:
      tracked: as of `runs_table`.
    """
    rows = []
    for source, found in tracked:
        for row in exceptions(found).to_dict("records"):
            cells = (
                text(source.name),
                text(row["run"]),
                number(row["from_step"]),
                number(row["to_step"]),
                number(row["error_before"], f"{row['error_before']:.4f}"),
                number(row["error_after"], f"{row['error_after']:.4f}"),
                number(row["alignment_before"], labels.score(row["alignment_before"])),
                number(row["alignment_after"], labels.score(row["alignment_after"])),
                number(row["loss"], labels.score(row["loss"]), flagged=row["clear"]),
                text("beyond both intervals" if row["clear"] else "within the intervals"),
            )
            rows.append(cells)
    columns = ("Data set", "Run", "From update", "To update", "Error before (eV)")
    columns += ("Error after (eV)", "Alignment before", "Alignment after", "Lost", "Remark")
    caption = "Exceptions: the error fell, and alignment to other architectures fell too"
    return Table("training-exceptions", caption, columns, tuple(rows))
