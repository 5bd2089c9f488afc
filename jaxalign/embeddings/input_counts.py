"""What an encoder did not get to see of structures: tokens it does not know, tokens it cut off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jaxalign.models.encoder import Example

COUNTS = ("unknown_tokens", "truncated_structures", "truncated_tokens")
"""Names of the counts in the info of embeddings; one that is 0 is left out there."""


def count_example(example: Example) -> Counter[str]:
    """The counts of one structure, from the scalars `unknown` and `truncated` of its inputs."""
    unknown, cut = (int(example.get(name, 0)) for name in ("unknown", "truncated"))
    return Counter(dict(zip(COUNTS, (unknown, int(cut > 0), cut), strict=True)))


def total_counts(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Sums over processes, without those that are 0."""
    sums = {name: sum(part.get(name, 0) for part in parts) for name in COUNTS}
    return {name: count for name, count in sums.items() if count}


def describe_counts(info: Mapping[str, Any]) -> str:
    """One sentence about what an encoder did not see; empty if it saw everything.

    Args:
      info: `Embeddings.info`.

    Returns:
      For example "3 tokens that it does not know; the ends of 2 structures: 310 tokens cut off".
    """
    unknown, structures, tokens = (int(info.get(name) or 0) for name in COUNTS)
    parts = [f"{_number(unknown, 'token')} that it does not know"] if unknown else []
    if structures:
        cut = f"the ends of {_number(structures, 'structure')}: {_number(tokens, 'token')} cut off"
        parts.append(cut)
    return "; ".join(parts)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
