"""Numbers and names as people read them."""

from __future__ import annotations

import functools
import html
import math
from collections.abc import Iterable, Sequence

from matplotlib import font_manager, ft2font

MINUS = "\N{MINUS SIGN}"


def score(value: float | int | None, *, digits: int = 3) -> str:
    """A score with a fixed number of decimals, one more below 0.1; "–" if there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    decimals = digits if abs(value) >= 0.1 or value == 0 else digits + 1
    return fixed(value, decimals)


def fixed(value: float | int, decimals: int) -> str:
    """Fixed decimals with a true minus sign and without a negative zero."""
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def count(value: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun, e.g. "1 row", "1,000 rows"."""
    return f"{value:,} {noun if value == 1 else plural or noun + 's'}"


def joined(words: Iterable[str]) -> str:
    """Words as a list in a sentence, e.g. "a, b and c"."""
    words = list(words)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def slug(name: str) -> str:
    """A name as part of a file name and of an anchor: ASCII letters, digits, "_" and "-"."""
    kept = (c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in name)
    return "".join(kept) or "-"


def markup(text: str) -> str:
    """Text for a place where plotly reads tags, such as ticks, legends and hover labels."""
    return html.escape(text, quote=False)


def short_names(names: Sequence[str], *, limit: int = 28) -> list[str]:
    """Labels of figures: at most `limit` characters, cut in the middle, still all different.

    Args:
      names: unique model ids.
      limit: longest label in characters.

    Returns:
      One label a name, drawable in the font of the figures; where two would be equal, the number
      of the model (1 = first) is appended.
    """
    drawn = [_drawable(name) for name in names]
    cut = [_shorten(name, limit) for name in drawn]
    repeated = {label for label in cut if cut.count(label) > 1}
    return [
        f"{_shorten(drawn[i], limit - len(tag))}{tag}" if label in repeated else label
        for i, label in enumerate(cut)
        for tag in [f" #{i + 1}"]
    ]


def _shorten(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"


def _drawable(text: str) -> str:
    known = _glyphs()
    clean = "".join(c if ord(c) in known and c.isprintable() else "?" for c in text)
    return clean.strip() or "?"


@functools.cache
def _glyphs() -> frozenset[int]:
    path = font_manager.findfont("DejaVu Sans")
    return frozenset(ft2font.FT2Font(path).get_charmap())
