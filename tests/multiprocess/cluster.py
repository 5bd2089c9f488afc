"""Real processes on 127.0.0.1: start them, read what they say, kill what is left.

    from tests.multiprocess.cluster import run_cluster

    results = run_cluster('''
        from jaxalign.parallel.multihost import exchange_objects
        print(exchange_objects(process_id * 10))
    ''')
    assert [result.stdout for result in results] == ["[0, 10]\\n"] * 2

    run_cluster(["align", f"--embeddings={folder}", f"--workdir={workdir}"])

A source is run by processes that have `jax.distributed` initialized, `devices` virtual CPU devices
each and the strict settings of conftest; it may use `jax`, `process_id` and `sys.argv[1:]`. A list
of words is a command line of `jaxalign`, which initializes itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import random
import signal
import socket
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.commands import start_command

ROOT = Path(__file__).parents[2]
_STARTING = 60  # seconds that processes wait for each other
_HEARTBEAT = 20
_LAST_WORDS = 5  # seconds after the end of a process that its watcher may take

_WORKER = Path(__file__).with_name("worker.py")


@dataclasses.dataclass(frozen=True)
class Result:
    """What one process left behind.

    Attributes:
      code: exit status; negative for the signal that ended it.
      stdout: standard output.
      stderr: standard error.
      seconds: from its start to its end.
      ended: time.monotonic() of its end, to within the polling interval.
    """

    code: int
    stdout: str
    stderr: str
    seconds: float
    ended: float

    @property
    def last_line(self) -> str:
        """Last line of standard error."""
        return (self.stderr.splitlines() or [""])[-1]


class Cluster:
    """Processes that run; a context manager that kills what is left.

    Args:
      work: source text, or words of a `jaxalign` command line; a function from process id to words
        where the processes are to differ.
      processes: number of them.
      devices: virtual CPU devices of each.
      env: further environment variables.
      args: words that a source finds in `sys.argv[1:]`.
      starting: seconds that a command line's processes wait for each other.
      start: process ids to start now; None means all.
    """

    def __init__(
        self,
        work: str | Sequence[str] | Callable[[int], Sequence[str]],
        *,
        processes: int = 2,
        devices: int = 2,
        env: Mapping[str, str] | None = None,
        args: Sequence[object] = (),
        starting: int = _STARTING,
        start: Sequence[int] | None = None,
    ):
        self._work, self._args = work, [str(word) for word in args]
        self.processes, self._devices, self._starting = processes, devices, starting
        self.port = free_port()
        self._env = _environment(env or {})
        self._folder = tempfile.TemporaryDirectory(prefix="cluster-")
        self._running: dict[int, multiprocessing.Process] = {}
        self._began: dict[int, float] = {}
        self._ended: dict[int, float] = {}
        for index in range(processes) if start is None else start:
            self.start(index)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_) -> None:
        for process in self._running.values():
            if process.exitcode is None:
                with contextlib.suppress(ProcessLookupError):  # it has no session of its own yet
                    os.killpg(process.pid, signal.SIGKILL)  # with what it started
                process.kill()
        for process in self._running.values():
            process.join(timeout=20)
        self._folder.cleanup()

    def start(self, index: int) -> None:
        """Starts one process, in a session of its own, so that its children are killed with it."""
        command, source = self._command(index)
        self._file(index, "in").write_text(source)
        self._running[index] = start_command(
            command,
            stdin=self._file(index, "in"),
            stdout=self._file(index, "out"),
            stderr=self._file(index, "err"),
            env=self._env,
            cwd=ROOT,
        )
        self._began[index] = time.monotonic()

    def kill(self, index: int) -> None:
        """SIGKILL to one process, but not to what it started."""
        process = self._running[index]
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)

    def stdout(self, index: int) -> str:
        """What a process has printed so far, without what gloo says of its connections."""
        text = self._read(index, "out")
        lines = text.splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("[Gloo]"))

    def stderr(self, index: int) -> str:
        """What a process has written to standard error so far."""
        return self._read(index, "err")

    def alive(self, index: int) -> bool:
        """Whether a process runs; remembers when it was first seen to have ended."""
        if self._running[index].exitcode is None:
            return True
        self._ended.setdefault(index, time.monotonic())
        return False

    def wait_until(self, condition: Callable[[], bool], *, timeout: float = 200) -> None:
        """Returns when a condition holds.

        Raises:
          AssertionError: it does not within the time; or all processes ended before.
        """
        limit = time.monotonic() + timeout
        while not condition():
            running = any([self.alive(i) for i in self._running])
            if not (running or condition()) or time.monotonic() > limit:
                raise AssertionError(f"waited in vain\n{self.describe()}")
            time.sleep(0.01)

    def finish(self, *, timeout: float = 200) -> list[Result]:
        """Waits for all processes, and for the last words of those that failed.

        Raises:
          AssertionError: some still run after `timeout` seconds; they are killed.
        """
        limit = time.monotonic() + timeout
        while any([self.alive(i) for i in self._running]):
            if time.monotonic() > limit:
                text = self.describe()
                for index in self._running:
                    self.kill(index)
                raise AssertionError(f"processes still run after {timeout} seconds\n{text}")
            time.sleep(0.02)
        for index, process in self._running.items():
            while process.exitcode and not self._has_spoken(index):
                if time.monotonic() > self._ended[index] + _LAST_WORDS:
                    break
                time.sleep(0.02)
        return [
            Result(
                code=process.exitcode,
                stdout=self.stdout(i),
                stderr=self.stderr(i),
                seconds=self._ended[i] - self._began[i],
                ended=self._ended[i],
            )
            for i, process in sorted(self._running.items())
        ]

    def describe(self) -> str:
        """Status and output of all processes, for failing tests."""
        return "\n".join(
            f"--- process {i}: {'running' if p.exitcode is None else f'exit {p.exitcode}'}\n"
            f"{self.stdout(i)}\n{self.stderr(i)}"
            for i, p in sorted(self._running.items())
        )

    def _command(self, index: int) -> tuple[list[str], str]:
        if isinstance(self._work, str):
            numbers = [index, self.processes, self._devices, self.port, _STARTING, _HEARTBEAT]
            command = [str(_WORKER), *map(str, numbers), *self._args]
            return command, textwrap.dedent(self._work)
        words = self._work(index) if callable(self._work) else self._work
        several = [
            f"--coordinator_address=127.0.0.1:{self.port}",
            f"--num_processes={self.processes}",
            f"--process_id={index}",
            f"--cpu_devices={self._devices}",
            f"--coordinator_timeout={self._starting}",
            f"--heartbeat_timeout={_HEARTBEAT}",
        ]
        verb, *flags = map(str, words)
        # A flag that a test gives goes last, and so wins.
        return ["-m", "jaxalign.launch", verb, *several, *flags], ""

    def _has_spoken(self, index: int) -> bool:
        """Whether the watcher of a command line has said why its process was killed or aborted."""
        lines = self.stderr(index).splitlines()
        return isinstance(self._work, str) or bool(lines and lines[-1].startswith("error"))

    def _read(self, index: int, kind: str) -> str:
        path = self._file(index, kind)  # the process itself makes it
        return path.read_text(errors="replace") if path.exists() else ""

    def _file(self, index: int, kind: str) -> Path:
        return Path(self._folder.name) / f"{index}.{kind}"


def run_cluster(
    work: str | Sequence[str] | Callable[[int], Sequence[str]],
    *,
    processes: int = 2,
    devices: int = 2,
    timeout: float = 200,
    env: Mapping[str, str] | None = None,
    args: Sequence[object] = (),
    check: bool = True,
) -> list[Result]:
    """Runs processes to their end.

    Args:
      work: source text or words of a command line, as `Cluster` takes them.
      processes: number of them.
      devices: virtual CPU devices of each.
      timeout: seconds after which they are killed.
      env: further environment variables.
      args: words that a source finds in `sys.argv[1:]`.
      check: fail, with all output, unless every process ends with status 0.

    Returns:
      One result a process, in their order.
    """
    with Cluster(work, processes=processes, devices=devices, env=env, args=args) as cluster:
        results = cluster.finish(timeout=timeout)
        assert not check or not any(r.code for r in results), cluster.describe()
    return results


def free_port() -> int:
    """A port that nobody listens on, outside the range from which the kernel gives ports away."""
    while True:
        port = random.randint(20_000, 32_000)
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) != 0:
                return port


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    # What a scheduler or an earlier test set must not reach the processes.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLURM_", "JAX_", "XLA_", "OMPI_", "TPU_", "KUBERNETES_"))
    }
    python_path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return kept | {"PYTHONPATH": python_path, "PYTHONUNBUFFERED": "1", "JAX_PLATFORMS": "cpu"} | env
