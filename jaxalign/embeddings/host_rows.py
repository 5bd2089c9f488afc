"""Embedding rows of a list of structures: a function on the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from jaxalign.embeddings.inputs import Span
from jaxalign.embeddings.rows import Advance
from jaxalign.models.encoder import HostEncoder, UnsupportedStructureError
from jaxalign.structures.structure import SkippedStructure, Structure


class HostRows:
    """Rows of a `HostEncoder`.

    Args:
      encoder: a descriptor or a user's function.
      chunk_rows: structures a call.
    """

    compilations = 0  # what a network counts and a host function has not
    input_counts: Mapping[str, int] = MappingProxyType({})
    computed_work = real_work = 0.0
    input_seconds = (0.0, 0.0)
    window = 1

    def __init__(self, encoder: HostEncoder, *, chunk_rows: int):
        self._encoder, self._chunk_rows = encoder, chunk_rows
        self._structures: Sequence[Structure] = ()
        self._known: dict[str, np.ndarray] = {}

    def prepare(
        self, structures: Sequence[Structure], *, keep_going: bool
    ) -> list[SkippedStructure]:
        """Looks for structures that the function refuses.

        Args:
          structures: this process's share of what is to be embedded.
          keep_going: find the structures that the function refuses. Only calling it tells, so all
            rows of the share are computed here; otherwise its error passes through `compute`.

        Returns:
          Those that it refuses, with reasons.
        """
        if not keep_going:
            return []
        skipped: list[SkippedStructure] = []
        for start in range(0, len(structures), self._chunk_rows):
            self._try(structures[start : start + self._chunk_rows], skipped)
        return skipped

    def choose(self, structures: Sequence[Structure]) -> None:
        """Takes the structures of all rows, in order: those that no process refused."""
        self._structures = structures

    def width(self) -> int:
        """Embedding width d."""
        if self._encoder.card.width:
            return self._encoder.card.width
        known = next(iter(self._known.values()), None)
        return len(known) if known is not None else self._embed(self._structures[:1]).shape[1]

    def compute(
        self, spans: Sequence[Span], advance: Advance, *, upcoming: Sequence[Span] = ()
    ) -> list[Float[np.ndarray, "rows d"]]:
        """Rows of the chosen structures.

        Args:
          spans: first row and one past the last row of each range; none is empty.
          advance: called with the number of rows finished.
          upcoming: for networks; a function of the host is not called ahead.

        Returns:
          float32 `[stop - start, d]` for each range.
        """
        values = []
        for start, stop in spans:
            values.append(self._rows(self._structures[start:stop]))
            advance(stop - start)
        return values

    def close(self) -> None:
        """Has nothing to end."""

    def _rows(self, structures: Sequence[Structure]) -> Float[np.ndarray, "rows d"]:
        # Another process may have looked at some: their rows are not here.
        unknown = [s for s in structures if s.id not in self._known]
        if len(unknown) == len(structures):
            return self._embed(structures)
        found = self._known
        if unknown:
            fresh = self._embed(unknown)
            found = found | dict(zip((s.id for s in unknown), fresh, strict=True))
        return np.stack([found[s.id] for s in structures])

    def _try(self, chunk: Sequence[Structure], skipped: list[SkippedStructure]) -> None:
        try:
            rows = self._embed(chunk)
            self._known |= dict(zip((s.id for s in chunk), rows, strict=True))
        except UnsupportedStructureError as error:
            if len(chunk) == 1:
                skipped.append(SkippedStructure(where=chunk[0].id, reason=str(error)))
                return
            for one in chunk:
                self._try([one], skipped)

    def _embed(self, structures: Sequence[Structure]) -> Float[np.ndarray, "rows d"]:
        card = self._encoder.card
        values = np.asarray(self._encoder.embed(structures), np.float32)
        width = card.width or (values.shape[1] if values.ndim == 2 else "d")
        if values.shape != (len(structures), width):
            raise ValueError(
                f"encoder {card.id!r} gave an array of shape {values.shape} for "
                f"{len(structures)} structures; it must return one row of {width} numbers each"
            )
        return values
