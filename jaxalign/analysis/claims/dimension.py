"""T1 and T2: intrinsic dimensions of the embeddings of one data set.

Dimensions of several encoders of one family are near copies, so every family counts once, with the
mean over its encoders (T2: of logarithms), and intervals are Student's over families.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.claims.claim import (
    INCONCLUSIVE,
    NOT_SUPPORTED,
    NOT_TESTABLE,
    SUPPORTED,
    Claim,
    NotTestableError,
    Statement,
    describe_models,
    judged,
    side_of_zero,
    untestable,
)
from jaxalign.analysis.claims.intervals import Estimate, mean_estimate
from jaxalign.analysis.claims.study_runs import (
    StudyRuns,
    compared,
    dataset_name,
    families,
    require_metric,
    structure_count,
)

ESTIMATORS = ("id:twonn", "id:mle")
PUBLISHED, MARGIN = 5.0, 1.5  # of QM9; "about 5" is taken as 5 ± 1.5

T1 = Statement(
    "T1",
    "The intrinsic dimension of embeddings of QM9 is about 5 (sAlex 8, OMat24 and OMol25 10).",
    "QM9 alone, at fewer structures than the published 50,000, which lowers dimensions; sAlex, "
    "OMat24 and OMol25 are not at hand.",
)
T2 = Statement(
    "T2",
    "Embeddings of untrained networks and of language models have far higher intrinsic dimensions "
    "than those of trained encoders of matter.",
    "Untrained twins of the encoders here; no large language model is at hand: a small sentence "
    "encoder of English stands in.",
)


def published_dimension(runs: StudyRuns) -> list[Claim]:
    """T1. Mean dimension over families of trained encoders of matter.

    Rule, for QM9 and each estimator: supported if the interval lies within 5 ± 1.5, not supported
    if it lies outside, inconclusive if it crosses a border. p is the larger one of two one-sided t
    tests against the borders. On other data sets there is nothing to compare with: crystals of the
    Materials Project are neither sAlex nor OMat24.
    """
    found = [
        _dimension(name, run, m) for name, run in runs.named("qm9", "qm9-full") for m in ESTIMATORS
    ]
    if not found:
        found = [untestable(T1, "no data set of this study is QM9")]
    crystals = [
        _dimension(name, run, m) for name, run in runs.named("crystals") for m in ESTIMATORS
    ]
    return found + crystals


def _dimension(name: str, run: Alignment, metric: str) -> Claim:
    tested = f"mean {metric} over families; t interval, two one-sided tests of 5 ± {MARGIN:g}"
    try:
        models = _encoders(run)
        found = mean_estimate(np.array(list(_by_family(run, metric, models).values())))
    except NotTestableError as error:
        return untestable(T1, str(error), tested=tested, data=name)
    published = dataset_name(run) != "crystals"
    half = (found.high - found.low) / 2
    verdict, reason, p = _within(found), "", np.nan
    if not published:
        verdict = NOT_TESTABLE
        reason = "for comparison: no dimension was published for relaxed Materials Project crystals"
        tested = f"mean {metric} over families; t interval"
    elif half > 0:
        p = _outside_p(np.array(list(_by_family(run, metric, models).values())))
    return judged(
        T1,
        tested=tested,
        models=describe_models(models, run.cards),
        data=name,
        n=structure_count(run),
        estimate=found.value,
        low=found.low,
        high=found.high,
        p=p,
        verdict=verdict,
        reason=reason,
    )


def _within(found: Estimate) -> str:
    if np.isnan(found.low):
        return INCONCLUSIVE
    low, high = PUBLISHED - MARGIN, PUBLISHED + MARGIN
    if low <= found.low and found.high <= high:
        return SUPPORTED
    return NOT_SUPPORTED if found.high < low or found.low > high else INCONCLUSIVE


def _outside_p(values: np.ndarray) -> float:
    """Larger p of the tests mean > 3.5 and mean < 6.5."""
    above = mean_estimate(values, null=PUBLISHED - MARGIN).p
    below = mean_estimate(-values, null=-(PUBLISHED + MARGIN)).p
    return max(above, below)


def higher_dimension(runs: StudyRuns) -> list[Claim]:
    """T2. Ratio of dimensions: untrained twins to trained encoders of the same family; text to all.

    For each estimator, the logarithm of the ratio is averaged over the data sets that hold both,
    then over families. Rule: supported if the interval of the ratio lies above 1, not supported if
    below. p is that of a one-sided t test over families.
    """
    return [
        claim for metric in ESTIMATORS for claim in (_untrained(runs, metric), _text(runs, metric))
    ]


def _untrained(runs: StudyRuns, metric: str) -> Claim:
    logs: dict[str, list[float]] = {}
    used, names = [], []
    for name, run in runs.alignments.items():
        twins = [m for m, card in run.cards.items() if not card.pretrained and m in _networks(run)]
        if metric not in run.metrics or not twins:
            continue
        untrained, trained = (
            _by_family(run, metric, ms, log=True) for ms in (twins, _encoders(run))
        )
        for family in untrained.keys() & trained.keys():
            logs.setdefault(family, []).append(untrained[family] - trained[family])
        used.append(name)
        names += [m for m in twins if run.cards[m].family in trained]
    tested = f"{metric}: untrained twin / trained encoder of its family; t test over families"
    return _ratio(runs, logs, tested=tested, used=used, models=names)


def _text(runs: StudyRuns, metric: str) -> Claim:
    logs: dict[str, list[float]] = {}
    used, names = [], []
    for name, run in runs.alignments.items():
        text = [m for m in compared(run) if run.cards[m].modality == "text"]
        if metric not in run.metrics or not text:
            continue
        own = np.mean(list(_by_family(run, metric, text, log=True).values()))
        for family, value in _by_family(run, metric, _encoders(run), log=True).items():
            logs.setdefault(family, []).append(float(own) - value)
        used.append(name)
        names += text
    tested = f"{metric}: sentence encoder of English / trained encoders; t test over families"
    return _ratio(runs, logs, tested=tested, used=used, models=names)


def _ratio(
    runs: StudyRuns,
    logs: Mapping[str, Sequence[float]],
    *,
    tested: str,
    used: Sequence[str],
    models: Sequence[str],
) -> Claim:
    data = ", ".join(used)
    if not logs:
        return untestable(
            T2, "no run holds both kinds of models and this dimension", tested=tested, data=data
        )
    found = mean_estimate(np.array([np.mean(values) for values in logs.values()]))
    value, low, high = (float(np.exp(v)) for v in (found.value, found.low, found.high))
    return judged(
        T2,
        tested=tested,
        models=describe_models(list(dict.fromkeys(models)), runs.cards),
        data=data,
        n=min(structure_count(runs.alignments[name]) for name in used),
        estimate=value,
        low=low,
        high=high,
        p=found.p,
        verdict=side_of_zero(found.low, found.high),
        reason="" if len(logs) > 1 else "one family: no interval",
    )


def _encoders(run: Alignment) -> list[str]:
    """Trained encoders of matter: without those of plain text."""
    return [name for name in compared(run) if run.cards[name].modality != "text"]


def _networks(run: Alignment) -> set[str]:
    return {
        name
        for name, card in run.cards.items()
        if card.modality not in ("control", "text") and not card.is_descriptor
    }


def _by_family(
    run: Alignment, metric: str, models: Sequence[str], *, log: bool = False
) -> dict[str, float]:
    """Mean dimension, or mean of its logarithm, of every family; models without one are left out.

    Raises:
      NotTestableError: the dimension was not computed, or no model has one.
    """
    require_metric(run, metric)
    matrix = run.matrix(metric)
    own = families(models, run.cards)
    values: dict[str, list[float]] = {}
    for name in models:
        value = float(matrix.sel(model_a=name, model_b=name))
        if np.isfinite(value) and value > 0:
            values.setdefault(own[name], []).append(float(np.log(value)) if log else value)
    if not values:
        raise NotTestableError(f"no trained model has a dimension by {metric}")
    return {family: float(np.mean(found)) for family, found in values.items()}
