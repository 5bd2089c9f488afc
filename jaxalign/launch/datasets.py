"""List or fetch data sets.

Usage:
    jaxalign datasets list [--format=json]
    jaxalign datasets fetch NAME …         download and convert into the cache ($JAXALIGN_CACHE)
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from absl import flags

from jaxalign.launch.process import run_verb
from jaxalign.structures.datasets import fetch_dataset, list_datasets

_FORMAT = flags.DEFINE_enum("format", "table", ["table", "json"], "How to print the list.")


def main(words: Sequence[str]) -> None:
    """Dispatches list and fetch."""
    if not words or words[0] not in ("list", "fetch"):
        raise ValueError(f"say list or fetch: got {' '.join(words) or 'nothing'}")
    if words[0] == "fetch":
        if len(words) == 1:
            raise ValueError("name at least one data set: jaxalign datasets fetch NAME")
        for name in words[1:]:
            print(f"{name}: {fetch_dataset(name)}")
        return
    cards = list_datasets()
    if _FORMAT.value == "json":
        print(json.dumps([card.to_json() for card in cards], indent=2))
        return
    for card in cards:
        where = "in the package" if card.shipped else "in the cache"
        if not card.fetched:
            where = f"jaxalign datasets fetch {card.name}"
        print(f"{card.name:<18}{card.size:>9,}  {'+'.join(card.views):<19}{where}")
        print(f"{'':<18}{card.description}")


if __name__ == "__main__":
    run_verb(main, "jaxalign.launch.datasets")
