"""Writes the part of docs/results.md about the published claims, from a finished study.

Usage:
    python scripts/results_doc.py WORKDIR
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from results_page import write_part

from jaxalign.analysis.claims.claims_table import claims_markdown
from jaxalign.analysis.claims.study import Study, load_study
from jaxalign.analysis.claims.study_runs import compared, structure_count

_HEAD = """# Do models of matter converge?

Eleven claims of Edamadaka, Yang, Li and Gómez-Bombarelli (arXiv:2512.03750, 2025), tested with the
encoders and data at hand. Written by `python scripts/results_doc.py WORKDIR` from the study that

    {command}

made on {date}. Verdicts follow from the interval of each test by rules that stand in the docstrings
of `jaxalign/analysis/claims/`, written before the numbers were seen (but for one, that of T10, made
stricter afterwards: see there): *supported*, the interval lies on the side of the claim; *not
supported*, on the other side; *inconclusive*, it covers the border; *mixed*, tests of one claim
disagree; *not testable here*, models, data or labels are missing. p is that of a single test, q the
same corrected for the number of tests in this part (Benjamini–Hochberg). The k of every metric, the
weights, the data and the seeds are in the config.

"""


def page(study: Study) -> str:
    """The text of docs/results.md."""
    facts = study.facts
    # The folder of this run says nothing to others.
    command = re.sub(r"--workdir[= ]\S+", "--workdir=W", facts["command"])
    head = _HEAD.format(command=command, date=facts["date"])
    verdicts = "\n## Verdicts\n\n" + claims_markdown(study.claims)
    return head + _runs(study) + _against(study) + verdicts


def _against(study: Study) -> str:
    """The findings that contradict what was published."""
    found = study.claims[study.claims["verdict"] == "not supported"]
    lines = ["", "## What contradicts the publication", ""]
    lines += [
        f"* {row.claim}, {row.data}: {row.tested}: {row.estimate:.2f} "
        f"({row.low:.2f} to {row.high:.2f}). Published: {row.statement}"
        for row in found.itertuples()
    ]
    return "\n".join(lines if len(found) else [*lines, "No test."]) + "\n"


def _runs(study: Study) -> str:
    names = ("data set", "structures", "trained encoders", "other models", "minutes of embedding")
    lines = ["## Runs", "", f"| {' | '.join(names)} |", "|" + " --- |" * len(names)]
    for name, run in study.alignments.items():
        trained = compared(run)
        minutes = _minutes(run.diagnostics["embedding"].values())
        others = len(run.cards) - len(trained)
        lines.append(
            f"| {name} | {structure_count(run):,} | {len(trained)} | {others} | {minutes:.1f} |"
        )
    machine = study.facts["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    trained = {name for run in study.alignments.values() for name in compared(run)}
    lines += [
        "",
        f"{len(trained)} trained encoders in all. Minutes are those of the calls that computed the "
        "rows, the last of which may have been an earlier one.",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['platform']}; Python {machine['python']}, {versions}.",
    ]
    for name, reason in study.facts["failed"].items():
        lines.append(f"{name} is left out: {reason}.")
    return "\n".join(lines) + "\n"


def _minutes(costs: Iterable[str]) -> float:
    """Sum over models of rows / rate, as a run records them: "2,000 rows at 166 a second, …"."""
    found = [re.match(r"([\d,]+) rows at ([\d,.]+) a second", cost) for cost in costs]
    numbers = [[float(part.replace(",", "")) for part in f.groups()] for f in found if f]
    return sum(rows / rate for rows, rate in numbers) / 60


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(f"wrote {write_part('claims', page(load_study(sys.argv[1])))}")
