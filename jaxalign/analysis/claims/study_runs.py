"""What the claims are tested on: the alignments of several data sets, and facts about their models.

A cohort is a set of models that are at home in one data set, with the data sets where the same
models are not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.claims.claim import NotTestableError
from jaxalign.analysis.relations.labeled_scores import score_matrix
from jaxalign.analysis.relations.model_labels import compared_models, model_labels
from jaxalign.models.card import ModelCard

LEAST_MODELS = 4
_LEAST_FAMILIES = 3


@dataclasses.dataclass(frozen=True, eq=False)
class StudyRuns:
    """The runs of a study.

    Attributes:
      alignments: data set → its alignment.
      in_distribution_of: data set → models whose training data are of its kind.
      training_data: model → corpus, where its card does not say it in one comparable word.
    """

    alignments: Mapping[str, Alignment]
    in_distribution_of: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    training_data: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def cards(self) -> dict[str, ModelCard]:
        """Cards of all models of all runs."""
        return {name: card for run in self.alignments.values() for name, card in run.cards.items()}

    def corpora(self, names: Sequence[str]) -> dict[str, str]:
        """Model → training corpus: as stated, else what its card names first."""
        guessed = model_labels({name: self.cards[name] for name in names}, "training_data")
        return {name: self.training_data.get(name) or guessed[name] for name in names}

    def named(self, *sources: str) -> Iterator[tuple[str, Alignment]]:
        """Runs over these data sets as they are, not over perturbed copies."""
        for name, alignment in self.alignments.items():
            if dataset_name(alignment) in sources:
                yield name, alignment


@dataclasses.dataclass(frozen=True)
class Cohort:
    """Models at home in one data set, and the data sets where they are not.

    Attributes:
      inside: the data set they are at home in.
      outside: others that hold the same models.
      models: the models that all of these data sets have.
    """

    inside: str
    outside: tuple[str, ...]
    models: tuple[str, ...]


def cohorts(runs: StudyRuns) -> list[Cohort]:
    """Every set of at least four models that is seen inside and outside its distribution."""
    found = []
    for inside, names in runs.in_distribution_of.items():
        if inside not in runs.alignments:
            continue
        home = [name for name in compared(runs.alignments[inside]) if name in names]
        away = {name: _away(runs, name, home) for name in runs.alignments if name != inside}
        outside = tuple(name for name, models in away.items() if len(models) >= LEAST_MODELS)
        shared = [m for m in home if all(m in away[name] for name in outside)]
        if outside and len(shared) >= LEAST_MODELS:
            found.append(Cohort(inside, outside, tuple(shared)))
    return found


def _away(runs: StudyRuns, dataset: str, models: Sequence[str]) -> list[str]:
    """Those of some models that a data set has and that are not at home in it."""
    there = set(compared(runs.alignments[dataset])) - set(runs.in_distribution_of.get(dataset, ()))
    return [name for name in models if name in there]


def compared(alignment: Alignment) -> list[str]:
    """Trained encoders of a run that did not fail."""
    failed = set(alignment.diagnostics.get("failed_models") or {})
    return [name for name in compared_models(alignment.cards) if name not in failed]


def scores(
    alignment: Alignment,
    metric: str,
    models: Sequence[str],
    *,
    column: str = "value",
    k: int | None = None,
) -> xr.DataArray:
    """A matrix of scores between some models.

    Raises:
      NotTestableError: the metric was not computed, or there are too few models.
    """
    require_metric(alignment, metric)
    if len(models) < LEAST_MODELS:
        raise NotTestableError(f"{len(models)} trained models, of at least {LEAST_MODELS}")
    return score_matrix(alignment, metric, column=column, k=k).loc[list(models), list(models)]


def require_metric(alignment: Alignment, metric: str) -> None:
    """Raises `NotTestableError` if a metric was not computed."""
    if metric not in alignment.metrics:
        raise NotTestableError(f"{metric} was not computed")


def first_k(alignment: Alignment, metric: str) -> int | None:
    """The k that scores of a metric are compared at: the first that was asked for."""
    known = alignment.diagnostics["metrics"][metric]["k"]
    return known[0] if isinstance(known, list) else known


def dataset_name(alignment: Alignment) -> str:
    """Name of the data set of a run, as `jaxalign run` or `align` itself has noted it."""
    noted = alignment.diagnostics.get("dataset") or ""
    return str(noted.get("name", "")) if isinstance(noted, Mapping) else str(noted)


def structure_count(alignment: Alignment) -> int:
    """Number of structures of a run."""
    return int(alignment.diagnostics["n"])


def families(names: Sequence[str], cards: Mapping[str, ModelCard]) -> dict[str, str]:
    """Model → architecture family; a model of unknown family is alone in one."""
    return {name: cards[name].family or name for name in names}


def blocks(names: Sequence[str], cards: Mapping[str, ModelCard]) -> dict[str, str] | None:
    """What a jackknife leaves out at a time: families, or None (models) where these are too few."""
    own = families(names, cards)
    return own if len(set(own.values())) >= _LEAST_FAMILIES else None


def unit(clusters: Mapping[str, str] | None) -> str:
    """What a jackknife over `blocks` leaves out, in words."""
    return "models" if clusters is None else "families"


def pair_table(
    first: xr.DataArray, second: xr.DataArray, models: Sequence[str] | None = None
) -> pd.DataFrame:
    """Two symmetric matrices pair by pair, as `regime_shift` reads them.

    Args:
      first: scores that become `inside`.
      second: scores that become `outside`.
      models: some of the models; None for all of `first`.

    Returns:
      `model_a`, `model_b`, `inside`, `outside` and `difference`, one row a pair.
    """
    names = list(first["model_a"].values if models is None else models)
    a, b = np.triu_indices(len(names), 1)
    labels = np.array(names, dtype=object)
    values = [np.asarray(m.loc[names, names].values, np.float64)[a, b] for m in (first, second)]
    return pd.DataFrame(
        {
            "model_a": labels[a],
            "model_b": labels[b],
            "inside": values[0],
            "outside": values[1],
            "difference": values[0] - values[1],
        }
    )
