"""T7 and T8: what groups models in and out of distribution, and how much they tell of each other.

Compared are cohorts: the same models in a data set that they are at home in and in others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float64

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
    Cohort,
    StudyRuns,
    cohorts,
    families,
    first_k,
    pair_table,
    scores,
    structure_count,
)
from jaxalign.analysis.relations.labeled_scores import both_directions, complete_models, read_scores
from jaxalign.analysis.relations.matrix_regression import matrix_regression
from jaxalign.analysis.relations.model_labels import labels_of, same_label
from jaxalign.analysis.relations.regimes import REGIMES, regime_means, regime_shift

T7 = Statement(
    "T7",
    "In distribution models group by training data, out of distribution by architecture.",
    "In distribution: relaxed crystals for potentials of MPtrj, drug-like molecules for encoders "
    "of reactions and ADMET data, QM9 for molecular potentials. Out: rattled and strained copies, "
    "ligands of proteins, and QM9 for models of other matter. OMat24, OMol25 and the potentials "
    "trained on them are not at hand.",
)
T8 = Statement(
    "T8",
    "Out of distribution the mean information imbalance between models is lower: representations "
    "collapse onto little information.",
    T7.covers,
)
_NO_COHORT = (
    "no data set is in distribution of at least four trained models that another data set, out of "
    "their distribution, has too"
)


def what_groups_models(runs: StudyRuns) -> list[Claim]:
    """T7. Effect of shared training data − effect of shared architecture on calibrated CKNNA.

    With x₁ and x₂ the indicators of pairs that share training data and family, the scores of all
    pairs are fitted by b₁x₁ + b₂x₂ + b₀ = (b₁ − b₂)(x₁ − x₂)/2 + (b₁ + b₂)(x₁ + x₂)/2 + b₀, so that
    b₁ − b₂ is one coefficient of a regression of matrices, with its interval (jackknife over
    models) and its p (models permuted, one-sided). Rule, for every cohort: in distribution
    supported if the interval of b₁ − b₂ lies above 0, not supported if below; out of distribution
    the other way round. Scores of several data sets are averaged.
    """
    found = []
    for cohort in cohorts(runs):
        try:
            found += list(_grouping(runs, cohort))
        except NotTestableError as error:
            found.append(untestable(T7, str(error), data=_names(cohort)))
    return found or [untestable(T7, _NO_COHORT)]


def _grouping(runs: StudyRuns, cohort: Cohort) -> Iterator[Claim]:
    for regime, matrix in _means(runs, cohort, "cknna", "calibrated").items():
        inside = regime == "in"
        data = [cohort.inside] if inside else list(cohort.outside)
        names, values = read_scores(matrix)
        values = both_directions(values)
        kept = complete_models(values)
        yield _effects(
            runs,
            [names[i] for i in kept],
            values[np.ix_(kept, kept)],
            inside=inside,
            data=", ".join(data),
            n=min(structure_count(runs.alignments[name]) for name in data),
        )


def _effects(
    runs: StudyRuns,
    models: Sequence[str],
    values: Float64[np.ndarray, "m m"],
    *,
    inside: bool,
    data: str,
    n: int,
) -> Claim:
    words = f"{'in' if inside else 'out of'} distribution"
    tested = f"{words}: effect on calibrated CKNNA of shared training data − of shared family"
    labels = (runs.corpora(models), families(models, runs.cards))
    shared = [same_label(labels_of(models, own)) for own in labels]
    effects = _effects_of(values, *shared, models=models, positive=inside)
    row = effects.iloc[0]
    if math.isnan(row["coefficient"]):
        return untestable(T7, str(row["reason"]), tested=tested, data=data, n=n)
    difference, total = effects["coefficient"].tolist()
    of_data, of_family = (total + difference) / 2, (total - difference) / 2
    return judged(
        T7,
        tested=f"{tested}; jackknife over models, models permuted",
        models=describe_models(models, runs.cards),
        data=data,
        n=n,
        estimate=float(row["coefficient"]),
        low=float(row["low"]),
        high=float(row["high"]),
        p=float(row["p"]),
        verdict=side_of_zero(row["low"], row["high"], positive=inside),
        reason=f"training data {of_data:+.3f}, family {of_family:+.3f}"
        + (f"; {row['reason']}" if row["reason"] else ""),
    )


def _effects_of(
    values: Float64[np.ndarray, "m m"],
    data: Float64[np.ndarray, "m m"],
    family: Float64[np.ndarray, "m m"],
    *,
    models: Sequence[str],
    positive: bool,
) -> pd.DataFrame:
    """The rows of b₁ − b₂ and b₁ + b₂."""
    terms = {"difference": (data - family) / 2, "sum": (data + family) / 2}
    alternative = "greater" if positive else "less"
    return matrix_regression(values, terms, alternative=alternative, clusters=models)


def less_information(runs: StudyRuns) -> list[Claim]:
    """T8. Mean information imbalance in distribution − out of distribution, over the same pairs.

    The imbalance of a pair is the mean of both directions. Rule, for every cohort: supported if the
    interval (jackknife over models) lies above 0, not supported if below; p of its t statistic,
    two-sided.
    """
    found = []
    for cohort in cohorts(runs):
        try:
            found.append(_shift(runs, cohort))
        except NotTestableError as error:
            found.append(untestable(T8, str(error), data=_names(cohort)))
    return found or [untestable(T8, _NO_COHORT)]


def _shift(runs: StudyRuns, cohort: Cohort) -> Claim:
    means = _means(runs, cohort, "information_imbalance", "value")
    shift = regime_shift(pair_table(means["in"], means["out"]))
    home = runs.alignments[cohort.inside]
    k = first_k(home, "information_imbalance")
    return judged(
        T8,
        tested=f"information imbalance (k = {k}), in − out of distribution; jackknife over models",
        models=describe_models(list(cohort.models), runs.cards),
        data=_names(cohort),
        n=min(structure_count(runs.alignments[d]) for d in (cohort.inside, *cohort.outside)),
        estimate=shift.difference,
        low=shift.low,
        high=shift.high,
        p=shift.p,
        verdict=side_of_zero(shift.low, shift.high),
        reason=f"in {shift.inside:.3f}, out {shift.outside:.3f}"
        + (f"; {shift.reason}" if shift.reason else ""),
    )


def _means(runs: StudyRuns, cohort: Cohort, metric: str, column: str) -> dict[str, xr.DataArray]:
    """Regime → mean matrix over its data sets, of the models of a cohort."""

    def of(name: str) -> xr.DataArray:
        run: Alignment = runs.alignments[name]
        matrix = scores(run, metric, cohort.models, column=column)
        if not np.isfinite(both_directions(read_scores(matrix)[1])).any():
            raise NotTestableError(f"{name} has no {column} of {metric}")
        return matrix

    regimes = {cohort.inside: "in", **dict.fromkeys(cohort.outside, "out")}
    matrices = {f"run {name}": of(name) for name in regimes}
    means = regime_means(matrices, {f"run {name}": regime for name, regime in regimes.items()})
    return {regime: means[regime] for regime in REGIMES}


def _names(cohort: Cohort) -> str:
    return f"{cohort.inside} / {', '.join(cohort.outside)}"
