"""Labels of structures or models from a table file."""

from __future__ import annotations

import pandas as pd

from jaxalign.types import JaxalignError


class LabelFileError(JaxalignError):
    """A file of labels cannot be read, or names something twice."""


def read_labels(path: str | None, *, flag: str) -> dict[str, str] | None:
    """Name → label, from a .csv or .parquet of two columns or more.

    Args:
      path: file; its first column holds the names (sample ids, models), the second the labels; None
        where the flag was not given.
      flag: the flag, for messages.

    Returns:
      Labels as text, or None.

    Raises:
      LabelFileError: no such file, fewer than two columns, a name twice, a label missing.
    """
    if path is None:
        return None
    try:
        read = pd.read_parquet if path.endswith(".parquet") else pd.read_csv
        table = read(path) if path.endswith(".parquet") else read(path, dtype=str)
    except (OSError, ValueError) as error:
        raise LabelFileError(
            f"--{flag}={path} cannot be read ({error}); wanted a .csv or .parquet with a header, "
            "names in the first column and labels in the second"
        ) from None
    if table.shape[1] < 2:
        raise LabelFileError(
            f"--{flag}={path} has {table.shape[1]} column: wanted names in the first and labels in "
            "the second, separated by commas"
        )
    names, labels = (table.iloc[:, column] for column in (0, 1))
    if names.duplicated().any() or labels.isna().any() or names.isna().any():
        wrong = table[names.duplicated() | labels.isna() | names.isna()].iloc[0, 0]
        raise LabelFileError(
            f"--{flag}={path}: {wrong!r} stands there twice or without a label; give every name "
            "one label"
        )
    return dict(zip(names.astype(str), labels.astype(str), strict=True))
