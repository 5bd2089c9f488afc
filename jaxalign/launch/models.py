"""List, show or fetch pretrained encoders and controls.

Usage:
    jaxalign models list [--format=json]   one row a model
    jaxalign models show ID …              all facts of a model's card
    jaxalign models fetch ID … | all       download weights into the cache ($JAXALIGN_CACHE)
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from absl import flags

from jaxalign.archives.fetch import fetch
from jaxalign.launch.process import run_verb
from jaxalign.models.registry import describe_model, list_models, model_entry

_FORMAT = flags.DEFINE_enum("format", "table", ["table", "json"], "How to print the list.")


def main(words: Sequence[str]) -> None:
    """Dispatches list, show and fetch."""
    if not words or words[0] not in ("list", "show", "fetch"):
        raise ValueError(f"say list, show or fetch: got {' '.join(words) or 'nothing'}")
    verb, ids = words[0], list(words[1:])
    if verb == "list":
        print(_listing(json_output=_FORMAT.value == "json"))
        return
    if not ids:
        raise ValueError(f"name at least one model: jaxalign models {verb} ID; see models list")
    if verb == "fetch" and ids == ["all"]:
        ids = [entry.card.id for entry in list_models()]
    entries = [model_entry(name) for name in ids]
    for entry in entries:
        if verb == "show":
            print(json.dumps(entry.card.to_json(), indent=2, ensure_ascii=False))
            continue
        for archive in entry.archives:
            print(f"{entry.card.id}: {fetch(archive)}")
        if not entry.archives:
            print(f"{entry.card.id}: needs no download")


def _listing(*, json_output: bool) -> str:
    rows = [describe_model(entry) for entry in list_models()]
    if json_output:
        return json.dumps(rows, indent=2)
    cells = [[_cell(value) for value in row.values()] for row in rows]
    table = [list(rows[0]), *cells]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def _cell(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value in (None, "") else str(value)


if __name__ == "__main__":
    run_verb(main, "jaxalign.launch.models")
