"""Residue letters → token ids, for the protein networks that read a chain letter by letter."""

from __future__ import annotations

import dataclasses
import functools
import string
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Int

from jaxalign.models.batching import RowBuckets
from jaxalign.models.encoder import Example, UnsupportedStructureError
from jaxalign.models.language.text_views import sequence_text
from jaxalign.models.language.tokens import collate_tokens, token_count
from jaxalign.structures.chains import RESIDUES
from jaxalign.structures.structure import Structure

# Small steps: padding costs time, and a shape compiles in about a second.
LENGTHS = (
    *(32, 64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512),
    *(640, 768, 1024, 1536, 2048),
)
_SHOWN = 5  # foreign characters that an error names


@dataclasses.dataclass(frozen=True, eq=False)
class ResidueTokens:
    """The alphabet of a network.

    Attributes:
      ids: letter → token id; upper case.
      unknown: id of the letters that are not among them.
      before: special tokens in front of a chain.
      after: special tokens behind it.
      max_residues: the network has positions for so many residues, and the rest of a chain is cut
        off; None if it takes chains of any length.
    """

    ids: Mapping[str, int]
    unknown: int
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    max_residues: int | None = None

    @functools.cached_property
    def _table(self) -> Int[np.ndarray, " 128"]:
        """Token id by character code; −1 for what is no letter. Lower case counts as upper case."""
        table = np.full(128, -1, np.int32)
        for letter in string.ascii_uppercase:
            table[[ord(letter), ord(letter.lower())]] = self.ids.get(letter, self.unknown)
        return table

    def encode(self, sequence: str) -> Example:
        """Token ids of one chain.

        Args:
          sequence: residues, one letter each.

        Returns:
          `ids` `[tokens]` int32 with the special tokens; `unknown`, how many of the residues in it
          are none of the twenty (whether or not the network has tokens for them); `truncated`, how
          many were cut off at the end.

        Raises:
          UnsupportedStructureError: if a character is no letter.
        """
        codes = np.frombuffer(sequence.encode("ascii", "replace"), np.uint8)
        foreign = self._table[codes] < 0
        if foreign.any():
            raise UnsupportedStructureError(_foreign_message(sequence, foreign))
        kept = codes[: self.max_residues]
        ids = np.concatenate([self.before, self._table[kept], self.after]).astype(np.int32)
        return {
            "ids": ids,
            "unknown": np.array(np.count_nonzero(~_IS_KNOWN[kept]), np.int32),
            "truncated": np.array(len(codes) - len(kept), np.int32),
        }

    def featurize(self, structure: Structure) -> Example:
        """Token ids of the residue sequence of a structure.

        Raises:
          UnsupportedStructureError: if it has no residues, or characters that are no letters.
        """
        return self.encode(sequence_text(structure))

    def batching(self, batch_size: Callable[[int], int]) -> RowBuckets:
        """Rows padded to few lengths, for `collate_tokens`.

        Args:
          batch_size: tokens of a row → rows of a batch.

        Returns:
          Buckets that grow with the chains, unless these are cut.
        """
        special, limit = len(self.before) + len(self.after), self.max_residues
        lengths = LENGTHS if limit is None else (*(n for n in LENGTHS if n < limit), limit)
        return RowBuckets(
            size=token_count,
            buckets=tuple(length + special for length in lengths),
            batch_size=batch_size,
            pad=collate_tokens,
            grows=limit is None,
        )


_IS_KNOWN = np.isin(np.arange(128), [ord(letter) for letter in RESIDUES + RESIDUES.lower()])


def _foreign_message(sequence: str, foreign: np.ndarray) -> str:
    found = sorted({sequence[at] for at in np.flatnonzero(foreign)})
    shown = ", ".join(map(repr, found[:_SHOWN])) + (", …" if len(found) > _SHOWN else "")
    return (
        f"the residue sequence has characters that are no letters: {shown} (the first at position "
        f"{int(np.flatnonzero(foreign)[0]) + 1}); remove gaps, stops and blanks"
    )
