"""Chunks of rows divided among processes: each computes, checks and keeps its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Float

from jaxalign.embeddings.host_rows import HostRows
from jaxalign.embeddings.inputs import Span
from jaxalign.embeddings.request import SHOWN_IDS
from jaxalign.embeddings.rows import NetworkRows
from jaxalign.embeddings.stored import EmbeddingStore
from jaxalign.models.card import ModelCard
from jaxalign.parallel.failures import stop_together
from jaxalign.parallel.multihost import exchange, exchange_objects, is_primary_process, my_share
from jaxalign.progress import Progress
from jaxalign.types import JaxalignError

Keep = Callable[[int, np.ndarray], None]  # takes the rows of one finished chunk


class NonFiniteEmbeddingError(JaxalignError):
    """An encoder gave NaN or infinity for some structures."""


class ChunkWork:
    """Computes the chunks of this process, checks their rows and hands them on.

    Args:
      rows: what computes.
      ids: of all rows.
      card: of the encoder, for messages.
      progress: show progress.

    Attributes:
      ids: of all rows.
      card: of the encoder.
      computed: rows that this process has computed.
    """

    def __init__(
        self,
        rows: NetworkRows | HostRows,
        ids: Sequence[str],
        card: ModelCard,
        *,
        progress: bool,
    ):
        self._rows, self.ids, self.card = rows, tuple(ids), card
        self._progress = progress and is_primary_process()
        self.computed = 0

    def fill(self, store: EmbeddingStore) -> None:
        """Writes the pending chunks of a store, each process its own; afterwards all are there.

        Args:
          store: what to fill.

        Raises:
          NonFiniteEmbeddingError: if rows of any process are not finite.
          EmbeddingStoreError, StorageError: the place refuses.
        """
        pending = store.pending()
        self._divide(pending, store.write, finished=len(self.ids) - _count(pending))
        store.finish()

    def gather(self, chunks: Sequence[tuple[int, int]]) -> Float[np.ndarray, "n d"]:
        """Rows of all chunks, on every process.

        Args:
          chunks: first row and one past the last row of each, in order.

        Returns:
          float32 `[n, d]`.

        Raises:
          NonFiniteEmbeddingError: if rows of any process are not finite.
        """
        found: dict[int, np.ndarray] = {}
        self._divide(chunks, found.__setitem__)
        if jax.process_count() == 1:
            return np.concatenate([found[start] for start, _ in chunks])
        values: np.ndarray | None = None
        shares = exchange_objects([start for start in found])
        for number in range(max(map(len, shares))):  # chunk by chunk: messages stay small
            mine = list(found.values())[number : number + 1]
            parts = exchange(mine[0] if mine else np.zeros((0, 0), np.float32))
            for share, part in zip(shares, parts, strict=True):
                if number < len(share):
                    if values is None:
                        values = np.empty((len(self.ids), part.shape[1]), np.float32)
                    values[share[number] : share[number] + len(part)] = part
        return values

    def _divide(self, pending: Sequence[tuple[int, int]], keep: Keep, *, finished: int = 0) -> None:
        mine, window = my_share(pending), self._rows.window
        self.computed += _count(mine)
        # As many rounds everywhere: after each, all know whether one of them has failed.
        rounds = max(exchange_objects(-(-len(mine) // window)))
        label, total = f"embed {self.card.id}", finished + _count(mine)
        with Progress(label, total=total, unit="structures", enabled=self._progress) as bar:
            bar.skip(finished)
            for start in range(0, rounds * window, window):
                with stop_together():
                    now, then = mine[start:][:window], mine[start + window :][:window]
                    self._round(now, then, keep, bar)

    def _round(
        self, spans: Sequence[Span], upcoming: Sequence[Span], keep: Keep, bar: Progress
    ) -> None:
        if not spans:
            return
        parts = self._rows.compute(spans, bar.advance, upcoming=upcoming)
        for (start, _), values in zip(spans, parts, strict=True):
            self._require_finite(start, values)
            keep(start, values)

    def _require_finite(self, start: int, values: np.ndarray) -> None:
        rows = np.flatnonzero(~np.isfinite(values).all(axis=1))
        bad = [self.ids[start + row] for row in rows.tolist()]
        if bad:
            raise NonFiniteEmbeddingError(
                f"encoder {self.card.id!r} gave NaN or infinity for {len(bad)} structures "
                f"({', '.join(bad[:SHOWN_IDS])}{', …' if len(bad) > SHOWN_IDS else ''}); "
                "leave them out, or choose another layer or pooling"
            )


def _count(ranges: Sequence[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in ranges)
