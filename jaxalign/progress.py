"""Progress of long work on standard error: items done, rate, time left; on process 0 only."""

from __future__ import annotations

import io
import sys
import time


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Progress:
    """Counts finished items and prints `label  done/total  rate  time left` every few seconds.

    On a terminal the line is rewritten in place; elsewhere (log files, CI) a line is printed every
    `log_interval` seconds, so that logs stay short.

    Example:
      >>> with Progress("embed ani-1x-0", total=1000, unit="molecules") as progress:
      ...     progress.advance(64)
    """

    def __init__(
        self,
        label: str,
        *,
        total: int,
        unit: str = "rows",
        enabled: bool = True,
        stream: io.TextIOBase | None = None,
        interval: float = 0.2,
        log_interval: float = 10.0,
    ):
        self._label, self._total, self._unit = label, total, unit
        self._stream = sys.stderr if stream is None else stream
        self._tty = self._stream.isatty()
        self._interval = interval if self._tty else log_interval
        self._enabled = enabled
        self._done = self._skipped = 0

    def __enter__(self) -> Progress:
        self._start = self._last = time.monotonic()
        return self

    def __exit__(self, kind, value, trace) -> None:
        if self._enabled and kind is None:
            self._write(final=True)

    def skip(self, count: int) -> None:
        """Counts items that an earlier run finished: they enter `done` but not the rate."""
        self._done += count
        self._skipped += count

    def advance(self, count: int = 1) -> None:
        """Counts finished items and prints when it is time to."""
        self._done += count
        now = time.monotonic()
        if self._enabled and now - self._last >= self._interval:
            self._last = now
            self._write()

    def _write(self, *, final: bool = False) -> None:
        elapsed = max(time.monotonic() - self._start, 1e-9)
        rate = (self._done - self._skipped) / elapsed
        line = f"{self._label}: {self._done:,}/{self._total:,} {self._unit}, {rate:,.0f}/s"
        if final:
            line += f", {_clock(elapsed)}"
        elif rate > 0:
            line += f", {_clock((self._total - self._done) / rate)} left"
        if self._tty:
            self._stream.write(f"\r\033[K{line}" + ("\n" if final else ""))
        else:
            self._stream.write(line + "\n")
        self._stream.flush()
