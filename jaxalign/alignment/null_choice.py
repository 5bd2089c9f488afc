"""Which null each score gets: a closed form where that decides, sampled permutations elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxalign.alignment.engine import PairScore
from jaxalign.alignment.nulls import Null
from jaxalign.alignment.sampled_nulls import (
    Cell,
    Sampling,
    samplable,
    sample_scores,
    sampled_nulls,
)
from jaxalign.alignment.significance_columns import significance_columns
from jaxalign.alignment.state import State
from jaxalign.significance.permutations import (
    SampledNull,
    exchangeable_cells,
    movable_share,
    require_permutations,
)

CLEAR = (1e-3, 0.25)
"""Closed-form p-values outside this range decide; inside it, permutations are worth their time."""


@dataclasses.dataclass(frozen=True, eq=False)
class Nulls:
    """Nulls of the scores of one run.

    Attributes:
      of: null of each (plan, a, b) that has one.
      samples: null scores where permutations were sampled.
      scheme: what permutations exchanged, in words; "" where none was sampled.
      facts: of the sampling, for the diagnostics.
    """

    of: Mapping[Cell, Null | SampledNull]
    samples: Mapping[Cell, np.ndarray]
    scheme: str
    facts: dict[str, Any]


def plan_sampling(
    n: int,
    *,
    permutations: int,
    groups: Sequence[Hashable] | None,
    within: Sequence[Hashable] | None,
    encoders: Mapping[str, str] | None,
) -> Sampling | None:
    """The scheme of sampled permutations; None where none are asked for.

    Raises:
      ValueError: too few permutations for the level, none possible, or labels without permutations.
    """
    require_permutations(permutations)
    if not permutations:
        for name, given in (("permute_within", within), ("encoders", encoders)):
            if given is not None:
                raise ValueError(
                    f"{name} needs sampled permutations: got permutations=0; pass e.g. 999"
                )
        return None
    cells = exchangeable_cells(n, groups=groups, within=within)
    words = "" if groups is None else " in whole groups of one size"
    words += "" if within is None else " within equal labels"
    return Sampling(cells, permutations, encoders, words)


def choose_nulls(state: State, scores: Sequence[PairScore], sampling: Sampling | None) -> Nulls:
    """Nulls of all scores that have one.

    Args:
      state: the finished run, with its closed forms.
      scores: observed scores.
      sampling: scheme of sampled permutations, or None for closed forms alone.
    """
    closed = dict(state.nulls or {})
    if sampling is None:
        return Nulls(closed, {}, "", {})
    if sampling.words:
        closed = {}  # those exchange all structures, and this null does not
    wanted = [score for score in scores if samplable(score)]
    if sampling.encoders is None:
        wanted = _undecided(wanted, closed, state.n)
    else:
        of = sampling.encoders
        wanted = [score for score in wanted if of[score.a] != of[score.b]]
    samples = sample_scores(state, wanted, sampling)
    sampled = sampled_nulls(wanted, samples, sampling)
    facts = {
        "permutations": sampling.permutations,
        "exchanged": _assumption(sampling.words),
        "movable_share": movable_share(sampling.cells, state.n),
        "scores_sampled": len(wanted),
    }
    return Nulls(closed | sampled, samples, sampling.words, facts)


def _assumption(words: str) -> str:
    """What the null takes for exchangeable, as a sentence."""
    return f"Structures{words} are exchangeable."


def _undecided(scores: Sequence[PairScore], closed: Mapping[Cell, Null], n: int) -> list[PairScore]:
    """Scores without a closed form, or with a p-value that a better one may turn round."""
    columns = significance_columns(scores, closed, n)
    low, high = CLEAR
    return [
        score
        for score, found in zip(scores, columns, strict=True)
        if np.isnan(found["p"]) or low <= found["p"] <= high
    ]
