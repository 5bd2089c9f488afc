"""T3 and T4: how CKNNA depends on k, and whether it orders pairs as distance correlation does."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.claims.claim import (
    INCONCLUSIVE,
    NOT_SUPPORTED,
    SUPPORTED,
    Claim,
    NotTestableError,
    Statement,
    describe_models,
    judged,
    side_of_zero,
    untestable,
)
from jaxalign.analysis.claims.intervals import Estimate, rank_agreement
from jaxalign.analysis.claims.study_runs import (
    StudyRuns,
    blocks,
    compared,
    first_k,
    pair_table,
    require_metric,
    scores,
    structure_count,
    unit,
)
from jaxalign.analysis.precision.sample_size_table import SAME_ORDER
from jaxalign.analysis.relations.regimes import regime_shift

LEAST_K = 10  # orders at smaller k are mostly noise

T3 = Statement(
    "T3",
    "CKNNA grows with k and keeps the order of pairs of models.",
    "In full, for k up to 250 (published: 2,500) and fewer structures.",
)
T4 = Statement(
    "T4",
    "CKNNA and distance correlation correlate over pairs of models.",
    "In full; distance correlation is bias-corrected here.",
)


def growth_with_k(runs: StudyRuns) -> list[Claim]:
    """T3. Two tests a data set, over all pairs of trained encoders.

    Growth: mean of CKNNA at the largest k − at the smallest; supported if the interval of a
    jackknife over families lies above 0, not supported if below; p of its t statistic (two-sided).
    The reason says which share of the pairs grows at every single step.
    Order: Spearman correlation over pairs of the scores at the smallest k from 10 on and at the
    largest; supported if the interval lies above .9, not supported if below; p is that of no
    correlation (Mantel test).
    """
    found = []
    for name, run in runs.alignments.items():
        try:
            found += _by_k(name, run)
        except NotTestableError as error:
            found.append(untestable(T3, str(error), data=name))
    return found


def _by_k(name: str, run: Alignment) -> list[Claim]:
    require_metric(run, "cknna")
    models = compared(run)
    known = run.diagnostics["metrics"]["cknna"]["k"]
    ks = sorted(known) if isinstance(known, list) else [known]
    if len(ks) < 2:
        raise NotTestableError(f"CKNNA was computed for k = {ks[0]} alone")
    matrices = {k: scores(run, "cknna", models, k=k) for k in ks}
    facts = {"models": describe_models(models, run.cards), "data": name}
    facts |= {"n": structure_count(run)}
    own = blocks(models, run.cards)
    later = {k: matrix for k, matrix in matrices.items() if k >= LEAST_K}
    order = untestable(
        T3, f"a second k of at least {LEAST_K} is needed", tested="order of pairs", data=name
    )
    if len(later) > 1:
        order = _order(later, own, facts)
    return [_growth(matrices, own, facts), order]


def _growth(
    matrices: Mapping[int, xr.DataArray],
    own: Mapping[str, str] | None,
    facts: Mapping[str, Any],
) -> Claim:
    ks = list(matrices)
    shift = regime_shift(pair_table(matrices[ks[-1]], matrices[ks[0]]), clusters=own)
    steps = [
        (pair_table(matrices[b], matrices[a])["difference"] > 0).to_numpy()
        for a, b in itertools.pairwise(ks)
    ]
    share = np.all(steps, axis=0)
    return judged(
        T3,
        tested=f"growth: mean CKNNA at k = {ks[-1]} − at k = {ks[0]}; jackknife over {unit(own)}",
        **facts,
        estimate=shift.difference,
        low=shift.low,
        high=shift.high,
        p=shift.p,
        verdict=side_of_zero(shift.low, shift.high),
        reason=f"{share.mean():.0%} of {len(share)} pairs grow at each step of k = "
        f"{', '.join(map(str, ks))}",
    )


def _order(
    matrices: Mapping[int, xr.DataArray],
    own: Mapping[str, str] | None,
    facts: Mapping[str, Any],
) -> Claim:
    first, last = min(matrices), max(matrices)
    order, left_out, pairs = rank_agreement(matrices[first], matrices[last], own)
    return judged(
        T3,
        tested=f"order: Spearman correlation of pairs at k = {first} and {last}, against "
        f"{SAME_ORDER:g}; jackknife over {left_out}, Mantel test",
        **facts,
        estimate=order.value,
        low=order.low,
        high=order.high,
        p=order.p,
        verdict=_beyond(order, SAME_ORDER),
        reason=f"{pairs} pairs",
    )


def _beyond(found: Estimate, border: float) -> str:
    if found.low > border:
        return SUPPORTED
    return NOT_SUPPORTED if found.high < border else INCONCLUSIVE


def metrics_agree(runs: StudyRuns) -> list[Claim]:
    """T4. Spearman correlation of CKNNA and distance correlation over pairs of trained encoders.

    Rule, for every data set: supported if the interval of a jackknife over families lies above 0,
    not supported if below. p is that of a Mantel test, one-sided.
    """
    return [_agreement(name, run) for name, run in runs.alignments.items()]


def _agreement(name: str, run: Alignment) -> Claim:
    tested = "Spearman correlation of CKNNA and distance correlation over pairs"
    models = compared(run)
    try:
        second = "dcor" if "dcor" in run.metrics else "dcor:v"
        matrices = [scores(run, metric, models) for metric in ("cknna", second)]
    except NotTestableError as error:
        return untestable(T4, str(error), tested=tested, data=name)
    found, left_out, pairs = rank_agreement(*matrices, blocks(models, run.cards))
    return judged(
        T4,
        tested=f"{tested} (CKNNA at k = {first_k(run, 'cknna')}); jackknife over {left_out}, "
        "Mantel test",
        models=describe_models(models, run.cards),
        data=name,
        n=structure_count(run),
        estimate=found.value,
        low=found.low,
        high=found.high,
        p=found.p,
        verdict=side_of_zero(found.low, found.high),
        reason=f"{pairs} pairs",
    )
