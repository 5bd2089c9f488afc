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
_ONE_CORE = """
### On one core

The same with one core and its own time instead of the clock on the wall
(`OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/embed_throughput.py --clock=cpu …`): it tells how
much work each side does, and hardly depends on what else the machine does. Measured after all that
is said below was changed, at loads from 5 to 15; repeated at other loads, UMA had 1.35 to 1.66.

"""
_BELOW_ONE = """
### Why some are below 1

The rows on two cores of esen-random, uma-random, all-minilm-l6-v2, antiberty, hf:bert-12x384 and
hf:esm2-8m were measured after the changes named here, both sides with real-time priority
(`chrt -f 5`) on a machine under load. uma-random's is with two virtual devices
(`--cpu_devices=2`); with one it is 0.91 (before: 0.68). The other figures here are least times of
bursts of a few milliseconds after pauses, or one core's own time.

**Products are about as fast; a second core pays for large ones alone.** On one core, XLA's matrix
products reach 140 to 167 GFLOP/s and MKL's 150 to 199 at the shapes of these networks (256 to 768
features). On two cores, products of 1,024 tokens reach, XLA's and MKL's: 384 → 384 features 213
and 245 GFLOP/s, 1536 → 384 194 and 269, 256 → 1024 234 and 272, 512 → 512 241 and 259. Of 256
rows, a second core gives XLA nothing (108 GFLOP/s on two, 110 on one). MKL's threads seem to wait
for work actively, XLA's to sleep. A busy machine turns this round: at a load of 5.6 two cores
took 1.6 to 10 s for the original UMA, where one core alone took 0.9 s, and 0.7 to 1.0 s for ours,
where one took 0.6 s.

**BERT's layers.** Of the time on one core (12 layers of 384 features, traced), products take 79
%, attention 7 %, GELU 3 %, copies between heads and features 4 %, slices of the layers' weights 2
to 3 %, layer norms, sums and the rest 5 %. What was left to gain was padding: 15 to 35 % of the
tokens. Steps of 4 tokens up to 64, and 1,024 tokens a batch instead of 2,048, bring it to 7 to 18
%, for about a second of compiling for each further length. On one core that took all-minilm-l6-v2
from 0.77 to 1.02 and the BERT of 12 layers from 0.85 to 0.95; what both still lack is about their
padding, and so with AntiBERTy (17 %), whose chains are longest. The flag
`--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_REDUCE` speeds up the product 1536 →
384 on two cores by a quarter and slows down others by up to 8 %: it is experimental, and not set.

**UMA and eSEN.** On one core both do three quarters or less of the original's work. Of UMA's
time, messages take 85 % (matrix products two thirds of it; radial networks, products included, 12
% of the whole, turns into frames 3 %), mixing experts, norms and pointwise networks the rest; to
pick a structure's maps for each group of edges takes 3 %. What it lacked was use of the second
core: a group of 64 edges is 57 operations of 15 µs on average, too short to divide, so that 512
edges took 7.7 ms on two cores and 6.6 ms on one. Groups of 128 (now), 256 and 512 edges take 7.1,
6.6 and 5.1 ms on two, and from 256 on structures are padded by 17 % and more. Groups of 128 cost
one core nothing. eSEN's 512 edges took 20.4 ms instead of 23.6 (tenth percentiles).

**A device a core.** Such work is best divided by batches. Two virtual devices of the processor
(`jaxalign run --cpu_devices=2`) finish two times 512 edges of UMA in 7.8 ms, one finishes 512 in
7.4: 1.9 times as many. Devices get batches of their own wherever each has 512 structures to do,
or where a mesh is given.
"""
_SPEED_COLUMNS = (
    *("encoder", "structures", "structures/s", "atoms/s", "original, structures/s", "ratio"),
    *("compilations", "padding", "waiting", "difference"),
)


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
    one_core = _read(RESULTS / "embed_throughput_one_core.json")
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
            _table(_SPEED_COLUMNS, map(_speed, speeds)),
            _ONE_CORE,
            _table(_SPEED_COLUMNS, map(_speed, one_core)),
            _BELOW_ONE,
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
