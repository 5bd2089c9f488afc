"""T9b: does alignment rise as the error falls, when training and size alone make it fall?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pandas as pd

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.claims.claim import Claim, Statement, judged, side_of_zero, untestable
from jaxalign.analysis.claims.intervals import Estimate, mean_estimate
from jaxalign.analysis.claims.study_runs import StudyRuns, first_k, structure_count
from jaxalign.analysis.convergence.slopes import (
    exceptions,
    run_slopes,
    select,
    slopes_by_architecture,
)
from jaxalign.analysis.convergence.trajectories import OTHER_ARCHITECTURES
from jaxalign.analysis.relations.performance import error_slopes

T9B = Statement(
    "T9b",
    "Alignment rises as the error falls: while a network trains, as it grows, and from network to "
    "network.",
    "Not published: the paper compares finished models alone. Small networks of several "
    "architectures, trained here on energies of QM9; errors are those on molecules kept out of "
    "training, whatever structures the alignment is of.",
)
FACT = "trajectories"
PRETRAINED = "pretrained"
_LEAST_ARCHITECTURES = 3


def training_and_alignment(runs: StudyRuns) -> list[Claim]:
    """T9b. Slope of calibrated CKNNA against log₁₀ of the validation error, three times.

    Over training (mean slope of the runs of an architecture), over sizes (slope over the last
    checkpoints of an architecture), and over networks (all last checkpoints). Alignment is that to
    the last networks of all other architectures, and to pretrained models. Rule: with the 95 %
    interval over architectures (Student's t of their slopes; for networks, a jackknife over
    architectures), supported if it lies below 0, not supported if above. p is one-sided.
    """
    found = []
    for name, run in runs.alignments.items():
        if FACT in run.diagnostics:
            table = read_trajectories(run)
            for reference in (OTHER_ARCHITECTURES, PRETRAINED):
                rows = select(table, reference=reference)
                found += [test(name, run, rows, reference) for test in _TESTS] if len(rows) else []
    return found


def read_trajectories(run: Alignment) -> pd.DataFrame:
    """The table of trajectories that a run keeps among its facts; no rows if it keeps none."""
    facts: Mapping | None = run.diagnostics.get(FACT)
    if not facts:
        return pd.DataFrame()
    table = pd.DataFrame(dict(facts))
    numbers = ("error_ev", "value", "calibrated", "low", "high")
    return table.astype(dict.fromkeys(numbers, float) | {"last": bool})


def trajectory_facts(table: pd.DataFrame) -> dict[str, list]:
    """A table of trajectories as plain values: column → list, None for NaN."""
    plain = table.astype(object).where(table.notna(), None)
    return {str(name): plain[name].tolist() for name in plain}


def _training(name: str, run: Alignment, rows: pd.DataFrame, reference: str) -> Claim:
    slopes = slopes_by_architecture(rows, over="training")
    each = run_slopes(rows)["slope"].dropna()
    rising = int((each >= 0).sum())
    lost = exceptions(rows)
    remark = (
        f"{rising} of {len(each)} runs have no falling slope; in {int(lost['clear'].sum())} runs "
        "alignment fell clearly over some stretch while the error fell"
    )
    return _mean_claim(name, run, rows, reference, slopes, "over training", remark)


def _sizes(name: str, run: Alignment, rows: pd.DataFrame, reference: str) -> Claim:
    slopes = slopes_by_architecture(rows, over="sizes")
    remark = "; ".join(f"{architecture} {value:+.3f}" for architecture, value in slopes.items())
    return _mean_claim(name, run, rows, reference, slopes, "over sizes", remark)


def _networks(name: str, run: Alignment, rows: pd.DataFrame, reference: str) -> Claim:
    ends = rows[rows["last"]]
    points = pd.DataFrame(
        {
            "model": ends["model"],
            "family": ends["architecture"],
            "error": ends["error_ev"],
            "alignment": ends["calibrated"],
            "reference": False,
        }
    )
    row = error_slopes(points, alternative="less").iloc[0]
    found = Estimate(row["slope"], row["low"], row["high"], row["p_blocked"])
    words = "over networks; jackknife over architectures"
    spearman = "" if math.isnan(row["spearman"]) else f"Spearman {row['spearman']:+.2f}"
    remark = "; ".join(part for part in (spearman, str(row["reason"])) if part)
    return _claim(name, run, ends, reference, found, words, remark)


_Test = Callable[[str, Alignment, pd.DataFrame, str], Claim]
_TESTS: tuple[_Test, ...] = (_training, _sizes, _networks)


def _mean_claim(
    name: str,
    run: Alignment,
    rows: pd.DataFrame,
    reference: str,
    slopes: pd.Series,
    over: str,
    remark: str,
) -> Claim:
    words = f"{over}; t over {len(slopes)} architectures"
    if len(slopes) < _LEAST_ARCHITECTURES:
        reason = f"{len(slopes)} architectures with a slope, of at least {_LEAST_ARCHITECTURES}"
        tested = _tested(run, reference, words)
        return untestable(T9B, reason, tested=tested, data=name, n=structure_count(run))
    fallen = mean_estimate(-slopes.to_numpy(float))  # its p is of a mean above 0
    found = Estimate(-fallen.value, -fallen.high, -fallen.low, fallen.p)
    return _claim(name, run, rows, reference, found, words, remark)


def _claim(
    name: str,
    run: Alignment,
    rows: pd.DataFrame,
    reference: str,
    found: Estimate,
    over: str,
    remark: str,
) -> Claim:
    counts = rows.groupby("architecture", sort=False)["run"].nunique()
    parts = ", ".join(f"{architecture} {count}" for architecture, count in counts.items())
    return judged(
        T9B,
        tested=_tested(run, reference, over),
        models=f"{rows['run'].nunique()} runs: {parts}",
        data=name,
        n=structure_count(run),
        estimate=found.value,
        low=found.low,
        high=found.high,
        p=found.p,
        verdict=side_of_zero(found.low, found.high, positive=False),
        reason=remark,
    )


def _tested(run: Alignment, reference: str, over: str) -> str:
    return (
        f"slope of calibrated CKNNA (k = {first_k(run, 'cknna')}) with {reference} per tenfold "
        f"validation error, {over}"
    )
