"""All claims of a study in one table: one row a test, and one verdict a claim."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from jaxalign.analysis.claims import (
    accuracy,
    convergence,
    dimension,
    distribution,
    grouping,
    modalities,
    neighborhoods,
)
from jaxalign.analysis.claims.claim import VERDICTS, Claim, combined_verdict
from jaxalign.analysis.claims.study_runs import StudyRuns
from jaxalign.significance.p_values import false_discovery

CLAIMS: Mapping[str, Callable[[StudyRuns], list[Claim]]] = MappingProxyType(
    {
        "T1": dimension.published_dimension,
        "T2": dimension.higher_dimension,
        "T3": neighborhoods.growth_with_k,
        "T4": neighborhoods.metrics_agree,
        "T5": grouping.families_align,
        "T6": modalities.strings_and_structures,
        "T7": distribution.what_groups_models,
        "T8": distribution.less_information,
        "T9": accuracy.accuracy_and_alignment,
        "T10": grouping.tree_recovers_families,
        "T11": modalities.proteins_align_more,
    }
)
"""The published claims."""

OF_TRAINING: Mapping[str, Callable[[StudyRuns], list[Claim]]] = MappingProxyType(
    {"T9b": convergence.training_and_alignment}
)
"""What networks that were trained here, with all their checkpoints, can be asked beyond these."""

_LEAST_P = 1e-6  # smaller ones say no more, and depend on the far tail of a null
COLUMNS = (*(field.name for field in dataclasses.fields(Claim)), "q")


def claims_table(runs: StudyRuns) -> pd.DataFrame:
    """Tests every claim on the runs of a study.

    Args:
      runs: alignments of several data sets, or of one: what it cannot test is said. If they hold
        trajectories of training, the claims are those of `OF_TRAINING`, else the published ones.

    Returns:
      One row a test, in the order of the claims: the fields of `Claim`, and `q`, the
      Benjamini-Hochberg value of its p among those of all tests of the table.
    """
    trained = any(convergence.FACT in run.diagnostics for run in runs.alignments.values())
    tests = (OF_TRAINING if trained else CLAIMS).values()
    rows = [dataclasses.asdict(claim) for test in tests for claim in test(runs)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.assign(q=false_discovery(table["p"].to_numpy(np.float64)))


def verdict_table(claims: pd.DataFrame) -> pd.DataFrame:
    """One row a claim.

    Args:
      claims: of `claims_table`.

    Returns:
      `claim`, `statement`, `verdict` (that of all tests that could be made; `mixed` if they
      disagree) and `tests`: how many came out how, in words.
    """
    rows = []
    for name, tests in claims.groupby("claim", sort=False):
        found = tests["verdict"].tolist()
        counts = [f"{found.count(v)} {v}" for v in VERDICTS if v in found]
        rows.append(
            {
                "claim": name,
                "statement": tests["statement"].iloc[0],
                "verdict": combined_verdict(found),
                "tests": ", ".join(counts),
            }
        )
    return pd.DataFrame(rows, columns=["claim", "statement", "verdict", "tests"])


def claims_markdown(claims: pd.DataFrame) -> str:
    """The claims as Markdown: the verdicts, then every test with its numbers.

    Args:
      claims: of `claims_table`.
    """
    verdicts = verdict_table(claims)
    lines = ["| claim | statement | verdict | tests |", "| --- | --- | --- | --- |"]
    lines += [_row(row) for row in verdicts.itertuples(index=False)]
    for name, tests in claims.groupby("claim", sort=False):
        first = tests.iloc[0]
        verdict = verdicts.set_index("claim").loc[name, "verdict"]
        lines += ["", f"### {name}: {verdict}", "", first["statement"], ""]
        lines += [f"*What this covers.* {first['covers']}", ""]
        lines += ["| data | tested | models | n | estimate | 95 % interval | p | q | verdict | |"]
        lines += ["|" + " --- |" * 10]
        lines += [_row(_cells(test)) for _, test in tests.iterrows()]
    return "\n".join(lines) + "\n"


def _cells(test: pd.Series) -> list[str]:
    interval = ""
    if math.isfinite(test["low"]) and math.isfinite(test["high"]):
        interval = f"{_number(test['low'])} to {_number(test['high'])}"
    n = f"{test['n']:,}" if test["n"] else ""
    chance = ["" if math.isnan(test[name]) else _p_value(test[name]) for name in ("p", "q")]
    numbers = [n, _number(test["estimate"]), interval, *chance]
    words = [test["data"], test["tested"], test["models"]]
    return [*words, *numbers, f"**{test['verdict']}**", test["reason"]]


def _row(cells) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _p_value(p: float) -> str:
    return f"{p:.2g}" if p >= _LEAST_P else f"< {_LEAST_P:g}"


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
