"""Writes docs/metrics.md from the definitions, so that the page cannot say anything else.

Usage:
    python scripts/metrics_table.py
"""

from __future__ import annotations

import math
from pathlib import Path

from jaxalign.metrics import METRICS
from jaxalign.metrics._definition import Metric, ModelMetric

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
_HEAD = """# Metrics

One row a metric id, as `jaxalign align --metrics=…` and `ja.align(metrics=…)` take it. *Rows* is
the normalization that is applied when none is named (`none`, `l2`, `max_abs_row`, `standardize`),
*k* the number of neighbors; both are columns of every result. Directed metrics read a → b.
*Unchanged by* lists what one model's rows may undergo without changing the score. *Chance* is the
expected value for independent representations where a closed form is known, at n = 1,000 and the
default k.

"""


def page() -> str:
    """The whole page."""
    columns = ("id", "what", "rows", "k", "range", "perfect", "chance", "", "unchanged by")
    lines = [columns, ("---",) * len(columns), *map(_row, METRICS.values())]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    definitions = "\n".join(f"**`{m.id}`** - {m.title}. {m.definition}\n" for m in METRICS.values())
    return f"{_HEAD}{table}\n\n## Definitions\n\n{definitions}"


def _row(metric: Metric) -> tuple[str, ...]:
    if isinstance(metric, ModelMetric):
        kind = "of single models"
    else:
        words = "similarity" if metric.is_similarity else "distance"
        kind = f"{words}, {'symmetric' if metric.symmetric else 'directed'}"
        kind += ", metric" if metric.is_metric else ""
    chance = "" if metric.null is None else f"{metric.null(1000, metric.default_k):.4g}"
    return (
        f"`{metric.id}`",
        metric.title,
        metric.default_normalize,
        "" if metric.default_k is None else str(metric.default_k),
        f"{_number(metric.low)} … {_number(metric.high)}",
        "" if metric.best is None or isinstance(metric, ModelMetric) else _number(metric.best),
        chance,
        kind,
        ", ".join(metric.invariances),
    )


def _number(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.4g}".replace("-", "−")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
