"""T9: does alignment to the best model rise as the error of its energies falls?"""

from __future__ import annotations

import math

import pandas as pd

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.claims.claim import (
    Claim,
    NotTestableError,
    Statement,
    describe_models,
    judged,
    side_of_zero,
    untestable,
)
from jaxalign.analysis.claims.study_runs import (
    StudyRuns,
    compared,
    families,
    first_k,
    scores,
    structure_count,
)
from jaxalign.analysis.relations.performance import alignment_to_best, error_slopes

T9 = Statement(
    "T9",
    "Alignment to the best model rises as the error of predicted energies falls.",
    "Molecular and MPtrj potentials on QM9 and relaxed crystals, against labels of another level "
    "of theory than most were trained on; OMat24 and OMol25 are not at hand.",
)
FACT = "energy_errors"


def accuracy_and_alignment(runs: StudyRuns) -> list[Claim]:
    """T9. Slope of CKNNA with the best potential against log₁₀ of the composition-corrected error.

    The best potential itself is left out. Rule, for every data set with labels of energies:
    supported if the interval of the slope (jackknife over families) lies below 0, not supported if
    above; not testable with fewer than three families, for members of a family are near copies.
    p is one-sided, of the same jackknife.
    """
    found = [
        _slope(name, run) for name, run in runs.alignments.items() if run.diagnostics.get(FACT)
    ]
    return found or [untestable(T9, "no run has predicted energies and labels of energies")]


def _slope(name: str, run: Alignment) -> Claim:
    tested = "slope of CKNNA with the best potential per tenfold error of energies"
    errors = {
        str(record["model"]): float(value)
        for record in run.diagnostics[FACT]
        if (value := record["mae_ev_per_atom"]) is not None
    }
    models = [m for m in compared(run) if math.isfinite(errors.get(m, math.nan))]
    try:
        matrix = scores(run, "cknna", models)
    except NotTestableError as error:
        return untestable(T9, f"{error} with an error of energies", tested=tested, data=name)
    points = alignment_to_best(matrix, errors, families(models, run.cards))
    slopes = error_slopes(points, alternative="less")
    row, apart = slopes.iloc[0], slopes.iloc[1]
    if math.isnan(row["low"]):
        slope = "" if math.isnan(row["slope"]) else f"; slope {row['slope']:+.3f}, not judged"
        reason = f"{row['reason']}{slope}"
        return untestable(T9, reason, tested=tested, data=name, n=structure_count(run))
    best = points[points["reference"]].iloc[0]
    return judged(
        T9,
        tested=f"{tested} (k = {first_k(run, 'cknna')}); jackknife over families, best left out",
        models=describe_models(models, run.cards),
        data=name,
        n=structure_count(run),
        estimate=float(row["slope"]),
        low=float(row["low"]),
        high=float(row["high"]),
        p=float(row["p_blocked"]),
        verdict=side_of_zero(row["low"], row["high"], positive=False),
        reason=f"best: {best['model']}, {1000 * best['error']:.1f} meV per atom; Spearman "
        f"{row['spearman']:+.2f}; without the family of the best: {_remark(apart)}",
    )


def _remark(row: pd.Series) -> str:
    """The slope of a selection of models, or why there is none, in words."""
    if math.isnan(row["slope"]):
        return str(row["reason"])
    interval = "" if math.isnan(row["low"]) else f" ({row['low']:+.3f} to {row['high']:+.3f})"
    return f"slope {row['slope']:+.3f}{interval}, {row['models']} models"
