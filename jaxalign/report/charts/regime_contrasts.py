"""The same models in data sets that they are at home in and in others: scores pair by pair."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from jaxalign.analysis.claims.study_runs import Cohort, StudyRuns, blocks, cohorts, pair_table
from jaxalign.analysis.relations.labeled_scores import both_directions, labeled, read_scores
from jaxalign.analysis.relations.model_labels import labels_of, model_labels, same_label
from jaxalign.analysis.relations.regimes import RegimeShift, grouping_effects, regime_shift
from jaxalign.report.charts import reading
from jaxalign.report.vocabulary import labels

_PERMUTATIONS = 999


@dataclasses.dataclass(frozen=True, eq=False)
class RegimeContrast:
    """One cohort with its scores.

    Attributes:
      cohort: models and data sets.
      runs: data set → matrix over the cohort's models.
      scores: what the matrices hold.
      pairs: the pairs inside and outside.
    """

    cohort: Cohort
    runs: Mapping[str, xr.DataArray]
    scores: reading.Scores
    pairs: pd.DataFrame

    @property
    def slug(self) -> str:
        """Part of names of figures."""
        return labels.slug(self.cohort.inside.lower())

    @property
    def words(self) -> str:
        """The data sets in words."""
        return f"{self.cohort.inside} against {labels.joined(self.cohort.outside)}"


def regime_contrasts(report: reading.Report) -> tuple[StudyRuns, list[RegimeContrast]]:
    """Every cohort of the report, with the data sets as the claims read them.

    Args:
      report: all data sets; those without the fact `reading.HOME` are home to no model.
    """
    study = _study(report)
    found = (_contrast(report, study, cohort) for cohort in cohorts(study))
    return study, [contrast for contrast in found if contrast is not None]


def _study(report: reading.Report) -> StudyRuns:
    """The data sets as the claims read them; those without the fact are home to no model."""
    runs = {source.name: source.alignment for source in report.sources}
    facts = {name: run.diagnostics for name, run in runs.items()}
    home = {name: tuple(own[reading.HOME]) for name, own in facts.items() if own.get(reading.HOME)}
    corpora = {m: c for own in facts.values() for m, c in (own.get(reading.CORPORA) or {}).items()}
    return StudyRuns(runs if home else {}, home, corpora)


def _contrast(report: reading.Report, study: StudyRuns, cohort: Cohort) -> RegimeContrast | None:
    names = (cohort.inside, *cohort.outside)
    sources = {source.name: source for source in report.sources if source.name in names}
    found = _comparable([sources[name] for name in names])
    if not found:
        return None
    runs = {
        name: reading.chosen_scores(scores, cohort.models)
        for name, scores in zip(names, found, strict=True)
    }
    pairs = _pairs(runs, cohort)
    for by in ("family", "modality"):
        own = model_labels({name: study.cards[name] for name in cohort.models}, by)
        pairs[f"same_{by}"] = _same(pairs, own)
    pairs["same_training_data"] = _same(pairs, study.corpora(cohort.models))
    return RegimeContrast(cohort, runs, found[0], pairs)


def _comparable(sources: Sequence[reading.Source]) -> list[reading.Scores]:
    """Scores of one metric and kind, calibrated if all data sets have these; none else."""
    for calibrated in (True, False):
        found = [reading.similarity(source, calibrated=calibrated) for source in sources]
        if None not in found and len({(s.axis, s.metric) for s in found}) == 1:
            return found
    return []


def _pairs(runs: Mapping[str, xr.DataArray], cohort: Cohort) -> pd.DataFrame:
    """Pairs inside and, averaged over data sets, outside; both directions are averaged."""
    read = {name: read_scores(matrix) for name, matrix in runs.items()}
    names = read[cohort.inside][0]
    symmetric = {name: both_directions(values) for name, (_, values) in read.items()}
    outside = np.mean([symmetric[name] for name in cohort.outside], axis=0)
    inside = labeled(names, symmetric[cohort.inside], "inside")
    return pair_table(inside, labeled(names, outside, "outside"))


def _same(pairs: pd.DataFrame, own: Mapping[str, str]) -> list[bool]:
    sides = zip(pairs["model_a"], pairs["model_b"], strict=True)
    return [bool(own[a]) and own[a] == own[b] for a, b in sides]


def regime_effects(contrast: RegimeContrast, study: StudyRuns) -> pd.DataFrame:
    """What groups models, in each data set, in both regimes and in their difference."""
    models = contrast.cohort.models
    cards = {name: study.cards[name] for name in models}
    groups = {
        "family": model_labels(cards, "family"),
        "training data": study.corpora(models),
        "modality": model_labels(cards, "modality"),
    }
    varied = {
        name: own
        for name, own in groups.items()
        if same_label(labels_of(models, own)).sum() - _own(own, models) > 0
        and len(set(own.values())) > 1
    }
    if not varied:
        return pd.DataFrame(columns=["scope", "term", "coefficient", "low", "high", "p", "reason"])
    regimes = dict.fromkeys(contrast.runs, "out") | {contrast.cohort.inside: "in"}
    alone = {name: name for name in models}  # a reason for want of an interval names the model
    settings = {"clusters": alone, "permutations": _PERMUTATIONS}
    return grouping_effects(contrast.runs, regimes, varied, **settings)


def _own(own: Mapping[str, str], models: Sequence[str]) -> int:
    """Models with a label: each shares it with itself."""
    return sum(bool(own[name]) for name in models)


def regime_shifts(
    report: reading.Report, contrast: RegimeContrast, study: StudyRuns
) -> Iterator[tuple[str, RegimeShift]]:
    """The change of all pairs, of those of one kind, and of the information imbalance."""
    clusters, pairs = blocks(contrast.cohort.models, study.cards), contrast.pairs
    yield contrast.scores.axis, regime_shift(pairs, clusters=clusters)
    for by in ("family", "training data", "modality"):
        same = pairs[f"same_{by.replace(' ', '_')}"]
        for chosen, words in ((same, f"pairs of one {by}"), (~same, f"pairs of two: {by}")):
            if chosen.any() and not chosen.all():
                yield words, regime_shift(pairs[chosen], clusters=clusters)
    names = (contrast.cohort.inside, *contrast.cohort.outside)
    known = {source.name: source.alignment for source in report.sources if source.name in names}
    if all("information_imbalance" in run.metrics for run in known.values()):
        models = list(contrast.cohort.models)
        runs = {
            name: known[name].matrix("information_imbalance").sel(model_a=models, model_b=models)
            for name in names
        }
        imbalance = _pairs(runs, contrast.cohort)
        yield "information imbalance", regime_shift(imbalance, clusters=clusters)
