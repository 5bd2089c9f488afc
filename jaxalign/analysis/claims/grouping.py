"""T5 and T10: families of architectures in the scores, and in the tree of models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from jaxalign.alignment.results import Alignment
from jaxalign.analysis.claims.claim import (
    INCONCLUSIVE,
    SUPPORTED,
    Claim,
    NotTestableError,
    Statement,
    describe_models,
    judged,
    side_of_zero,
    untestable,
)
from jaxalign.analysis.claims.replicates import half_widths, replicate_matrices
from jaxalign.analysis.claims.study_runs import (
    StudyRuns,
    blocks,
    compared,
    families,
    first_k,
    scores,
    structure_count,
)
from jaxalign.analysis.relations.blocks import Contrast, block_contrast
from jaxalign.analysis.relations.tree import Tree, model_tree
from jaxalign.analysis.relations.tree_groups import group_branches, group_recovery, parsimony
from jaxalign.significance.p_values import ALPHA

T5 = Statement(
    "T5",
    "Models of one architecture family align more than models of different families.",
    "In full, for the families here; members of a family often share training data too (see T7).",
)
T10 = Statement(
    "T10",
    "The tree of models recovers architecture families.",
    "In full, for the families here.",
)


def families_align(runs: StudyRuns) -> list[Claim]:
    """T5. Mean CKNNA of pairs within families − of pairs between families.

    Rule, for every data set: supported if the interval of a jackknife over families (over models
    where only one family has several) lies above 0, not supported if below. p: labels of the models
    permuted, one-sided.
    """
    return [_contrast(name, run) for name, run in runs.alignments.items()]


def _contrast(name: str, run: Alignment) -> Claim:
    tested = "mean CKNNA within families − between families"
    models = compared(run)
    try:
        matrix = scores(run, "cknna", models)
    except NotTestableError as error:
        return untestable(T5, str(error), tested=tested, data=name)
    own, k = families(models, run.cards), first_k(run, "cknna")
    found, left_out = _first_with_interval(matrix, own, blocks(models, run.cards))
    if math.isnan(found.difference):
        return untestable(T5, found.reason, tested=tested, data=name, n=structure_count(run))
    return judged(
        T5,
        tested=f"{tested} (k = {k}); labels permuted, jackknife over {left_out}",
        models=describe_models(models, run.cards),
        data=name,
        n=structure_count(run),
        estimate=found.difference,
        low=found.low,
        high=found.high,
        p=found.p,
        verdict=side_of_zero(found.low, found.high),
        reason=f"within {found.within:.3f}, between {found.between:.3f}"
        + (f"; {found.reason}" if found.reason else ""),
    )


def _first_with_interval(
    matrix: xr.DataArray, own: Mapping[str, str], clusters: Mapping[str, str] | None
) -> tuple[Contrast, str]:
    """Over families where that gives an interval, else over models."""
    if clusters is not None:
        found = block_contrast(matrix, own, clusters=clusters, alternative="greater")
        if math.isfinite(found.low):
            return found, "families"
    return block_contrast(matrix, own, alternative="greater"), "models"


def tree_recovers_families(runs: StudyRuns) -> list[Claim]:
    """T10. How far the neighbor-joining tree of CKNNA profiles keeps families together.

    With c the fewest changes of family along the tree, c₀ its mean over permuted labels and g
    families, the recovery is (c₀ − c)/(c₀ − g + 1): 1 where every family has a part of the tree to
    itself (another one may hang in it), 0 where families are mixed as by chance. Rule, for every
    data set: supported if the interval lies above 0 and p ≤ .05, not supported if the interval lies
    below 0, else inconclusive. The interval is that of a t distribution with the error from trees
    over disjoint halves of the structures; p: labels permuted over the leaves. That p must be small
    was added after the first study: few families can hardly be mixed, and then all halves agree.
    """
    return [_recovery(name, run) for name, run in runs.alignments.items()]


def _recovery(name: str, run: Alignment) -> Claim:
    tested = "share of the changes of family that the tree saves"
    models = compared(run)
    try:
        tree = model_tree(scores(run, "cknna", models), replicates=_halves(run, models))
    except NotTestableError as error:
        return untestable(T10, str(error), tested=tested, data=name)
    own = families(tree.names, run.cards)
    found = group_recovery(tree.root, own)
    reason = found.reason
    if not reason and found.null_mean <= found.least:
        reason = "no labeling of this tree mixes the families: all but one are of one model"
    if reason:
        return untestable(T10, reason, tested=tested, data=name, n=structure_count(run))

    def share(changes: int) -> float:
        return (found.null_mean - changes) / (found.null_mean - found.least)

    half = _half_width(run, tree, own, share)
    estimate = share(found.changes)
    verdict = side_of_zero(estimate - half, estimate + half)
    if verdict == SUPPORTED and not found.p <= ALPHA:
        verdict = INCONCLUSIVE
    return judged(
        T10,
        tested=f"{tested} (1: each family apart, 0: as by chance); labels permuted over "
        f"leaves; halves of the structures; CKNNA, k = {first_k(run, 'cknna')}",
        models=describe_models(list(tree.names), run.cards),
        data=name,
        n=structure_count(run),
        estimate=estimate,
        low=estimate - half,
        high=estimate + half,
        p=found.p,
        verdict=verdict,
        reason=_together(tree, own, half),
    )


def _half_width(run: Alignment, tree: Tree, own: Mapping[str, str], share) -> float:
    """Half the interval of the recovery; NaN without halves of the structures."""
    halves = _halves(run, tree.names)
    found = [share(parsimony(model_tree(half).root, own)) for half in halves]
    return float(half_widths(np.array(found, np.float64).reshape(-1, 1), run)[0])


def _halves(run: Alignment, models: Sequence[str]) -> list[xr.DataArray]:
    names = list(models)
    halves = [matrix.loc[names, names] for matrix in replicate_matrices(run)]
    # Halves come in disjoint pairs, and a tree needs every score of both.
    whole = [bool(np.isfinite(half).all()) for half in halves]
    return [half for i, half in enumerate(halves) if whole[i] and whole[i ^ 1]]


def _together(tree: Tree, own: Mapping[str, str], half: float) -> str:
    branches = group_branches(tree.root, own)
    kept = sorted(branches[branches["together"]]["group"])
    apart = sorted(branches[~branches["together"]]["group"])
    words = f"together: {', '.join(kept) or 'none'}"
    words += f"; apart: {', '.join(apart)}" if apart else ""
    return words + (
        "; no interval: the run has no halves of structures" if math.isnan(half) else ""
    )
