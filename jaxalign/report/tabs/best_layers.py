"""The table of encoders compared by their best layers."""

from __future__ import annotations

import pandas as pd

from jaxalign.metrics.registry import metric_definition
from jaxalign.report.vocabulary import labels
from jaxalign.report.vocabulary.tables import Cell, Table, number, text


def best_layers_table(found: pd.DataFrame) -> Table:
    """One row a metric and pair of encoders.

    Args:
      found: `Alignment.best_layers`.
    """
    columns = ("Metric", "Encoder a", "Encoder b", "Layer a", "Layer b", "Layer pairs", "Score")
    columns += ("Calibrated", "Best by chance (mean)", "p", "q")
    rows = tuple(_row(row) for row in found.itertuples())
    return Table("best-layers", "Encoders by their best pair of layers", columns, rows)


def _row(row) -> tuple[Cell, ...]:
    title = metric_definition(row.metric).title
    if not pd.isna(row.k):
        title += f", k = {row.k}"
    shown = (row.value, row.calibrated, row.null_mean)
    return (
        *(text(title), text(row.encoder_a), text(row.encoder_b)),
        *(text(row.layer_a), text(row.layer_b), number(int(row.layer_pairs))),
        *(number(float(value), labels.fixed(float(value), 3)) for value in shown),
        *(number(float(value), f"{float(value):.3g}") for value in (row.p, row.q)),
    )
