"""The curves of a run as JSON lines: one record a look, nothing in them that depends on the clock.

`pandas.read_json(path, lines=True)` reads them. A record has `step`, `epoch`, `split`, `loss`,
`mae_ev` and `learning_rate`; those of training also further numbers of the objective. Times are in
a file of their own, so that the curves of two runs can be compared byte by byte.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxalign.archives.atomic import atomic_write

METRICS = "metrics.jsonl"
TIMINGS = "timings.jsonl"
TEST = "test"  # the split that is looked at once, when all else is done


class Curve:
    """A file of JSON lines that grows.

    Args:
      path: the file; made if there is none.
      enabled: False on all processes of a run but the first.
    """

    def __init__(self, path: Path, *, enabled: bool = True):
        self._path, self._enabled = path, enabled

    def keep_until(self, step: int) -> None:
        """Drops all records beyond a step, that of the test, and a last line without an end."""
        if not self._enabled:
            return
        records = read_curve(self._path)
        kept = (r for r in records if r["step"] <= step and r.get("split") != TEST)
        lines = [_line(record) for record in kept]
        with atomic_write(self._path, mode="w") as file:
            file.write("".join(lines))

    def add(self, *records: Mapping[str, Any]) -> None:
        """Appends records; they are on disk when this returns."""
        if not self._enabled:
            return
        with self._path.open("a", encoding="utf-8", newline="\n") as file:
            file.write("".join(map(_line, records)))
            file.flush()
            os.fsync(file.fileno())


def read_curve(path: str | Path) -> list[dict[str, Any]]:
    """All finished records of a file, in order; none if there is no file."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"
