"""Writes the part of docs/results.md about networks that were trained here.

Usage:
    python scripts/training_doc.py WORKDIR

WORKDIR is that of a finished `jaxalign train`. The other parts of the page stay as they are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from results_page import write_part

from jaxalign.analysis.claims.claims_table import claims_markdown
from jaxalign.analysis.claims.convergence import read_trajectories
from jaxalign.analysis.claims.study import Study, load_study
from jaxalign.analysis.convergence.slopes import exceptions, select
from jaxalign.analysis.convergence.trajectories import OTHER_ARCHITECTURES
from jaxalign.launch.distilling import FACT as DISTILLATION

_HEAD = """## Networks that were trained here

Written by `python scripts/training_doc.py WORKDIR` from what

    {command}

made on {date}: networks of four kinds learn the energies of QM9 beyond composition, and every
checkpoint is compared with models that stay as they are (see `configs/convergence.py` for all
settings, and `jaxalign/analysis/claims/convergence.py` for the rules, written before the numbers
were seen).
"""
_EXCEPTIONS = 8  # shown


def part(study: Study, workdir: Path) -> str:
    """The text about training, tracking and distillation."""
    command = re.sub(r"--workdir[= ]\S+", "--workdir=W", study.facts["command"]).replace(
        " --noprogress", ""
    )
    head = _HEAD.format(command=command, date=study.facts["date"])
    parts = [
        head,
        _machine(study),
        _findings(study),
        _errors(workdir),
        _levels(study),
        _claims(study),
    ]
    parts += [_exceptions(study), _distillation(study)]
    return "\n".join(text for text in parts if text)


def _machine(study: Study) -> str:
    machine = study.facts["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['platform']}; Python {machine['python']}, {versions}.\n"
    )


def _errors(workdir: Path) -> str:
    table = pd.read_parquet(workdir / "training.parquet")
    rows = []
    for name, own in table.groupby("network", sort=False):
        test = own["test_mae_ev"].dropna()
        seconds = own["seconds"].mean()
        rows.append(
            (
                name,
                f"{own['parameters'].iloc[0]:,.0f}",
                len(test),
                f"{1000 * own['validation_mae_ev'].mean():.1f}",
                f"{1000 * test.mean():.1f} ({1000 * test.min():.1f} to {1000 * test.max():.1f})",
                f"{own['best_step'].mean():,.0f}",
                f"{seconds:.0f}",
            )
        )
    names = ("network", "parameters", "seeds", "validation error (meV)")
    names += ("test error (meV), range over seeds", "best step", "seconds a run")
    total = table["seconds"].sum() / 60
    lines = ["### Errors", "", *_table(names, rows), ""]
    return "\n".join([*lines, f"All runs together took {total:.0f} minutes.", ""])


def _findings(study: Study) -> str:
    """What a reader should take along, in sentences made of the numbers below."""
    lines, tests = ["### What came out", ""], study.claims["p"].notna().sum()
    for claim in study.claims.itertuples():
        if "over training" in claim.tested and np.isfinite(claim.low):
            reference = claim.tested.split(" with ")[1].split(" per ")[0]
            lines.append(
                f"* {claim.data}: while networks train, alignment to {reference} changes by "
                f"{-claim.estimate:+.3f} ({-claim.high:+.3f} to {-claim.low:+.3f}; p = "
                f"{claim.p:.2g}, q = {claim.q:.2g} among {tests} tests) per tenfold "
                f"fall of the error: {claim.verdict}; {claim.reason}."
            )
    lines += [f"* {text}" for text in _composition(study)]
    fact = _distilled(study)
    if fact is not None:
        counts = pd.DataFrame(dict(fact["comparisons"]))["verdict"].value_counts()
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        lines.append(f"* Distillation, {counts.sum()} comparisons with the student alone: {told}.")
    return "\n".join([*lines, ""])


def _composition(study: Study) -> list[str]:
    """How far networks leave what counting atoms says."""
    told = []
    for name, run in study.alignments.items():
        table = read_trajectories(run)
        own = table[(table["reference"] == "composition") & (table["metric"] == "cknna")]
        if len(own):
            first, last = own[own["step"] == 0]["calibrated"], own[own["last"]]["calibrated"]
            told.append(
                f"{name}: alignment to composition goes from {_mean(first)} (untrained, mean over "
                f"runs) to {_mean(last)} (trained)."
            )
    return told


def _distilled(study: Study) -> dict[str, Any] | None:
    facts = [run.diagnostics.get(DISTILLATION) for run in study.alignments.values()]
    return next((found for found in facts if found), None)


def _levels(study: Study) -> str:
    """Alignment before and after training, by data set, architecture and reference."""
    rows, references = [], []
    for name, run in study.alignments.items():
        table = read_trajectories(run)
        own = table[table["metric"] == "cknna"]
        references = list(dict.fromkeys(own["reference"]))
        for architecture, found in own.groupby("architecture", sort=False):
            cells = [_before_and_after(found[found["reference"] == r]) for r in references]
            rows.append((name, architecture, *cells))
    text = (
        "Calibrated CKNNA to each reference, mean over runs, untrained → trained; ± is the mean "
        "half width of the 95 % intervals (choice of molecules) of the trained networks."
    )
    names = ("data set", "architecture", *references)
    parts = ["### Alignment before and after training", "", text, "", *_table(names, rows), ""]
    return "\n".join([*parts, *_dimensions(study)])


def _before_and_after(rows: pd.DataFrame) -> str:
    first, last = rows[rows["step"] == 0], rows[rows["last"]]
    width = float((last["high"] - last["low"]).mean() / 2)
    half = f" ± {width:.3f}" if np.isfinite(width) else ""
    return f"{_mean(first['calibrated'])} → {_mean(last['calibrated'])}{half}"


def _dimensions(study: Study) -> list[str]:
    rows = []
    for name, run in study.alignments.items():
        table = read_trajectories(run)
        single = table[table["reference"] == ""]
        for (metric, architecture), own in single.groupby(["metric", "architecture"], sort=False):
            first, last = own[own["step"] == 0]["value"], own[own["last"]]["value"]
            rows.append((name, metric, architecture, _mean(first, 1), _mean(last, 1)))
    names = ("data set", "estimator", "architecture", "untrained", "trained")
    return ["Intrinsic dimension, mean over runs:", "", *_table(names, rows), ""]


def _claims(study: Study) -> str:
    return "### Does alignment rise as the error falls?\n\n" + claims_markdown(study.claims)


def _exceptions(study: Study) -> str:
    rows, counts = [], []
    for name, run in study.alignments.items():
        lost = exceptions(select(read_trajectories(run), reference=OTHER_ARCHITECTURES))
        counts.append(f"{name}: {int(lost['clear'].sum())} clear ones")
        for row in lost.head(_EXCEPTIONS).to_dict("records"):
            span = f"{row['from_step']:,} to {row['to_step']:,}"
            errors = f"{1000 * row['error_before']:.0f} → {1000 * row['error_after']:.0f}"
            values = f"{row['alignment_before']:.3f} → {row['alignment_after']:.3f}"
            clear = "yes" if row["clear"] else "no"
            rows.append((name, row["run"], span, errors, values, clear))
    names = ("data set", "run", "updates", "error (meV)", "alignment", "beyond both intervals")
    text = (
        "Stretches of training in which the error fell and alignment to the other architectures "
        f"fell too ({'; '.join(counts)}); the greatest losses of each data set:"
    )
    return "\n".join(["### Counterexamples", "", text, "", *_table(names, rows), ""])


def _distillation(study: Study) -> str:
    fact = _distilled(study)
    if fact is None:
        return ""
    runs, compared = (pd.DataFrame(dict(fact[name])) for name in ("runs", "comparisons"))
    learned = runs.groupby(["student", "labels", "arm"])["cka"].mean()
    rows = []
    for row in compared.to_dict("records"):
        case = (row["student"], row["labels"])
        known = row["low"] is not None
        rows.append(
            (
                row["student"],
                f"{row['labels']:,}",
                row["arm"],
                row["seeds"],
                f"{1000 * row['alone_mae_ev']:.1f}",
                f"{1000 * row['mae_ev']:.1f}",
                f"{row['ratio']:.3f}",
                f"{row['low']:.3f} to {row['high']:.3f}" if known else "",
                f"{row['p_holm']:.2g}" if known else "",
                f"{learned[(*case, 'alone')]:.2f} → {learned[(*case, row['arm'])]:.2f}",
                f"**{row['verdict']}**",
            )
        )
    names = ("student", "labels", "arm", "seeds", "alone (meV)", "with teacher (meV)", "ratio")
    names += ("95 % interval", "p (Holm)", "CKA with the teacher", "")
    text = (
        f"Students learn {fact['label']} beyond composition with and without the geometry of a "
        f"teacher, {fact['training']['steps']:,} updates in every arm; ratios of test errors are "
        "paired by the seed."
    )
    return "\n".join(["### Distillation", "", text, "", *_table(names, rows), ""])


def _mean(values: pd.Series, digits: int = 3) -> str:
    known = values[np.isfinite(values)]
    return f"{known.mean():.{digits}f}" if len(known) else ""


def _table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [f"| {' | '.join(names)} |", "|" + " --- |" * len(names)]
    return [*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    print(f"wrote {write_part('training', part(load_study(folder), folder))}")
