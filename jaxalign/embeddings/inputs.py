"""Inputs of networks, made by threads beside the device's work."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from jaxalign.models.encoder import Encoder, Example
from jaxalign.structures.structure import Structure

Span = tuple[int, int]  # first row and one past the last row

_THREADS = min(4, os.cpu_count() or 1)
_PART = 32  # structures a task of a thread: enough to outweigh its bookkeeping


class InputMaker:
    """Makes the inputs of row ranges ahead of their use.

    Neighbor lists release Python's lock, so that threads do make them at the same time; the rest of
    their work is interleaved with that of the thread that feeds the device.

    Args:
      encoder: the network.
      known: inputs that exist already, by id.

    Attributes:
      made_seconds: time that threads have spent making inputs.
      waited_seconds: time that `take` had to wait for them.
    """

    def __init__(self, encoder: Encoder, known: Mapping[str, Example]):
        self._encoder, self._known = encoder, known
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="inputs")
        self._ahead: dict[Span, list[Future]] = {}
        self.made_seconds = self.waited_seconds = 0.0

    def expect(self, structures: Sequence[Structure], spans: Sequence[Span]) -> None:
        """Begins to make the inputs of ranges that will be taken later.

        Args:
          structures: all structures.
          spans: ranges of them.
        """
        for start, stop in spans:
            if (start, stop) not in self._ahead:
                bounds = range(start, stop, _PART)
                parts = [structures[i : min(i + _PART, stop)] for i in bounds]
                self._ahead[start, stop] = [self._threads.submit(self._make, p) for p in parts]

    def take(self, structures: Sequence[Structure], span: Span) -> list[Example]:
        """Inputs of one range, which are then forgotten here.

        Args:
          structures: all structures.
          span: the range.

        Returns:
          One example a structure, in order.
        """
        self.expect(structures, [span])
        begin = time.perf_counter()
        made = [future.result() for future in self._ahead.pop(span)]
        self.waited_seconds += time.perf_counter() - begin
        self.made_seconds += sum(seconds for _, seconds in made)
        return [example for examples, _ in made for example in examples]

    def close(self) -> None:
        """Ends the threads; what nobody took is dropped."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _make(self, structures: Sequence[Structure]) -> tuple[list[Example], float]:
        begin = time.perf_counter()
        known, featurize = self._known, self._encoder.featurize
        examples = [known[s.id] if s.id in known else featurize(s) for s in structures]
        return examples, time.perf_counter() - begin
