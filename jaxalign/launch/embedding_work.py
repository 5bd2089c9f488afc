"""What each encoder's embeddings cost: kept beside the stores, so that a resumed run can tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxalign.archives.atomic import write_json
from jaxalign.embeddings.location import Location
from jaxalign.parallel.multihost import is_primary_process

_FILE = "work.json"


def describe_embedding(info: Mapping[str, Any]) -> str:
    """One line about a call that computed embeddings.

    Args:
      info: `Embeddings.info`.

    Returns:
      Rows, rate, compilations, padding and waiting; empty if nothing was computed.
    """
    rows, seconds = info.get("rows_computed", 0), info.get("seconds", 0.0)
    if not rows or not seconds:
        return ""
    parts = [f"{rows:,} rows at {rows / seconds:,.0f} a second, compilation included"]
    if programs := info.get("compilations"):
        parts.append(f"{programs} program{'s' if programs > 1 else ''} compiled")
    if waste := info.get("padding_waste"):
        parts.append(f"{waste:.0%} of the slots were padding")
        parts.append(f"{info.get('input_wait_share', 0.0):.0%} of the time waiting for inputs")
    return ", ".join(parts)


def record_work(folder: Path, store: str, info: Mapping[str, Any]) -> None:
    """Notes what a store of embeddings cost, unless it was there already.

    Args:
      folder: where the stores are; nothing is noted in a bucket.
      store: name of the store.
      info: `Embeddings.info` of the call.
    """
    described = describe_embedding(info)
    if not described or Location(folder).remote or not is_primary_process():
        return
    write_json(folder / _FILE, {**read_work(folder), store: described})


def read_work(folder: Path) -> dict[str, str]:
    """Store name → what it cost, as far as it was noted."""
    path = folder / _FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}  # a note for people: its loss loses no result
