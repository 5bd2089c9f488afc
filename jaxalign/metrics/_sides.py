"""The two sides of a pair whose rows are read in blocks: checked, normalized, described."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from jaxalign.embeddings.sources import ModelRows, model_rows
from jaxalign.metrics._checks import check_pair
from jaxalign.metrics._definition import Metric, Outcome
from jaxalign.metrics._pair import degenerate
from jaxalign.pairwise.diagnostics import row_diagnostics
from jaxalign.types import Score


@dataclasses.dataclass(frozen=True, eq=False)
class Side:
    """One checked array: its normalized rows and the diagnostics that travel with a score."""

    rows: ModelRows
    diagnostics: dict[str, Any]


def pair_sides(
    metric: Metric, x, y, normalize: str | None, *, k: int | None = None
) -> tuple[Side, Side, str]:
    """Both arrays checked and normalized, and the normalization that was applied.

    Raises:
      ValueError: see `check_pair`.
    """
    x, y = check_pair(metric, x, y, k=k)
    normalize = normalize or metric.default_normalize
    sides = []
    for values in (x, y):
        rows = model_rows(values, normalize)
        seen = row_diagnostics(rows) | {"dtype": str(values.dtype)}
        sides.append(Side(rows, seen))
    return *sides, normalize


def finish(
    metric: Metric, outcome: Outcome, sides: tuple[Side, Side], facts: dict[str, Any]
) -> Score:
    """Score with diagnostics; degenerate sides give NaN with a reason, whatever the numbers say."""
    value, reason = outcome
    for name, side in zip("xy", sides, strict=True):
        if blocked := degenerate(side.diagnostics):
            value, reason = math.nan, f"{name}: {blocked}"
    diagnostics = {"n": sides[0].rows.n, "variant": metric.variant} | facts
    diagnostics |= {name: side.diagnostics for name, side in zip("xy", sides, strict=True)}
    return Score(value, metric.id, diagnostics | ({"reason": reason} if reason else {}))
