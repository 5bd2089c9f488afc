"""The page docs/results.md: parts that several scripts write, each its own."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "results.md"
PARTS = ("claims", "training", "selection")


def write_part(name: str, text: str) -> Path:
    """Replaces one part of the page, or adds it where it belongs.

    Args:
      name: one of `PARTS`, in the order of the page.
      text: Markdown.

    Returns:
      Path of the page.

    Raises:
      ValueError: an unknown part.
    """
    if name not in PARTS:
        raise ValueError(f"the page has parts {PARTS}: got {name!r}")
    found = read_parts(PAGE.read_text(encoding="utf-8") if PAGE.exists() else "")
    found[name] = text.strip()
    PAGE.write_text(join_parts(found), encoding="utf-8")
    return PAGE


def read_parts(page: str) -> dict[str, str]:
    """Name of each part → its text."""
    pieces = re.split(r"^<!-- part: (\w+) -->$", page, flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}


def join_parts(parts: dict[str, str]) -> str:
    """The page."""
    known = [name for name in PARTS if name in parts]
    return "\n".join(f"<!-- part: {name} -->\n\n{parts[name]}\n" for name in known)
