"""T6 and T11: alignment of encoders that read different views of the same structures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

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
from jaxalign.analysis.claims.intervals import Estimate, log_ratio
from jaxalign.analysis.claims.replicates import half_width
from jaxalign.analysis.claims.study_runs import (
    StudyRuns,
    blocks,
    compared,
    first_k,
    pair_table,
    scores,
    structure_count,
    unit,
)
from jaxalign.analysis.relations.regimes import regime_shift
from jaxalign.models.card import ModelCard
from jaxalign.significance.p_values import ALPHA

_SMALL = ("string", "graph", "3d")
_PROTEIN = ("protein-sequence", "protein-structure")

T6 = Statement(
    "T6",
    "Encoders of strings and of 3-D structures align on QM9 beyond what independent ones would.",
    "In full, for encoders of reaction SMILES and interatomic potentials. A null that exchanges "
    "all molecules leaves in the score what composition gives; one within compositions does not.",
)
T11 = Statement(
    "T11",
    "Encoders of protein sequences and structures align about twice as much as the best encoders "
    "of different views of small molecules.",
    "Small encoders of 2,000 chains instead of large ones of the 48,530 of the published sample; "
    "the best pairs are chosen by their scores, in both kinds of data.",
)


def strings_and_structures(runs: StudyRuns) -> list[Claim]:
    """T6. CKNNA − its permutation null, mean over pairs of a string and a 3-D encoder on QM9.

    Of a run with explanations, a second test has the null that exchanges only structures of equal
    composition (or whatever its strata are): what both views say of composition alone does not
    count there.

    Rule: supported if the interval of a jackknife over families lies above 0 and every pair has
    q ≤ .05 (Benjamini-Hochberg over all pairs of the run); not supported if the interval lies below
    0, or no pair has q ≤ .05; else inconclusive. p is the largest q.
    """
    found = [
        claim
        for name, run in runs.named("qm9", "qm9-full")
        for claim in (_above_null(name, run), *_above_null_of_strata(name, run))
    ]
    return found or [untestable(T6, "no data set of this study is QM9")]


def _above_null(name: str, run: Alignment) -> Claim:
    tested = "mean CKNNA − its null, pairs of a string and a 3-D encoder"
    models = [m for m in compared(run) if run.cards[m].modality in ("string", "3d")]
    if {run.cards[m].modality for m in models} != {"string", "3d"}:
        return untestable(T6, "trained encoders of both kinds are needed", tested=tested, data=name)
    try:
        value, null, q = (
            scores(run, "cknna", models, column=c) for c in ("value", "null_mean", "q")
        )
    except NotTestableError as error:
        return untestable(T6, str(error), tested=tested, data=name)
    pairs = pair_table(value, null).assign(q=pair_table(q, q)["inside"])
    words = f"{tested} (k = {first_k(run, 'cknna')}); jackknife over {{unit}}, permutation null"
    return _exceeds(name, run, pairs, words, structure_count(run))


def _above_null_of_strata(name: str, run: Alignment) -> list[Claim]:
    """The same given strata; no test where a run has no explanations of CKNNA."""
    facts = run.diagnostics.get("explanations") or {}
    pairs = pd.DataFrame(facts.get("pairs") or {"method": []})
    pairs = pairs[pairs["method"] == "strata"]
    if facts.get("metric") != "cknna" or facts["k"] != first_k(run, "cknna") or pairs.empty:
        return []
    known = compared(run)
    pairs = pairs[pairs["model_a"].isin(known) & pairs["model_b"].isin(known)]
    pairs = pairs.astype(dict.fromkeys(("conditional", "null_mean", "q"), np.float64))
    pairs = pairs.rename(columns={"conditional": "inside", "null_mean": "outside"})
    pairs["difference"] = pairs["inside"] - pairs["outside"]
    kind = next(c["given"] for c in facts["conditions"] if c["method"] == "strata")
    words = (
        f"mean CKNNA − its null among structures of equal {kind}, pairs of a string and a 3-D "
        f"encoder (k = {facts['k']}); jackknife over {{unit}}, permutations within strata"
    )
    return [_exceeds(name, run, pairs, words, int(pairs["n"].iloc[0]))]


def _exceeds(name: str, run: Alignment, pairs: pd.DataFrame, words: str, n: int) -> Claim:
    """The test of pairs with `inside`, their scores; `outside`, their nulls; and `q`."""
    pairs = _across(pairs, run.cards, ("string", "3d"))
    models = [m for m in compared(run) if m in {*pairs["model_a"], *pairs["model_b"]}]
    own = blocks(models, run.cards)
    words = words.format(unit=unit(own))
    if pairs["difference"].isna().all():
        return untestable(T6, "the run has no null of CKNNA", tested=words, data=name)
    shift = regime_shift(pairs, clusters=own)
    clear = int((pairs["q"] <= ALPHA).sum())
    verdict = side_of_zero(shift.low, shift.high)
    if clear == 0:
        verdict = NOT_SUPPORTED
    elif verdict == SUPPORTED and clear < len(pairs):
        verdict = INCONCLUSIVE
    return judged(
        T6,
        tested=words,
        models=describe_models(models, run.cards),
        data=name,
        n=n,
        estimate=shift.difference,
        low=shift.low,
        high=shift.high,
        p=float(pairs["q"].max()),
        verdict=verdict,
        reason=f"{clear} of {len(pairs)} pairs have q ≤ {ALPHA:g}; mean score "
        f"{shift.inside:.3f}, mean of the null {shift.outside:.3f}",
    )


def _across(
    pairs: pd.DataFrame, cards: Mapping[str, ModelCard], views: Sequence[str]
) -> pd.DataFrame:
    """Pairs of models of two different modalities out of `views`."""
    a, b = (pairs[side].map(lambda m: cards[m].modality) for side in ("model_a", "model_b"))
    kept = (a != b) & a.isin(views) & b.isin(views)
    return pairs[kept.to_numpy(bool)].reset_index(drop=True)


class _Best(NamedTuple):
    """The best pair of encoders of different views."""

    data: str
    pair: tuple[str, str]
    score: Estimate
    n: int


def proteins_align_more(runs: StudyRuns) -> list[Claim]:
    """T11. Best calibrated CKNNA across views of proteins ÷ best across views of small molecules.

    Rule: supported if the interval of the ratio lies above 1, not supported if below. Intervals of
    the two scores come from halves of their structures, which are independent data; that of the
    ratio is MOVER's. p is one-sided.
    """
    tested = (
        "ratio of the best calibrated CKNNA, proteins / small molecules; halves of the structures"
    )
    try:
        protein, small = (_best(runs, views) for views in (_PROTEIN, _SMALL))
    except NotTestableError as error:
        return [untestable(T11, str(error), tested=tested)]
    found = log_ratio(protein.score, small.score)
    pairs = "; ".join(
        f"{b.data}: {' – '.join(b.pair)} {b.score.value:.3f}" for b in (protein, small)
    )
    return [
        judged(
            T11,
            tested=tested,
            models=describe_models([*protein.pair, *small.pair], runs.cards),
            data=f"{protein.data}, {small.data}",
            n=min(protein.n, small.n),
            estimate=found.value,
            low=found.low,
            high=found.high,
            p=found.p,
            verdict=_above_one(found, small),
            reason=pairs + ("; no interval" if math.isnan(found.low) else ""),
        )
    ]


def _above_one(found: Estimate, small: _Best) -> str:
    if math.isnan(found.value):
        return NOT_TESTABLE if not small.score.value > 0 else INCONCLUSIVE
    if math.isnan(found.low):
        return INCONCLUSIVE
    return side_of_zero(found.low - 1, found.high - 1)


def _best(runs: StudyRuns, views: tuple[str, ...]) -> _Best:
    """The best pair of trained encoders of different views, over all runs that have such pairs.

    Raises:
      NotTestableError: there is none with a calibrated score.
    """
    found = []
    for name, run in runs.alignments.items():
        models = [m for m in compared(run) if run.cards[m].modality in views]
        if len({run.cards[m].modality for m in models}) < 2 or "cknna" not in run.metrics:
            continue
        table = run.table[(run.table["metric"] == "cknna")]
        table = table[(table["k"] == first_k(run, "cknna")).to_numpy(bool)]
        table = table[table["model_a"].isin(models) & table["model_b"].isin(models)]
        table = _across(table, run.cards, views)
        table = table[np.isfinite(table["calibrated"])]
        if len(table):
            row = table.loc[table["calibrated"].idxmax()]
            pair = (str(row["model_a"]), str(row["model_b"]))
            score = _calibrated(row, run)
            found.append(_Best(name, pair, score, structure_count(run)))
    if not found:
        raise NotTestableError(f"no run has calibrated CKNNA across {' and '.join(views)}")
    return max(found, key=lambda best: best.score.value)


def _calibrated(row: pd.Series, run: Alignment) -> Estimate:
    """The calibrated score of a row with the interval of its score on the calibrated scale.

    The calibrated score is (s − τ)/(1 − τ), so that its error is that of s over 1 − τ.
    """
    value, calibrated = float(row["value"]), float(row["calibrated"])
    half = half_width(run, row["model_a"], row["model_b"])
    if not 0 < calibrated < 1 or math.isnan(half):
        return Estimate(calibrated, math.nan, math.nan, float(row["p"]))
    half *= (1 - calibrated) / (1 - value)  # 1 − τ = (1 − s)/(1 − calibrated)
    return Estimate(calibrated, calibrated - half, calibrated + half, float(row["p"]))
