"""Sentences about how the numbers of a report are to be read."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from jaxalign.report.tabs.parts import Part
from jaxalign.report.vocabulary.source import AlignmentLike


def reading_notes(parts: Sequence[Part]) -> tuple[str, ...]:
    """What the numbers do not say, and on what they depend."""
    tables_of = [part.alignment.table for part in parts]
    tested = any("p" in table and table["p"].notna().any() for table in tables_of)
    return (
        _TESTED_NOTE if tested else _UNTESTED_NOTE,
        "Scores depend on the number of structures n and of neighbors k. Compare scores with each "
        "other only at equal n and k: with n growing at fixed k, neighborhoods become finer and "
        "overlap falls; with k growing it rises, and so does the chance level.",
        "The noise floor is the mean score of the pairs with a noise control in this run. Chance "
        "is the expected score of independent representations where a formula is known, e.g. "
        "k/(n − 1) for the overlap of neighbors.",
        "Untrained models and descriptors are the fairer baseline. Composition, size or the mere "
        "architecture already make representations agree; what training adds is the part above "
        "them.",
        "The order “by cluster” comes from average linkage and is recomputed for each metric; an "
        "order is found whether or not the data form groups.",
    )


_TESTED_NOTE = (
    "A raw score is not a significance test. Pairs marked “ns” do not stand out from chance "
    "(q > 0.05). A pair that stands out shares something: composition or size are enough."
)
_UNTESTED_NOTE = (
    "A raw score is not a significance test, and none has been computed for this report. A score "
    "above the noise floor says that two models share something; it does not say how surely, or "
    "what."
)


def version_notes(alignment: AlignmentLike) -> list[str]:
    """A sentence if the run was made by another version than the one that draws the report."""
    made = (alignment.diagnostics.get("versions") or {}).get("jaxalign", "")
    here = version("jaxalign")
    if not made or made == here:
        return []
    return [
        f"The run was made with jaxalign {made} and this page with {here}: quantities that the "
        "other version did not compute are absent; run it again to have them."
    ]
