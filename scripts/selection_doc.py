"""Writes the part of docs/results.md about the choice of encoders by few labels.

Usage:
    python scripts/selection_doc.py WORKDIR

WORKDIR is that of a finished `jaxalign select --config=configs/selection.py`. The other parts of
the page stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from results_page import write_part

_HEAD = """## Choosing an encoder by 200 labels

Written by `python scripts/selection_doc.py WORKDIR` from what

    jaxalign select --config=configs/selection.py --workdir=W

made on 2026-11-23: every criterion sees 200 labels, and is judged by the errors of probes on frozen
embeddings that were trained on about 1,600 other structures (five draws; errors relative to the
spread of the label). Some candidates were trained on such labels: CHGNet and SevenNet on energies
of the Materials Project, ANI and SO3LR on energies of molecules. With 14 to 21 candidates the 95 %
intervals of rank correlations (jackknife over families) are wide.
"""
_TASKS = {
    "u0_hartree": "U0",
    "gap_hartree": "gap",
    "formation_energy_ev_per_atom": "formation energy",
    "energy_above_hull_ev_per_atom": "above hull",
}
_SHOWN = 5  # of a ranking
_TRUTH = "ridge"
_MEAN = "mean over tasks"


def part(workdir: Path) -> str:
    """The text about selection."""
    quality = pd.read_csv(workdir / "quality.csv")
    left = pd.read_csv(workdir / "leave_one_task_out.csv")
    parts = [_HEAD, _findings(quality, left), _rankings(pd.read_csv(workdir / "ranking.csv"))]
    return "\n".join([*parts, _quality(quality), _left_out(left)])


def _findings(quality: pd.DataFrame, left: pd.DataFrame) -> str:
    """What a reader should take along, in sentences made of the numbers below."""
    lines = ["### What came out", ""]
    for truth in ("ridge", "knn"):
        own = quality[(quality["truth"] == truth) & (quality["among"] == "all candidates")]
        means = own.groupby("criterion")["spearman"].mean().sort_values(ascending=False)
        best = {kind: means[means.index.str.startswith(kind)] for kind in ("probe", "label")}
        free = means[means.index.str.startswith("others")]
        lines.append(
            f"* Against errors of {truth} probes, mean rank correlation over the four tasks: best "
            f"probe of 200 labels `{best['probe'].index[0]}` {best['probe'].iloc[0]:+.2f}, best "
            f"alignment with the label `{best['label'].index[0]}` {best['label'].iloc[0]:+.2f}, "
            f"best label-free alignment with the other candidates `{free.index[0]}` "
            f"{free.iloc[0]:+.2f}."
        )
    rows = left[(left["truth"] == _TRUTH) & (left["chosen_on"] == "other tasks")]
    lines += [
        f"* One task left out, {row.rule}: rank correlation {_interval(row)}, the chosen encoder "
        f"is {row.regret:.0%} worse than the best one."
        for row in rows[rows["task"] == _MEAN].itertuples()
    ]
    return "\n".join([*lines, ""])


def _rankings(ranking: pd.DataFrame) -> str:
    lines = ["### The first of each ranking", ""]
    names = ("task", "candidate", "error by 200 labels", "held out, ridge (rank)", "kNN (rank)")
    rows = []
    for task, label in _TASKS.items():
        own = ranking[ranking["task"] == task].sort_values("rank").head(_SHOWN)
        for row in own.to_dict("records"):
            ridge = f"{row['ridge']:.3f} ({row['ridge_low']:.3f} to {row['ridge_high']:.3f})"
            rows.append(
                (
                    label,
                    f"`{row['candidate']}`",
                    f"{row['value']:.3f}",
                    f"{ridge}, {row['ridge_rank']:.0f}",
                    f"{row['knn']:.3f}, {row['knn_rank']:.0f}",
                )
            )
    return "\n".join([*lines, *_table(names, rows), ""])


def _quality(quality: pd.DataFrame) -> str:
    own = quality[(quality["truth"] == _TRUTH) & (quality["among"] == "all candidates")]
    trained = quality[(quality["truth"] == _TRUTH) & (quality["among"] == "trained candidates")]
    rows = []
    for criterion in own["criterion"].drop_duplicates():
        found = own[own["criterion"] == criterion].set_index("task")
        cells = [_interval(found.loc[task]) for task in _TASKS]
        of_trained = trained[trained["criterion"] == criterion]["spearman"].mean()
        means = (f"{found['spearman'].mean():+.2f}", f"{of_trained:+.2f}")
        rows.append((f"`{criterion}`", *cells, *means))
    names = ("criterion", *_TASKS.values(), "mean", "mean, trained candidates alone")
    text = "Rank correlation (95 % interval) of each criterion with the held-out errors of ridge."
    return "\n".join(["### How well criteria rank", "", text, "", *_table(names, rows), ""])


def _left_out(left: pd.DataFrame) -> str:
    rows = []
    own = left[(left["truth"] == _TRUTH) & (left["chosen_on"] == "other tasks")]
    for rule, found in own.groupby("rule", sort=False):
        tasks = found.set_index("task")
        cells = [_interval(tasks.loc[name]) for name in (*_TASKS, _MEAN)]
        rows.append((rule, *cells, f"{tasks.loc[_MEAN, 'regret']:.0%}"))
    names = ("criterion chosen on the other three tasks", *_TASKS.values(), "mean", "mean regret")
    text = "Regret: how much worse the chosen encoder is than the best one."
    return "\n".join(["### One task left out", "", text, "", *_table(names, rows), ""])


def _interval(row: Any) -> str:
    if pd.isna(row.spearman):
        return ""
    ends = "" if pd.isna(row.low) else f" ({row.low:+.2f} to {row.high:+.2f})"
    return f"{row.spearman:+.2f}{ends}"


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [f"| {' | '.join(names)} |", "|" + " --- |" * len(names)]
    return [*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(f"wrote {write_part('selection', part(Path(sys.argv[1])))}")
