"""What benchmarks share beyond `jaxalign.profiling`: seeded models in memory, and the table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

from jaxalign.archives.atomic import write_json
from jaxalign.profiling.machine import machine
from jaxalign.profiling.synthetic import SyntheticRows

_PACKAGES = ("jaxalign", "jax", "jaxlib", "numpy", "scipy", "scikit-learn", "faiss-cpu", "dcor")


def synthetic_model(i: int, count: int, n: int, d: int) -> Float32[np.ndarray, "n d"]:
    """Seeded embeddings of model i of `count`, which share a latent space in growing degree."""
    return SyntheticRows(i, count, n, d).read(0, n)


def synthetic_models(count: int, n: int, d: int) -> dict[str, Float32[np.ndarray, "n d"]]:
    """All models in memory."""
    return {f"m{i:02d}": synthetic_model(i, count, n, d) for i in range(count)}


def report(title: str, rows: Sequence[Mapping[str, Any]], output: str | None) -> None:
    """Prints the rows as a table, and writes them with the machine as JSON."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns] + [[_shown(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    print(title)
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    record = {"title": title, "rows": list(rows), "machine": machine(_PACKAGES)}
    print(json.dumps(record["machine"]))
    if output:
        write_json(output, record)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
