"""Progress lines: short in logs, rewritten on terminals, silent where they are not wanted."""

import io

from jaxalign import progress as module
from jaxalign.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


def test_logs_get_one_line_an_interval_and_a_last_one(monkeypatch):
    clock, stream = Clock(monkeypatch), io.StringIO()
    with Progress("embed", total=1000, unit="molecules", stream=stream) as progress:
        for _ in range(4):
            clock.now += 6
            progress.advance(250)
    assert stream.getvalue().splitlines() == [
        "embed: 500/1,000 molecules, 42/s, 0:12 left",
        "embed: 1,000/1,000 molecules, 42/s, 0:00 left",
        "embed: 1,000/1,000 molecules, 42/s, 0:24",
    ]


def test_terminals_rewrite_one_line(monkeypatch):
    clock, stream = Clock(monkeypatch), Terminal()
    with Progress("x", total=10, stream=stream) as progress:
        clock.now += 1
        progress.advance(5)
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().count("\r") == 2


def test_finished_rows_count_as_done_but_not_in_the_rate(monkeypatch):
    clock, stream = Clock(monkeypatch), io.StringIO()
    with Progress("x", total=100, stream=stream) as progress:
        progress.skip(80)
        clock.now += 10
        progress.advance(10)
    assert "90/100 rows, 1/s, 0:10 left" in stream.getvalue()


def test_disabled_and_interrupted_progress_is_silent(monkeypatch):
    stream = io.StringIO()
    with Progress("x", total=1, enabled=False, stream=stream) as progress:
        progress.advance()
    assert stream.getvalue() == ""


def test_hours_are_shown(monkeypatch):
    clock, stream = Clock(monkeypatch), io.StringIO()
    with Progress("x", total=10_000, stream=stream) as progress:
        clock.now += 100
        progress.advance(10)
    assert "27:45:00 left" in stream.getvalue()
