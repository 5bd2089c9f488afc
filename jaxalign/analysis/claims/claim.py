"""What a claim is, what a test of it says, and the rule that turns an interval into a verdict.

Every function of this room states its own rule before it sees a number. In most of them the claim
is that some quantity is positive (or negative), and with a 95 % interval [low, high] of it

* `supported`: the interval lies on the side of the claim;
* `not supported`: it lies on the other side;
* `inconclusive`: it covers the border, or cannot be had;
* `not testable here`: models, data or labels are missing, and `reason` says which.

Several tests of one claim that disagree are `mixed`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxalign.models.card import ModelCard

SUPPORTED = "supported"
NOT_SUPPORTED = "not supported"
INCONCLUSIVE = "inconclusive"
NOT_TESTABLE = "not testable here"
MIXED = "mixed"
VERDICTS = (SUPPORTED, NOT_SUPPORTED, MIXED, INCONCLUSIVE, NOT_TESTABLE)


class NotTestableError(Exception):
    """What a claim needs is not among the runs; the message says what."""


@dataclasses.dataclass(frozen=True)
class Statement:
    """A claim as it was published.

    Attributes:
      claim: short name, e.g. `"T5"`.
      statement: the claim in one sentence.
      covers: which part of the published claim models and data here can speak for.
    """

    claim: str
    statement: str
    covers: str


@dataclasses.dataclass(frozen=True)
class Claim:
    """One test of one claim.

    Attributes:
      claim: short name.
      statement: the claim in one sentence.
      tested: the quantity that is estimated, and the test.
      models: how many models, and of which families.
      data: data sets.
      n: structures in each of them (the fewest, if they differ).
      estimate: of the quantity.
      low: lower end of its 95 % interval.
      high: its upper end.
      p: of the test; NaN where there is none.
      verdict: one of `VERDICTS`.
      covers: which part of the published claim this is.
      reason: why a number is missing, or what else must be known.
    """

    claim: str
    statement: str
    tested: str
    models: str
    data: str
    n: int
    estimate: float
    low: float
    high: float
    p: float
    verdict: str
    covers: str
    reason: str = ""


def judged(
    statement: Statement,
    *,
    tested: str,
    models: str,
    data: str,
    n: int,
    estimate: float,
    verdict: str,
    low: float = math.nan,
    high: float = math.nan,
    p: float = math.nan,
    reason: str = "",
) -> Claim:
    """A test that was made."""
    numbers = {"estimate": estimate, "low": low, "high": high, "p": p}
    facts: dict[str, Any] = {"tested": tested, "models": models, "data": data, "n": int(n)}
    facts |= {name: float(value) for name, value in numbers.items()}
    return Claim(**dataclasses.asdict(statement), **facts, verdict=verdict, reason=reason)


def untestable(
    statement: Statement, reason: str, *, tested: str = "", data: str = "", n: int = 0
) -> Claim:
    """A test that cannot be made, and why."""
    return judged(
        statement,
        tested=tested,
        models="",
        data=data,
        n=n,
        estimate=math.nan,
        verdict=NOT_TESTABLE,
        reason=reason,
    )


def side_of_zero(low: float, high: float, *, positive: bool = True) -> str:
    """The verdict on a claim that a quantity is positive, or negative.

    Args:
      low: lower end of the interval of the quantity; NaN without an interval.
      high: its upper end.
      positive: the claim; False means negative.
    """
    if math.isnan(low) or math.isnan(high):
        return INCONCLUSIVE
    if not positive:
        low, high = -high, -low
    if low > 0:
        return SUPPORTED
    return NOT_SUPPORTED if high < 0 else INCONCLUSIVE


def combined_verdict(verdicts: Iterable[str]) -> str:
    """One verdict for several tests of a claim; those that cannot be made do not count."""
    found = {verdict for verdict in verdicts if verdict != NOT_TESTABLE}
    if not found:
        return NOT_TESTABLE
    return found.pop() if len(found) == 1 else MIXED


def describe_models(names: Sequence[str], cards: Mapping[str, ModelCard]) -> str:
    """How many models, and how many of each family: "5: ANI 3, CHGNet 2"."""
    families = [cards[name].family or "unknown" for name in names]
    parts = [f"{family} {families.count(family)}" for family in dict.fromkeys(families)]
    return f"{len(names)}: {', '.join(parts)}"
