"""Labels of structures from a table file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from jaxalign.types import JaxalignError

_NAMED = 3  # ids that a message names


class TaskLabelError(JaxalignError):
    """A file of labels cannot be read, or does not give every id one number."""


def read_task_labels(path: str | Path, label: str) -> dict[str, float]:
    """Sample id → label, from a .csv or .parquet.

    Args:
      path: file with a header; its first column holds sample ids.
      label: name of the column of labels.

    Returns:
      Labels; empty cells are NaN.

    Raises:
      TaskLabelError: no such file or column, an id twice or missing, a label that is no number.
    """
    try:
        parquet = str(path).endswith(".parquet")
        table = pd.read_parquet(path) if parquet else pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        raise TaskLabelError(
            f"labels in {path} cannot be read ({error}); wanted a .csv or .parquet with a header, "
            f"sample ids in the first column and a column {label!r}"
        ) from error
    if label not in table.columns[1:]:
        raise TaskLabelError(
            f"{path} has no column {label!r} beside its ids: its columns are {list(table.columns)}"
        )
    ids = table.iloc[:, 0]
    if ids.isna().any() or ids.duplicated().any():
        wrong = ids[ids.isna() | ids.duplicated()].iloc[0]
        raise TaskLabelError(f"{path}: the id {wrong!r} is missing or stands there twice")
    numbers = pd.to_numeric(table[label], errors="coerce")
    wrong = ids[numbers.isna() & table[label].notna()].tolist()
    if wrong:
        raise TaskLabelError(
            f"{path}: {len(wrong)} labels in {label!r} are no numbers, e.g. of {wrong[:_NAMED]}"
        )
    return dict(zip(ids.astype(str), numbers.astype(float), strict=True))
