"""Writes docs/models.md from the cards and the recorded proofs and throughputs.

Usage:
    python scripts/models_table.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxalign.models.registry import list_models

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "models.md"
_HEAD = """# Models

Written by `python scripts/models_table.py` from the cards, `benchmarks/results/proofs_*.json` and
`benchmarks/results/embed_throughput.json`.

"""
_PROOFS = """
## Proofs

Each port is compared with its original package on the same structures. *Hidden states*: largest
difference over all layers, relative to the largest value of the layer. The originals run in float32
as published; where they run in float64 too, both sides do. *Energy*: largest difference, per atom.
The command repeats a proof in an environment that holds the original package (BUILD.md).

"""
_SPEED = """
## Throughput

Ours and the original package by turns on the same structures and cores, graphs included, median
over repeats (`benchmarks/embed_throughput.py`). *Padding*: share of the computed work that is
padding. *Waiting*: share of the time in which the device's thread waited for inputs. *Difference*:
of the mean-pooled rows, relative to the largest value.

"""


def page() -> str:
    """The whole page."""
    cards = [entry.card for entry in list_models()]
    columns = ("id", "family", "modality", "d", "layers", "rotations", "verified", "licence")
    listing = [
        (
            f"`{card.id}`",
            card.family,
            card.modality,
            card.width,
            _shown_layers(card.layers),
            card.symmetry,
            card.verified,
            card.licence,
        )
        for card in cards
    ]
    order = {card.id: number for number, card in enumerate(cards)}
    proofs = [row for path in sorted(RESULTS.glob("proofs_*.json")) for row in _read(path)]
    speeds = _read(RESULTS / "embed_throughput.json")
    ratios = {row["model"]: row["ratio"] for row in speeds}
    proofs.sort(key=lambda row: order.get(row["model"], len(order)))
    return "".join(
        (
            _HEAD,
            _table(columns, listing),
            _PROOFS,
            _table(
                (
                    "encoder",
                    "original",
                    "compared on",
                    "hidden states, float32",
                    "absolute",
                    "float64",
                    "energy, eV/atom",
                    "throughput, ours / original",
                    "command",
                ),
                (_proof(row, ratios.get(row["model"])) for row in proofs),
            ),
            _SPEED,
            _table(
                (
                    "encoder",
                    "structures",
                    "structures/s",
                    "atoms/s",
                    "original, structures/s",
                    "ratio",
                    "compilations",
                    "padding",
                    "waiting",
                    "difference",
                ),
                map(_speed, speeds),
            ),
        )
    )


def _read(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def _table(columns: Sequence[str], rows) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "".join("| " + " | ".join(map(_cell, line)) + " |\n" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _shown_layers(layers: Sequence[str]) -> str:
    return ", ".join(layers) if len(layers) <= 6 else f"{layers[0]} … {layers[-1]} ({len(layers)})"


def _proof(row: dict[str, Any], ratio: float | None) -> tuple:
    names = ("original", "structures", "hidden_relative_float32", "hidden_absolute_float32")
    names += ("hidden_relative_float64", "energy_ev_per_atom_float32")
    shown = "" if ratio is None else f"{ratio:.1f}"
    return (f"`{row['model']}`", *(row.get(name) for name in names), shown, f"`{row['command']}`")


def _speed(row: dict[str, Any]) -> tuple:
    return (
        f"`{row['model']}`",
        f"{row['structures']:,} of {row['dataset']}",
        f"{row['structures_per_second']:.0f}",
        f"{row['atoms_per_second']:,.0f}",
        f"{row['original_structures_per_second']:.0f}",
        f"{row['ratio']:.2f}",
        row["compilations"],
        f"{row['padding_waste']:.0%}",
        f"{row['input_wait_share']:.0%}",
        row["largest_relative_difference"],
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
