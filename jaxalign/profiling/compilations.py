"""How many programs JAX compiled, and for how long: what a first call costs beyond its work."""

from __future__ import annotations

import dataclasses
import functools
import threading

from jax import monitoring

# A program read from the persistent cache passes through the first event, too.
_COMPILED = "/jax/core/compile/backend_compile_duration"
_READ = "/jax/compilation_cache/cache_hits"


@dataclasses.dataclass(frozen=True)
class Compilations:
    """Programs that were made ready to run.

    Attributes:
      compiled: by the compiler, now.
      cached: read from the persistent cache instead.
      seconds: wall time of both.
    """

    compiled: int = 0
    cached: int = 0
    seconds: float = 0.0

    def __sub__(self, earlier: Compilations) -> Compilations:
        """What happened since."""
        return Compilations(
            self.compiled - earlier.compiled,
            self.cached - earlier.cached,
            self.seconds - earlier.seconds,
        )

    def describe(self) -> str:
        """One sentence for the log."""
        words = f"compiled {self.compiled} programs"
        if self.cached:
            words += f", read {self.cached} from the compilation cache"
        return f"{words}, in {self.seconds:.1f} s"


def compilations() -> Compilations:
    """All compilations of this process since the first call; differences tell what a block did."""
    return _counter().read()


class _Counter:
    """Listens to JAX; programs are compiled on several threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._ready = self._cached = 0
        self._seconds = 0.0
        monitoring.register_event_duration_secs_listener(self._on_duration)
        monitoring.register_event_listener(self._on_event)

    def _on_duration(self, event: str, duration: float, **facts: object) -> None:
        if event == _COMPILED:
            with self._lock:
                self._ready += 1
                self._seconds += duration

    def _on_event(self, event: str, **facts: object) -> None:
        if event == _READ:
            with self._lock:
                self._cached += 1

    def read(self) -> Compilations:
        with self._lock:
            return Compilations(self._ready - self._cached, self._cached, self._seconds)


@functools.cache
def _counter() -> _Counter:
    return _Counter()  # listeners cannot be taken back: one for the life of the process
